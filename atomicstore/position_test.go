package atomicstore

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// TestRecordsAreTheSameInJSONAsOnDisk: lower case, and an id that people read.
func TestRecordsAreTheSameInJSONAsOnDisk(t *testing.T) {
	r := Record{
		Position:  Position{"0123456789abcdef", 7},
		ID:        ChangeID{0xab, 15: 1},
		Time:      time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC),
		RequestID: "r",
		Events:    []json.RawMessage{json.RawMessage(`{"a":1}`)},
	}
	got, err := json.Marshal(r)
	want := `{"epoch":"0123456789abcdef","seq":7,"id":"ab000000000000000000000000000001","time":"2026-11-24T18:00:00Z","requestId":"r","events":[{"a":1}]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	var again Record
	if err := json.Unmarshal(got, &again); err != nil || !reflect.DeepEqual(r, again) {
		t.Errorf("it comes back as %+v, %v", again, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"ab"}`), &again); err == nil {
		t.Error("an id that is too short was taken")
	}
}
