package reliablews

import (
	"encoding/json"
	"testing"
)

func TestEncode(t *testing.T) {
	for _, test := range []struct {
		data any
		want string // "" for an error
	}{
		{json.RawMessage(`{"a": 1}`), `{"a": 1}`},
		{json.RawMessage("{\"a\":\n1,\r\n\"b\":\"\\n\"}"), `{"a":1,"b":"\n"}`},
		{json.RawMessage(nil), "null"},
		{json.RawMessage(``), ""},
		{json.RawMessage(`{`), ""},
		{json.RawMessage("1} {"), ""},
		{map[string]int{"a": 1}, `{"a":1}`},
		{make(chan int), ""},
		{nil, "null"},
	} {
		got, err := encode(test.data)
		if (err != nil) != (test.want == "") || string(got) != test.want {
			t.Errorf("%v is %q, %v, want %q", test.data, got, err, test.want)
		}
	}
}
