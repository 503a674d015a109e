package coding

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type plain struct {
	Name  string            `json:"name"`
	At    time.Time         `json:"at"`
	Next  *plain            `json:"next"`
	Marks map[string][]byte `json:"marks"`
}

type counted struct {
	Count json.Number `json:"count"`
}

type loose struct {
	Any any `json:"any"`
}

type formatted struct {
	At time.Time `json:"at,format:RFC3339"`
}

// TestTypesAreWrittenAndReadAsEncodingJSONDoes, those that the mirror treats
// differently too.
func TestTypesAreWrittenAndReadAsEncodingJSONDoes(t *testing.T) {
	at := time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC)
	for _, v := range []any{
		plain{Name: "<é>", At: at, Next: &plain{}, Marks: map[string][]byte{"b": {1}, "a": nil}},
		counted{"1.50"}, counted{},
		loose{json.Number("2")}, loose{map[string]any{"n": 1.5, "l": []any{nil, "x"}}},
		formatted{at},
		[]counted{{"3"}}, map[string]*loose{"a": {json.Number("4")}},
	} {
		c := For(reflect.TypeOf(v))
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Marshal(v)
		if err != nil || string(got) != string(want) {
			t.Errorf("%T is written as %s, %v; encoding/json writes %s", v, got, err, want)
			continue
		}
		one, other := reflect.New(reflect.TypeOf(v)), reflect.New(reflect.TypeOf(v))
		if err := json.Unmarshal(want, other.Interface()); err != nil {
			t.Fatal(err)
		}
		for name, read := range map[string]func([]byte, any) error{"Unmarshal": c.Unmarshal, "UnmarshalEncoded": c.UnmarshalEncoded} {
			if err := read(want, one.Interface()); err != nil || !reflect.DeepEqual(one.Interface(), other.Interface()) {
				t.Errorf("%s of %T gives %+v, %v; encoding/json gives %+v", name, v, one.Elem(), err, other.Elem())
			}
		}
	}
	if For(reflect.TypeFor[plain]()).std {
		t.Error("a plain type is left to encoding/json, which is slow")
	}
}
