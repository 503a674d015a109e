package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func (h home) wantTexts(t *testing.T, want ...string) {
	t.Helper()
	if got := h.texts(t); !slices.Equal(got, want) {
		t.Errorf("the store has %q, want %q", got, want)
	}
}

func TestRestoreGoesBackToABackup(t *testing.T) {
	for name, arg := range map[string]func(h home) string{
		"by path":         func(h home) string { return h.backup(t, 2) },
		"by name":         func(h home) string { return filepath.Base(h.backup(t, 2)) },
		"by another name": func(h home) string { return h.data + "/../backups/" + filepath.Base(h.backup(t, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := threeNotes(t)
			out := mustRun(t, "restore", h.data, arg(h), "--yes")
			h.wantText(t, out, `
store  HOME/data
restore  backup-2-STAMP.json, the state after change 2, saved TIME
set aside  1 change, 3
kept in  HOME/backups
Restored. Start the program: it takes the state over, and sets aside what was newer.
To undo this, stop it again and run: storectl restore HOME/data backup-3-STAMP.json
`)
			h.wantTexts(t, "one", "two")
			// And the undoing that it speaks of.
			_, undo, _ := strings.Cut(out, "run: storectl ")
			mustRun(t, append(strings.Fields(undo), "--yes")...)
			h.wantTexts(t, "one", "two", "three")
			// Its epoch begins with a change 3 as well, which is another state.
			out = mustRun(t, "restore", h.data, h.backup(t, 0), "--yes")
			_, undo, _ = strings.Cut(out, "run: storectl ")
			mustRun(t, append(strings.Fields(undo), "--yes")...)
			h.wantTexts(t, "one", "two", "three")
		})
	}
}

func TestRestoreGoesBackToBeforeAChange(t *testing.T) {
	for seq, want := range map[string][]string{"1": nil, "2": {"one"}, "3": {"one", "two"}} {
		h := threeNotes(t)
		out := mustRun(t, "restore", h.data, "--before", seq, "--yes")
		if !strings.Contains(out, "the state before change "+seq) || !strings.Contains(out, "Restored.") {
			t.Errorf("printed %s", out)
		}
		h.wantTexts(t, want...)
	}
	h := threeNotes(t)
	h.wantText(t, mustRun(t, "restore", h.data, "--before", "2", "--yes"), `
store  HOME/data
restore  the state before change 2
set aside  2 changes, 2 to 3
kept in  HOME/backups
Restored. Start the program: it takes the state over, and sets aside what was newer.
To undo this, stop it again and run: storectl restore HOME/data backup-3-STAMP.json
`)
}

func TestRestoreRefusesWhileAProgramHasTheStoreOpen(t *testing.T) {
	h := threeNotes(t)
	closeIt := h.openInChild(t)
	before := fingerprint(t, h.data)
	for _, args := range [][]string{{"--before", "2"}, {h.backup(t, 2)}} {
		r := storectl(t, append([]string{"restore", h.data, "--yes"}, args...)...)
		wantFailure(t, r, 1, "a program has "+h.data+" open", "stop it", "nothing was done")
		if r.out != "" {
			t.Errorf("printed %s", r.out)
		}
	}
	if out := mustRun(t, "restore", h.data, "--before", "2", "--dry-run"); !strings.Contains(out, "stop it first") {
		t.Errorf("the dry run prints %s", out)
	}
	if fingerprint(t, h.data) != before {
		t.Error("restore has changed something")
	}
	closeIt()
	mustRun(t, "restore", h.data, "--before", "2", "--yes")
	h.wantTexts(t, "one")
}

// answering runs restore for a person who types something.
func answering(t *testing.T, ctx context.Context, typed io.Reader, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := run(ctx, args, &console{in: typed, out: &out, err: &err, asks: true})
	return result{code, out.String(), err.String()}
}

func TestRestoreAsksAndTakesNothingButYesForYes(t *testing.T) {
	for typed, restored := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "n\n": false, "": false, "yesterday\n": false} {
		h := threeNotes(t)
		before := fingerprint(t, h.folder)
		r := answering(t, t.Context(), strings.NewReader(typed), "restore", h.data, "--before", "3")
		if r.code != 0 || r.err != "Restore? [y/N] " || strings.Contains(r.out, "Restored.") != restored || strings.Contains(r.out, "Nothing was done.") == restored {
			t.Errorf("%q: exit code %d, %s%s", typed, r.code, r.out, r.err)
		}
		if (fingerprint(t, h.folder) != before) != restored {
			t.Errorf("%q: restored is not %v", typed, restored)
		}
	}
}

func TestCtrlCAtTheQuestionIsNo(t *testing.T) {
	h := threeNotes(t)
	before := fingerprint(t, h.folder)
	ctx, cancel := context.WithCancel(t.Context())
	in, typing := io.Pipe()
	defer typing.Close()
	asked := &lineWriter{lines: make(chan string)}
	ended := make(chan result)
	go func() {
		// The question is asked once the plan is printed.
		code := run(ctx, []string{"restore", h.data, "--before", "3"}, &console{in: in, out: asked, err: io.Discard, asks: true})
		ended <- result{code: code}
	}()
	for range 4 {
		<-asked.lines
	}
	cancel()
	if r := <-ended; r.code != 1 {
		t.Errorf("exit code %d", r.code)
	}
	if fingerprint(t, h.folder) != before {
		t.Error("restore has changed something")
	}
}

func TestRestoreSaysWhyItCannot(t *testing.T) {
	h := threeNotes(t)
	wantFailure(t, storectl(t, "restore", h.data, "--before", "9", "--yes"), 1, "there is no change 9; the last is 3")
	wantFailure(t, storectl(t, "restore", h.data, "none.json", "--yes"), 1, "there is no file none.json")
	flip(t, h.backup(t, 2), "one")
	wantFailure(t, storectl(t, "restore", h.data, h.backup(t, 2), "--yes"), 1, "is damaged", "storectl backups "+h.data)
	h.wantTexts(t, "one", "two", "three")
}

func TestRestoreWorksWhereThePresentStateIsDamaged(t *testing.T) {
	h := threeNotes(t)
	keep := modified(t, h.data+"/data.json")
	flip(t, h.data+"/data.json", "one")
	keep()
	out := mustRun(t, "restore", h.data, "--before", "3", "--yes")
	if !strings.Contains(strings.Join(strings.Fields(out), " "), "set aside 1 change, 3") {
		t.Errorf("printed %s", out)
	}
	h.wantTexts(t, "one", "two")
}

func TestRestoreWorksWhereTheLogIsDamaged(t *testing.T) {
	h := threeNotes(t)
	flip(t, h.segments(t)[0], "one")
	out := mustRun(t, "restore", h.data, h.backup(t, 2), "--yes")
	if !strings.Contains(out, "the log, which is damaged from change 1 on") {
		t.Errorf("printed %s", out)
	}
	h.wantTexts(t, "one", "two")
}

// TestRestoringThePresentDataGoesOnWithoutADamagedLog follows the advice of
// verify.
func TestRestoringThePresentDataGoesOnWithoutADamagedLog(t *testing.T) {
	h := threeNotes(t)
	flip(t, h.segments(t)[0], "one")
	r := storectl(t, "verify", h.data)
	_, advice, _ := strings.Cut(r.err, "\nstorectl ")
	advice, _, found := strings.Cut(advice, " goes on from data.json, after change 3, without the log")
	if !found {
		t.Fatalf("verify says %s", r.err)
	}
	mustRun(t, append(strings.Fields(advice), "--yes")...)
	h.wantTexts(t, "one", "two", "three")
}

func TestTheDryRunRefusesWhatTheRestoreWould(t *testing.T) {
	for text, seq := range map[string]string{"one": "1", "two": "2", "three": "3"} {
		for before, possible := range map[string]bool{"1": true, "2": seq != "1", "3": true, "4": false} { // 3 by the backup of change 2
			h := threeNotes(t)
			flip(t, h.segments(t)[0], text)
			for _, how := range []string{"--dry-run", "--yes"} {
				r := storectl(t, "restore", h.data, "--before", before, how)
				if (r.code == 0) != possible {
					t.Errorf("change %s damaged, before %s %s: exit code %d, %s", seq, before, how, r.code, r.err)
				}
				if !possible && !strings.Contains(r.err, "storectl restore "+h.data+" --before "+seq+"\n") {
					t.Errorf("change %s damaged, before %s %s: says %s", seq, before, how, r.err)
				}
			}
		}
	}
}

func TestARestoreSaysWhatItReplacesWhereNothingWasChangedSinceTheLast(t *testing.T) {
	h := threeNotes(t)
	mustRun(t, "restore", h.data, "--before", "2", "--yes")
	h.wantTexts(t, "one")
	h.wantText(t, mustRun(t, "stat", h.data), `
store  HOME/data, nobody has it open
epoch  EPOCH
changes  none in the log; the last was 3
log  1 segment, 4.0 KiB
data.json  after change 3, SIZE
backups  4 files in HOME/backups, SIZE, TIME to TIME
set aside  2 files, 4.3 KiB
undo  nothing was changed since the data was replaced; to undo that: restore backup-3-STAMP.json
  or any change from 1 to 3 of before that, with restore --before
`)
	h.wantText(t, mustRun(t, "restore", h.data, "--before", "3", "--yes"), `
store  HOME/data
restore  the state before change 3, in the epoch EPOCH
replaces  the state after change 3, in the epoch EPOCH
set aside  no change: there was none since that epoch began
kept in  HOME/backups
Restored. Start the program: it takes the state over, and sets aside what was newer.
To undo this, stop it again and run: storectl restore HOME/data backup-3-STAMP.json
`)
	h.wantTexts(t, "one", "two")
}
