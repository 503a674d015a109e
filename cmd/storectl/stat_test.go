package main

import (
	"os"
	"path/filepath"
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
	if o.Dir != h.data || o.InUse || o.First != 1 || o.Last != 3 || o.LastTime == nil || o.Undoable != 1 || len(o.Log.Segments) != 1 || o.Log.Segments[0].Changes != 3 ||
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
