package reliablews

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"testing"
)

// TestProtocolShowsTheVectors keeps PROTOCOL.md true: each example in it is a
// frame of testdata/frames, with no field but those that the code knows, and
// each type of frame has an example.
func TestProtocolShowsTheVectors(t *testing.T) {
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	vectors := allFrames(t)
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(doc, -1) {
		example := m[1]
		var frame map[string]any
		if err := json.Unmarshal(example, &frame); err != nil {
			t.Errorf("%s: %v", example, err)
			continue
		}
		kind, _ := frame["t"].(string)
		shown[kind] = true
		found := false
		for _, v := range vectors {
			found = found || reflect.DeepEqual(frame, v)
		}
		if !found {
			t.Errorf("no vector is this example:\n%s", example)
		}
		if strict(example, new(clientFrame)) != nil && strict(example, new(serverFrame)) != nil {
			t.Errorf("this example has fields that the code does not know:\n%s", example)
		}
	}
	for _, kind := range []string{"hello", "welcome", "msg", "snap", "gap", "ping", "pong", "ack", "bye", "send", "done", "close", "post"} {
		if !shown[kind] {
			t.Errorf("%s has no example", kind)
		}
	}
}

// TestProtocolListsTheCloseCodes compares the table with the code.
func TestProtocolListsTheCloseCodes(t *testing.T) {
	doc, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| ([0-9, ]+) \|(?:[^|]*\|){3} (.*) \|$`).FindAllSubmatch(doc, -1)
	listed := map[int]bool{}
	for _, row := range rows {
		for _, number := range regexp.MustCompile(`[0-9]+`).FindAll(row[1], -1) {
			var code int
			if err := json.Unmarshal(number, &code); err != nil {
				t.Fatal(err)
			}
			listed[code] = true
			if never := string(row[2]) == "never"; never != final(code) {
				t.Errorf("close code %d: the document says %q, the code that it is final: %v", code, row[2], final(code))
			}
		}
	}
	for _, code := range []int{1000, 1006, 1009, 1012, CloseProtocol, CloseTakenOver, CloseSilent, CloseForbidden, CloseNoHello, CloseUnauthorized} {
		if !listed[code] {
			t.Errorf("close code %d is not in the table", code)
		}
	}
	for code := range 5000 {
		if final(code) && !listed[code] {
			t.Errorf("close code %d is final and not in the table", code)
		}
	}
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// allFrames returns every frame of the vectors.
func allFrames(t *testing.T) (frames []map[string]any) {
	t.Helper()
	var fromClients []struct {
		Frame string
		OK    bool
	}
	readVectors(t, "client.json", &fromClients)
	for _, v := range fromClients {
		var frame map[string]any
		if v.OK && json.Unmarshal([]byte(v.Frame), &frame) == nil {
			frames = append(frames, frame)
		}
	}
	var sequences []struct{ Frames, Sends []map[string]any }
	readVectors(t, "sequences.json", &sequences)
	for _, v := range sequences {
		frames = append(frames, v.Frames...)
		frames = append(frames, v.Sends...)
	}
	var overHTTP []map[string]any
	readVectors(t, "http.json", &overHTTP)
	return append(frames, overHTTP...)
}
