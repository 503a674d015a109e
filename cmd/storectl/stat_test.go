package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestStatShowsWhatThereIs(t *testing.T) {
	h := threeNotes(t)
	h.wantText(t, mustRun(t, "stat", h.data), `
store  HOME/data, nobody has it open
epoch  EPOCH
changes  1 to 3, the last at TIME
log  1 segment, 4.0 KiB
data.json  after change 3, SIZE
backups  2 files in HOME/backups, SIZE, TIME to TIME
undo  any change from 1 on, with restore --before
`)
	o := decode[overview](t, mustRun(t, "stat", "--json", h.data))
	if o.Dir != h.data || o.InUse || o.First == nil || *o.First != 1 || o.Last == nil || *o.Last != 3 || o.LastTime == nil || o.Undoable != 1 || len(o.Log.Segments) != 1 || o.Log.Segments[0].Changes != 3 ||
		o.Log.Bytes != 4<<10 || o.Snapshot.Seq != 3 || o.Snapshot.Whose != "store" || o.Backups.Dir != h.backups || o.Backups.Count != 2 || o.Backups.Bytes == 0 || o.Backups.Oldest == nil || o.Damage != nil {
		t.Errorf("got %+v", o)
	}
}

func TestStatSaysWhatAnOperatorPutThere(t *testing.T) {
	h := threeNotes(t)
	if err := os.WriteFile(filepath.Join(h.data, "data.json"), []byte(`{"notes":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := decode[overview](t, mustRun(t, "stat", "--json", h.data)); o.Snapshot.Whose != "operator" {
		t.Errorf("got %+v", o.Snapshot)
	}
}

func TestStatSaysWhenTheEndOfTheLogIsDamaged(t *testing.T) {
	h := threeNotes(t)
	flip(t, h.segments(t)[0], "one")
	r := storectl(t, "stat", "--json", h.data)
	wantFailure(t, r, 1, "is damaged at byte 64, change 1", "storectl verify")
	if o := decode[overview](t, r.out); o.Damage == nil || o.Damage.Seq != 1 || o.Damage.Offset != 64 || o.Backups.Count != 2 {
		t.Errorf("got %+v", o)
	}
}

// TestStatWithoutALogHasNoFirstAndLast, and otherwise the form that docs/storectl.md
// shows.
func TestStatWithoutALogHasNoFirstAndLast(t *testing.T) {
	h := threeNotes(t)
	if err := os.RemoveAll(filepath.Join(h.data, "wal")); err != nil {
		t.Fatal(err)
	}
	bytes := regexp.MustCompile(`"(size|bytes)": [1-9]\d*`) // of this run
	h.wantText(t, bytes.ReplaceAllString(mustRun(t, "stat", "--json", h.data), `"$1": 99`), `
{
  "dir": "HOME/data",
  "inUse": false,
  "epoch": "EPOCH",
  "first": null,
  "last": null,
  "lastTime": null,
  "undoable": 0,
  "undoableTo": 0,
  "log": {
  "bytes": 0,
  "segments": []
  },
  "snapshot": {
  "path": "HOME/data/data.json",
  "epoch": "EPOCH",
  "seq": 3,
  "size": 99,
  "whose": "store"
  },
  "backups": {
  "dir": "HOME/backups",
  "count": 2,
  "bytes": 99,
  "oldest": "TIME",
  "newest": "TIME"
  },
  "setAside": {
  "count": 0,
  "bytes": 0
  },
  "damage": null,
  "findings": []
}
`)
}
