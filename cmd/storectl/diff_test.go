package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDiffShowsStatesAndChanges(t *testing.T) {
	h := threeNotes(t)
	still(t, func(t *testing.T) {
		s := h.openNotes(t)
		update(t, s, noteEvent{Removed: &removed{1}})
		checkpoint(t, s)
		closeStore(t, s)
	})
	h.wantText(t, mustRun(t, "diff", h.data, "2", "data.json"), `
from  change 2, HOME/backups/backup-2-STAMP.json
to  change 4, HOME/data/data.json

state: 2 differences
- /notes/0  {"id":1,"text":"one"}
+ /notes/1  {"id":3,"text":"three"}

log: 2 changes
  3  TIME  added {"id":3,"text":"three"}
  4  TIME  removed {"id":1}
`)
	h.wantText(t, mustRun(t, "diff", "--json", h.data, h.backup(t, 3)), `
{
  "from": {
  "path": "HOME/backups/backup-3-STAMP.json",
  "epoch": "EPOCH",
  "seq": 3,
  "savedAt": "TIME"
  },
  "to": {
  "path": "HOME/data/data.json",
  "epoch": "EPOCH",
  "seq": 4,
  "savedAt": "TIME"
  },
  "state": [
  {
  "op": "remove",
  "path": "/notes/0",
  "old": {
  "id": 1,
  "text": "one"
  }
  }
  ],
  "changes": [
  {
  "epoch": "EPOCH",
  "seq": 4,
  "time": "TIME",
  "id": "ID",
  "events": [
  {
  "removed": {
  "id": 1
  }
  }
  ]
  }
  ]
}
`)
}

func TestDiffShowsWhatItCan(t *testing.T) {
	h := threeNotes(t)
	put := func(name, text string) string {
		path := filepath.Join(h.folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := put("plain.json", `{"notes":[{"id":1,"text":"eins"}]}`)
	data, err := os.ReadFile(h.backup(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	edited := put("edited.json", strings.Replace(string(data), `"one"`, `"first"`, 1))
	for _, test := range []struct {
		a, b           string
		state, changes int // -1 for null
		undone         bool
		note           string
	}{
		{"2", "3", 1, 1, false, ""},
		{"1", "3", -1, 2, false, "no backup was made at change 1; the nearest are at 0 and 2"},
		{"0", "1", -1, 1, false, "no backup was made"},
		{"3", "2", 1, 1, true, ""},
		{"3", "3", 0, 0, false, ""},
		{h.backup(t, 0), h.backup(t, 2), 2, 2, false, ""},
		{plain, "2", 2, -1, false, "is no backup"},
		{edited, "2", 1, 0, false, "does not match its checksum"},
	} {
		d := decode[difference](t, mustRun(t, "diff", "--json", h.data, test.a, test.b))
		length := func(list any, n int) int {
			if data, _ := json.Marshal(list); string(data) == "null" {
				return -1
			}
			return n
		}
		if got := length(d.State, len(d.State)); got != test.state {
			t.Errorf("%s %s: %d differences of states, want %d: %+v", test.a, test.b, got, test.state, d.State)
		}
		if got := length(d.Changes, len(d.Changes)); got != test.changes || d.Undone != test.undone {
			t.Errorf("%s %s: %d changes, undone %v, want %d, %v", test.a, test.b, got, d.Undone, test.changes, test.undone)
		}
		if !strings.Contains(strings.Join(d.Notes, "\n"), test.note) {
			t.Errorf("%s %s: notes %q, want %q", test.a, test.b, d.Notes, test.note)
		}
	}
	flip(t, h.backup(t, 2), "one") // what cannot be read is no use
	if out := mustRun(t, "diff", h.data, "1", "3"); !strings.Contains(out, "no backup was made at change 1; the nearest are at 0 and 3") {
		t.Errorf("printed %s", out)
	}
	wantFailure(t, storectl(t, "diff", h.data, plain, "1"), 1, "neither", "storectl backups "+h.data)
	wantFailure(t, storectl(t, "diff", h.data, "9"), 1, "there is no change 9; the last is 3")
	wantFailure(t, storectl(t, "diff", h.data, put("text", "no JSON")), 1, "is no backup")
}

func TestDiffOfAnotherEpochShowsStatesAlone(t *testing.T) {
	h := threeNotes(t)
	mustRun(t, "restore", h.data, h.backup(t, 2), "--yes")
	h.texts(t) // takes it over
	d := decode[difference](t, mustRun(t, "diff", "--json", h.data, h.backup(t, 0)))
	if len(d.State) != 2 || d.Changes != nil || !strings.Contains(strings.Join(d.Notes, "\n"), "not of one log") {
		t.Errorf("got %+v", d)
	}
}

func TestCompareKeepsNumbersApartAndFindsWhatMoved(t *testing.T) {
	list := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, `,{"id":%d}`, i)
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	for name, test := range map[string]struct{ a, b, want string }{
		"nothing":               {`{"a":[1,{"b":null}]}`, `{ "a" : [1, {"b": null}] }`, `[]`},
		"beyond float64":        {`{"ns":1795543200000000001}`, `{"ns":1795543200000000002}`, `[{"op":"replace","path":"/ns","old":1795543200000000001,"value":1795543200000000002}]`},
		"null and absent":       {`{"a":null}`, `{"b":null}`, `[{"op":"remove","path":"/a","old":null},{"op":"add","path":"/b","value":null}]`},
		"names as of RFC 6901":  {`{"a/b":{"~":1}}`, `{"a/b":{"~":2}}`, `[{"op":"replace","path":"/a~1b/~0","old":1,"value":2}]`},
		"another type":          {`{"a":[]}`, `{"a":{}}`, `[{"op":"replace","path":"/a","old":[],"value":{}}]`},
		"all of it":             {`[]`, `{}`, `[{"op":"add","path":"","old":[],"value":{}}]`},
		"the first of a list":   {list(0, 1000), list(1, 1000), `[{"op":"remove","path":"/0","old":{"id":0}}]`},
		"HTML":                  {`"<a>"`, `"<b>"`, `[{"op":"replace","path":"","old":"<a>","value":"<b>"}]`},
		"the end of a long one": {list(0, 3000), list(0, 3001), `[{"op":"add","path":"/-","value":{"id":3000}}]`},
	} {
		got, err := compare([]byte(test.a), []byte(test.b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var text strings.Builder
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(got); err != nil || strings.TrimSpace(text.String()) != test.want {
			t.Errorf("%s: got %s, %v, want %s", name, text.String(), err, test.want)
		}
	}
}
