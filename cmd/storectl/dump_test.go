package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
)

// dumped returns the seqs that dump prints.
func dumped(t testing.TB, args ...string) (seqs []uint64) {
	t.Helper()
	for line := range strings.Lines(mustRun(t, append([]string{"dump"}, args...)...)) {
		seqs = append(seqs, decode[change](t, line).Seq)
	}
	return seqs
}

func TestDumpPrintsChangesAsLinesOfJSON(t *testing.T) {
	h := threeNotes(t)
	still(t, func(t *testing.T) {
		s := h.openNotes(t)
		defer closeStore(t, s)
		_, err := s.Update(atomicstore.WithRequestID(t.Context(), "r<1>"), func(*notes) ([]noteEvent, error) {
			return []noteEvent{{Removed: &removed{1}}, {Removed: &removed{2}}}, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	h.wantText(t, mustRun(t, "dump", h.data), `
{"epoch":"EPOCH","seq":1,"time":"TIME","id":"ID","events":[{"added":{"id":1,"text":"one"}}]}
{"epoch":"EPOCH","seq":2,"time":"TIME","id":"ID","events":[{"added":{"id":2,"text":"two"}}]}
{"epoch":"EPOCH","seq":3,"time":"TIME","id":"ID","events":[{"added":{"id":3,"text":"three"}}]}
{"epoch":"EPOCH","seq":4,"time":"TIME","id":"ID","requestId":"r<1>","events":[{"removed":{"id":1}},{"removed":{"id":2}}]}
`)
	for _, test := range []struct {
		args string
		want []uint64
	}{
		{"--after 2", []uint64{3, 4}},
		{"--until 2", []uint64{1, 2}},
		{"--limit 3", []uint64{1, 2, 3}},
		{"--after 1 --until 3", []uint64{2, 3}},
		{"--after 1 --until 9 --limit 1", []uint64{2}},
		{"--after 4", nil},
	} {
		if got := dumped(t, append(strings.Fields(test.args), h.data)...); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %v, want %v", test.args, got, test.want)
		}
	}
	if mustRun(t, "dump", h.data, "--json") != mustRun(t, "dump", h.data) {
		t.Error("--json changes what dump prints")
	}
	wantFailure(t, storectl(t, "dump", h.data, "--after", "5"), 1, "ahead of the log, which ends with change 4")
}

func TestDumpBeginsWithTheOldestChangeThatIsHeld(t *testing.T) {
	h := newHome(t)
	o := h.options()
	o.KeepModifications, o.KeepBackups = 5, 1
	still(t, func(t *testing.T) {
		s, err := atomicstore.Open(h.data, &notes{}, applyNote, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			write(t, s, strings.Repeat(fmt.Sprint(i, " "), 1200), "short")
			checkpoint(t, s)
			write(t, s, "short", "short", "short")
		}
		closeStore(t, s)
	})
	seqs := dumped(t, h.data)
	if seqs[0] < 2 || seqs[len(seqs)-1] != 20 || len(seqs) != int(20-seqs[0]+1) {
		t.Fatalf("got %v, want the last changes up to 20", seqs)
	}
	r := storectl(t, "dump", h.data, "--after", "1")
	if want := fmt.Sprintf("changes 2 to %d are no longer held", seqs[0]-1); r.code != 0 || strings.Count(r.out, "\n") != len(seqs) || !strings.Contains(r.err, want) {
		t.Errorf("exit code %d, %q, want %q", r.code, r.err, want)
	}
}

func TestDumpPrintsWhatIsWholeBeforeItFailsAtDamage(t *testing.T) {
	h := threeNotes(t)
	flip(t, h.segments(t)[0], "three") // in the third batch, which data.json was made after
	r := storectl(t, "dump", h.data)
	wantFailure(t, r, 1, "is damaged", "change 3", "storectl verify "+h.data)
	if strings.Count(r.out, "\n") != 2 {
		t.Errorf("printed %s", r.out)
	}
}

func TestDumpStatePrintsTheStateWithItsPosition(t *testing.T) {
	h := threeNotes(t)
	h.wantText(t, mustRun(t, "dump", h.data, "--state"), `
{"epoch":"EPOCH","seq":3,"savedAt":"TIME","state":{"notes":[{"id":1,"text":"one"},{"id":2,"text":"two"},{"id":3,"text":"three"}]}}
`)
	mustRun(t, "restore", h.data, "--before", "2", "--yes")
	line := decode[stateLine](t, mustRun(t, "dump", h.data, "--state"))
	var state notes
	if err := json.Unmarshal(line.State, &state); err != nil {
		t.Fatal(err)
	}
	if line.Seq != 0 || len(state.Notes) != 0 || len(line.Changes) != 1 || line.Changes[0].Seq != 1 {
		t.Errorf("before a restore is taken over: got %+v", line)
	}
}
