package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reading is every command that only reads.
func (h home) reading(t testing.TB) [][]string {
	return [][]string{
		{"stat", h.data}, {"stat", "--json", h.folder},
		{"verify", h.data}, {"verify", "--json", h.data},
		{"dump", h.data}, {"dump", h.data, "--state"},
		{"tail", h.data}, {"tail", "--json", h.data},
		{"backups", h.data}, {"backups", "--json", h.data},
		{"diff", h.data, h.backup(t, 2)}, {"diff", "--json", h.data, "1", "3"},
		{"restore", h.data, "--before", "2", "--dry-run"},
	}
}

func TestReadingChangesNothing(t *testing.T) {
	h := threeNotes(t)
	lock := filepath.Join(h.data, "LOCK")
	for _, withLock := range []bool{true, false} {
		if !withLock {
			if err := os.Remove(lock); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range h.reading(t) {
			before := fingerprint(t, h.folder)
			mustRun(t, args...)
			if fingerprint(t, h.folder) != before {
				t.Errorf("storectl %s has changed something", strings.Join(args, " "))
			}
		}
	}
	if _, err := os.Stat(lock); err == nil {
		t.Error("LOCK was made")
	}
}

func TestReadingWorksBesideAProgramThatHasTheStoreOpen(t *testing.T) {
	h := threeNotes(t)
	closeIt := h.openInChild(t)
	defer closeIt()
	for _, args := range h.reading(t) {
		mustRun(t, args...)
	}
	if out := mustRun(t, "dump", h.data, "--after", "3"); !strings.Contains(out, "from a child") {
		t.Errorf("the child's change is not there: %s", out)
	}
	if o := decode[overview](t, mustRun(t, "stat", "--json", h.data)); !o.InUse {
		t.Error("stat does not say that the store is in use")
	}
}

func TestCommandsWorkOnStoresOfOtherTypes(t *testing.T) {
	h := newHome(t)
	still(t, func(t *testing.T) {
		s := h.openVotes(t)
		update(t, s, vote{"dragon"})
		checkpoint(t, s)
		update(t, s, vote{"dragon"}, vote{"rose"})
		closeStore(t, s)
	})
	h.wantText(t, mustRun(t, "tail", h.data), `
  1  TIME  for "dragon"
  2  TIME  for "dragon"
  for "rose"
`)
	h.wantText(t, mustRun(t, "diff", h.data, "1", "2"), `
from  change 1, HOME/backups/backup-1-STAMP.json
to  change 2, HOME/data/data.json

state: 2 differences
- /dragon  1
+ /dragon  2
+ /rose  1

log: 1 change
  2  TIME  for "dragon"
  for "rose"
`)
	mustRun(t, "verify", h.data)
	mustRun(t, "restore", h.data, "--before", "2", "--yes")
	s := h.openVotes(t)
	defer closeStore(t, s)
	if v, _ := s.State(); v["dragon"] != 1 || v["rose"] != 0 {
		t.Errorf("before the change 2 there was %v", v)
	}
}

func TestACommandThatIsInterruptedSaysSo(t *testing.T) {
	h := threeNotes(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"dump", h.data}, {"verify", h.data}, {"tail", h.data}, {"restore", h.data, "--before", "2", "--yes"}} {
		var out, err bytes.Buffer
		code := run(ctx, args, &console{in: strings.NewReader(""), out: &out, err: &err})
		if code != 1 || err.String() != "storectl: interrupted\n" {
			t.Errorf("%s: exit code %d, %q", args[0], code, err.String())
		}
	}
}

func TestAFolderThatIsNoStoreIsAnErrorThatSaysWhatToName(t *testing.T) {
	h := newHome(t)
	for _, command := range []string{"stat", "verify", "dump", "tail", "backups"} {
		wantFailure(t, storectl(t, command, h.data), 1, "there is no folder", "data.json and wal/")
		wantFailure(t, storectl(t, command, h.folder), 1, "is no store", "data.json and wal/")
	}
	h = threeNotes(t)
	for _, path := range []string{h.data + "/data.json", h.data + "/data.json/more", h.segments(t)[0]} {
		wantFailure(t, storectl(t, "stat", path), 1, "data.json and wal/")
	}
	wantFailure(t, storectl(t, "stat", h.data+"/data.json"), 1, "is a file, not a folder")
	wantFailure(t, storectl(t, "stat", h.data, "--backups", h.data+"/data.json"), 1, "is a file, not a folder")
	stranger := h.stranger(t, h.data)
	for _, args := range [][]string{{"stat", h.data}, {"verify", h.folder}, {"tail", h.data}, {"restore", h.data, "--before", "2", "--yes"}} {
		r := stranger(args...)
		wantFailure(t, r, 1, "permission denied", "run storectl as the user that the program runs as")
		if strings.Contains(r.err, "no store") {
			t.Errorf("%v says %s", args, r.err)
		}
	}
	h = threeNotes(t)
	h.removeLog(t)
	for _, command := range []string{"dump", "tail"} {
		wantFailure(t, storectl(t, command, h.data), 1, "has data.json and no wal/", "storectl stat "+h.data)
	}
	mustRun(t, "restore", h.folder, h.backup(t, 2), "--yes")
	h.wantTexts(t, "one", "two")
	h = threeNotes(t)
	wantFailure(t, storectl(t, "stat", h.data, "--backups", h.data+"/none"), 1, "there is no folder", "Options.BackupDir")
	wantFailure(t, storectl(t, "diff", h.data, "none.json"), 1, "there is no file none.json", "storectl backups "+h.data)
}

func TestBackupsAreFoundWhereverProgramsKeepThem(t *testing.T) {
	h := threeNotes(t)
	want := len(decode[[]any](t, mustRun(t, "backups", "--json", h.data)))
	if want < 2 {
		t.Fatalf("there are %d backups", want)
	}
	for _, place := range []string{filepath.Join(h.data, "backups"), h.data + "-backups", filepath.Join(h.folder, "elsewhere")} {
		if err := os.Rename(h.backups, place); err != nil {
			t.Fatal(err)
		}
		h.backups = place
		args := []string{"backups", "--json", h.data}
		if filepath.Base(place) == "elsewhere" {
			wantFailure(t, storectl(t, args...), 1, "--backups")
			args = append(args, "--backups", place)
		}
		if got := len(decode[[]any](t, mustRun(t, args...))); got != want {
			t.Errorf("%s: got %d backups, want %d", place, got, want)
		}
	}
}
