package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// TestEachOfTheLatestModificationsCanBeUndone restores to before each of the
// latest 50 changes, whatever snapshots there are between them, and across a
// data.json that an operator put there.
func TestEachOfTheLatestModificationsCanBeUndone(t *testing.T) {
	dir := t.TempDir()
	for _, every := range []int{1, 3, 17, 1000} { // changes between checkpoints
		for _, replacedAt := range [][]int{nil, {100}, {95, 110, 115}} {
			inBubble(t, func(t *testing.T) { undoEach(t, dir, every, replacedAt) })
		}
	}
}

// TestWithoutBackupDirTheRemedyIsNamed where data.json is too new to go back
// from: the caller may have forgotten the folder.
func TestWithoutBackupDirTheRemedyIsNamed(t *testing.T) {
	dir := t.TempDir()
	backups := filepath.Join(dir, "backups")
	s := mustOpen(t, dir, &Options{BackupDir: backups})
	mustWrite(t, s, "one", "two")
	mustClose(t, s)
	err := RestoreBefore(t.Context(), dir, 2, nil)
	var gone *TruncatedError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "set Options.BackupDir") {
		t.Errorf("got %v, want *TruncatedError and the remedy", err)
	}
	if err := RestoreBefore(t.Context(), dir, 2, &Options{BackupDir: backups}); err != nil {
		t.Error("with it:", err)
	}
}

func undoEach(t *testing.T, dir string, every int, replacedAt []int) {
	options := func(d *crashfs.Disk) *Options {
		return &Options{BackupDir: "/backups", KeepBackups: 3, SegmentBytes: 1024, seam: seam{FS: d}}
	}
	d := crashfs.New()
	s := mustOpen(t, dir, options(d))
	states := map[uint64][]string{} // before each change
	var at Position
	for i := range 130 {
		if slices.Contains(replacedAt, i) {
			mustClose(t, s)
			d.Put(filepath.Join(dir, snapshotName), false, fmt.Sprintf(`{"lines": ["his %d"]}`, i))
			s = mustOpen(t, dir, options(d))
		}
		before := slices.Clone(lines(s))
		at = mustWrite(t, s, fmt.Sprint(i))
		states[at.Seq] = before
		if i%every == 0 {
			checkpoint(t, s)
		}
	}
	st := s.Stats()
	mustClose(t, s)
	if len(replacedAt) == 0 && (st.Undoable == 0 || st.Undoable > at.Seq-49) || st.AgedOut {
		t.Errorf("Stats says that changes from %d of %d on can be undone, aged out: %v", st.Undoable, at.Seq, st.AgedOut)
	}
	for seq := at.Seq - 49; seq <= at.Seq; seq++ {
		copied := d.AfterCrash(crashfs.KeepAll)
		if err := RestoreBefore(t.Context(), dir, seq, options(copied)); err != nil {
			t.Fatalf("a checkpoint every %d, replaced at %v, before %d of %d: %v", every, replacedAt, seq, at.Seq, err)
		}
		s := mustOpen(t, dir, options(copied))
		got := slices.Clone(lines(s))
		_, after := s.State()
		mustClose(t, s)
		if !slices.Equal(got, states[seq]) {
			t.Fatalf("a checkpoint every %d, replaced at %v, before %d of %d: got %q, want %q", every, replacedAt, seq, at.Seq, got, states[seq])
		}
		if after.Epoch == at.Epoch || after.Seq < at.Seq {
			t.Errorf("after %s comes %s, want another epoch that counts on", at, after)
		}
	}
	var gone *TruncatedError
	if err := RestoreBefore(t.Context(), dir, 2, options(d)); every == 1 && !errors.As(err, &gone) {
		t.Errorf("before change 2: got %v, want *TruncatedError", err)
	}
	if err := RestoreBefore(t.Context(), dir, at.Seq+1, options(d)); err == nil {
		t.Error("a change that is not there was undone")
	}
}

func TestARestoreCanBeUndone(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	mustWrite(t, s, "two")
	checkpoint(t, s)
	mustWrite(t, s, "three")
	list, err := s.Backups()
	if err != nil || len(list) != 2 || list[1].Seq != 1 || list[1].Size == 0 || list[1].Time.IsZero() {
		t.Fatalf("backups %+v, %v", list, err)
	}
	if err := Restore(t.Context(), p.data, list[1].Path, p.options()); !errors.Is(err, ErrLocked) {
		t.Fatalf("restoring under an open store: got %v, want ErrLocked", err)
	}
	if err := RestoreBefore(t.Context(), p.data, 2, p.options()); !errors.Is(err, ErrLocked) {
		t.Fatalf("restoring under an open store: got %v, want ErrLocked", err)
	}
	mustClose(t, s)
	if err := Restore(t.Context(), p.data, list[1].Path, p.options()); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	wantLines(t, s, "one")
	mustClose(t, s)

	list, err = Backups(p.backups)
	if err != nil {
		t.Fatal(err)
	}
	var newest Backup
	for _, b := range list {
		if b.Seq == 3 && newest.Path == "" { // the one of before the restore
			newest = b
		}
	}
	for range 2 { // to what is there already as well
		if err := Restore(t.Context(), p.data, newest.Path, p.options()); err != nil {
			t.Fatal(err)
		}
		s = p.open(t)
		wantLines(t, s, "one", "two", "three")
		mustClose(t, s)
	}
}

func TestARestoreNeedsNoManifest(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	mustWrite(t, s, "two")
	mustClose(t, s)
	if err := os.Remove(filepath.Join(p.data, manifestName)); err != nil {
		t.Fatal(err)
	}
	if err := RestoreBefore(t.Context(), p.data, 2, p.options()); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	defer mustClose(t, s)
	wantLines(t, s, "one")
}

func TestADamagedBackupIsNotRestored(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	mustWrite(t, s, "two")
	mustClose(t, s)
	list, err := Backups(p.backups)
	if err != nil {
		t.Fatal(err)
	}
	path := list[len(list)-1].Path
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-6] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if err := Restore(t.Context(), p.data, path, p.options()); !errors.As(err, &corrupt) || corrupt.Path != path {
		t.Errorf("got %v, want *CorruptError", err)
	}
	s = p.open(t)
	wantLines(t, s, "one", "two")
	mustClose(t, s)
}

// TestWhatLiesBeforeDamageCanBeRestored damages the second of three changes, or
// the header of their segment.
func TestWhatLiesBeforeDamageCanBeRestored(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two", "three")
	mustClose(t, s)
	path, data := segmentOf(t, p.data)
	starts := frames(t, data)
	flip := func(at int) {
		t.Helper()
		data[at] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var corrupt *CorruptError
	flip(segmentHeader - 1)
	for seq := uint64(1); seq <= 3; seq++ {
		if err := RestoreBefore(t.Context(), p.data, seq, p.options()); !errors.As(err, &corrupt) || corrupt.Path != path {
			t.Errorf("before change %d of a segment without a header: got %v, want *CorruptError", seq, err)
		}
	}
	flip(segmentHeader - 1)
	flip(starts[1] + batchHeader)
	if err := RestoreBefore(t.Context(), p.data, 3, p.options()); !errors.As(err, &corrupt) || corrupt.Seq != 2 {
		t.Errorf("before a change behind the damage: got %v, want *CorruptError of change 2", err)
	}
	if err := RestoreBefore(t.Context(), p.data, 2, p.options()); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	wantLines(t, s, "one")
	at := mustWrite(t, s, "other")
	mustClose(t, s)
	if at.Seq != 4 {
		t.Errorf("the next change is %d, want one above the highest ever given", at.Seq)
	}

	// The damage is among what was set aside from now on, and in nobody's way.
	if err := RestoreBefore(t.Context(), p.data, 4, p.options()); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	wantLines(t, s, "one")
	mustClose(t, s)
}

// TestWhatFollowsASnapshotBehindDamageCanBeRestored: the damage does not matter
// to what is made of a later snapshot and the log from there.
func TestWhatFollowsASnapshotBehindDamageCanBeRestored(t *testing.T) {
	for _, segmentBytes := range []int64{256, 4096} { // several segments, and one
		p := newHome(t)
		options := func() *Options {
			o := p.options()
			o.SegmentBytes = segmentBytes
			return o
		}
		s := mustOpen(t, p.data, options())
		mustWrite(t, s, "one", "two", "three")
		checkpoint(t, s)
		mustWrite(t, s, "four", "five", "six")
		mustClose(t, s)
		names, err := filepath.Glob(filepath.Join(p.data, walName, "*"+segmentSuffix))
		if err != nil || len(names) == 0 || (segmentBytes == 4096) != (len(names) == 1) {
			t.Fatalf("segments %v, %v", names, err)
		}
		data, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		data[frames(t, data)[0]+batchHeader] ^= 1 // in the first change
		if err := os.WriteFile(names[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		want := []string{"one", "two", "three", "four", "five", "six"}
		for seq := uint64(2); seq <= 8; seq++ {
			copied := newHome(t)
			if err := errors.Join(os.CopyFS(copied.data, os.DirFS(p.data)), os.CopyFS(copied.backups, os.DirFS(p.backups))); err != nil {
				t.Fatal(err)
			}
			err := RestoreBefore(t.Context(), copied.data, seq, copied.options())
			var corrupt *CorruptError
			if seq < 4 || seq > 6 { // before the snapshot, or no change that there was
				if !errors.As(err, &corrupt) || corrupt.Seq != 1 {
					t.Errorf("before change %d: got %v, want *CorruptError of change 1", seq, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("before change %d: %v", seq, err)
				continue
			}
			s := copied.open(t)
			wantLines(t, s, want[:seq-1]...)
			mustClose(t, s)
		}
	}
}

// TestADamagedLogAmongThoseSetAsideDisablesNoOther of them.
func TestADamagedLogAmongThoseSetAsideDisablesNoOther(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two")
	mustClose(t, s)
	if err := RestoreBefore(t.Context(), p.data, 2, p.options()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, p.open(t))
	logger, logged := logOf()
	o := p.options()
	o.Logger = logger
	bad := filepath.Join(p.backups, asideName(segmentName(7, 40), time.Now()))
	if err := os.WriteFile(bad, []byte("no header"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RestoreBefore(t.Context(), p.data, 2, o); err != nil {
		t.Fatal(err)
	}
	if got := logged(); !strings.Contains(got, "set aside is damaged") || !strings.Contains(got, bad) {
		t.Errorf("logged was\n%s", got)
	}
	s = p.open(t)
	wantLines(t, s, "one")
	mustClose(t, s)
}

// TestARestoreSurvivesAPowerCut cuts the power at every operation of a restore:
// the next open finds the state of before or of after, whole.
func TestARestoreSurvivesAPowerCut(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		for _, backups := range []string{"/backups", ""} {
			d := crashfs.New()
			o := &Options{SegmentBytes: 4 << 10, BackupDir: backups, seam: seam{FS: d}}
			s := mustOpen(t, dir, o)
			mustWrite(t, s, numbered("", 5)...)
			if backups != "" {
				checkpoint(t, s)
			}
			cut := d.AfterCrash(crashfs.KeepAll) // not closed: the log holds the last changes alone
			mustClose(t, s)
			for n := 1; ; n++ {
				at := cut.AfterCrash(crashfs.KeepAll)
				at.CrashAt = n
				err := RestoreBefore(t.Context(), dir, 4, &Options{SegmentBytes: 4 << 10, BackupDir: backups, seam: seam{FS: at}})
				for seed := range uint64(4) {
					left := at.AfterCrash(crashfs.KeepSome(seed + uint64(n)))
					s := mustOpen(t, dir, &Options{SegmentBytes: 4 << 10, BackupDir: backups, seam: seam{FS: left}})
					got := lines(s)
					mustClose(t, s)
					if want := numbered("", 3); !slices.Equal(got, want) && (err == nil || !slices.Equal(got, numbered("", 5))) {
						t.Fatalf("power cut at operation %d, restore gave %v: the ledger has %q", n, err, got)
					}
					if err != nil {
						continue
					}
					kept := 0
					for path := range left.Entries {
						if _, _, ok := parseAsideName(filepath.Base(path)); ok {
							kept++
						}
					}
					if kept == 0 {
						t.Errorf("power cut at operation %d: nothing was set aside", n)
					}
				}
				if err == nil {
					break
				}
			}
		}
	})
}

// TestThePlanAndTheRestoreAreOneDecision damages the log in every batch and
// compares, for every change, what the plan says with what is done.
func TestThePlanAndTheRestoreAreOneDecision(t *testing.T) {
	// What can be undone up to, of three changes, with each batch damaged; the
	// backup of change 1 lies behind the first.
	for damaged, upTo := range []uint64{3, 3, 2, 3} {
		p := newHome(t)
		s := p.open(t)
		mustWrite(t, s, "one")
		checkpoint(t, s)
		mustWrite(t, s, "two", "three")
		mustClose(t, s)
		path, data := segmentOf(t, p.data)
		if starts := frames(t, data); damaged > 0 {
			data[starts[damaged-1]+batchHeader] ^= 1
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for seq := uint64(0); seq <= 5; seq++ {
			copied := newHome(t)
			if err := errors.Join(os.CopyFS(copied.data, os.DirFS(p.data)), os.CopyFS(copied.backups, os.DirFS(p.backups))); err != nil {
				t.Fatal(err)
			}
			before := fingerprint(t, filepath.Dir(copied.data))
			plan, planErr := PlanRestoreBefore(t.Context(), copied.data, seq, copied.options())
			if fingerprint(t, filepath.Dir(copied.data)) != before {
				t.Error("the plan has changed something")
			}
			err := RestoreBefore(t.Context(), copied.data, seq, copied.options())
			if (planErr == nil) != (err == nil) {
				t.Errorf("batch %d damaged, before change %d: planned %v, done %v", damaged, seq, planErr, err)
			}
			if want := seq > 0 && seq <= upTo; (err == nil) != want {
				t.Errorf("batch %d damaged, before change %d: got %v, want to be possible: %v", damaged, seq, err, want)
			}
			if err != nil {
				continue
			}
			s := copied.open(t)
			if plan.Seq != seq-1 || len(lines(s)) != int(plan.Seq) || plan.Path == "" {
				t.Errorf("batch %d damaged, before change %d: planned %+v, got %q", damaged, seq, plan, lines(s))
			}
			mustClose(t, s)
		}
	}
}

// TestNumbersGoOnAfterARestore is what docs/storectl.md says of them.
func TestNumbersGoOnAfterARestore(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	old := mustWrite(t, s, numbered("", 4)...)
	mustClose(t, s)
	if err := RestoreBefore(t.Context(), p.data, 3, p.options()); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	defer mustClose(t, s)
	wantLines(t, s, numbered("", 2)...)
	if _, at := s.State(); at.Seq != 4 {
		t.Errorf("the store stands at %d, want 4", at.Seq)
	}
	if at := mustWrite(t, s, "next"); at.Seq != 5 {
		t.Errorf("the next change is %d, want 5", at.Seq)
	}
	var gone *TruncatedError
	for _, err := range s.Changes(t.Context(), Position{}) {
		if !errors.As(err, &gone) || gone.First != 5 {
			t.Errorf("from the zero position: got %v, want *TruncatedError of 5", err)
		}
		break
	}
	for _, err := range s.Changes(t.Context(), old) {
		if !errors.Is(err, ErrEpoch) {
			t.Errorf("from the old epoch: got %v, want ErrEpoch", err)
		}
		break
	}
	if _, err := PlanRestoreBefore(t.Context(), p.data, 4, p.options()); err != nil {
		t.Errorf("before a change that was set aside: %v", err)
	}
}

// TestRestoreEndsWithItsContext as long as it only reads: then nothing is done,
// and afterwards all of it.
func TestRestoreEndsWithItsContext(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	mustWrite(t, s, "two", "three")
	mustClose(t, s)
	before := fingerprint(t, filepath.Dir(p.data))
	o := p.options()
	cancelledAt := func(read int) context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		reads := 0
		o.FS = reading{Disk: vfs.Disk{}, each: func() {
			if reads++; reads == read {
				cancel()
			}
		}}
		return ctx
	}
	for read := 1; ; read++ {
		if _, err := PlanRestoreBefore(cancelledAt(read), p.data, 3, o); err == nil {
			if read < 5 {
				t.Errorf("the plan reads %d times: too few to mean anything", read-1)
			}
			break
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled at read %d, the plan gives %v", read, err)
		}
	}
	for read := 1; ; read++ {
		err := RestoreBefore(cancelledAt(read), p.data, 3, o)
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled at read %d: %v", read, err)
		}
		if fingerprint(t, filepath.Dir(p.data)) != before {
			t.Fatalf("cancelled at read %d it has changed something", read)
		}
	}
	s = p.open(t)
	defer mustClose(t, s)
	wantLines(t, s, "one", "two")
}
