package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// simOptions makes segments so small that the workload fills several.
func simOptions(d *crashfs.Disk) *Options {
	return &Options{SegmentBytes: 512, BackupDir: "/backups", KeepModifications: 4, KeepBackups: 3, seam: seam{FS: d}}
}

// history is what a workload was told.
type history struct {
	acknowledged []string // in order
	unknown      []string // the update under way when it ended, if any
}

// workload opens a store and uses everything that writes. It stops at the
// first failure. Time stands still in its bubble, so the operations on the
// disk are the same at each run.
func workload(t *testing.T, dir string, d *crashfs.Disk) (h history) {
	s, err := openLedger(dir, simOptions(d))
	if err != nil {
		return h
	}
	defer s.Close()
	for i := range 12 {
		group := []string{fmt.Sprintf("a%d", i)}
		if i%3 == 0 {
			group = append(group, fmt.Sprintf("b%d", i)) // one change of two events
		}
		_, err := s.Update(t.Context(), func(*ledger) ([]entry, error) {
			var events []entry
			for _, line := range group {
				events = append(events, add(line))
			}
			return events, nil
		})
		if errors.Is(err, ErrReplaced) || errors.Is(err, ErrDiskFull) {
			return h // not taken
		}
		if err != nil {
			if !errors.Is(err, ErrFailed) {
				t.Errorf("update %d: got %v, want ErrFailed", i, err)
			}
			h.unknown = group
			if got := lines(s); !slices.Equal(got, h.acknowledged) {
				t.Errorf("after a failure readers see %q, acknowledged is %q", got, h.acknowledged)
			}
			if _, err := write(s, "later"); !errors.Is(err, ErrFailed) {
				t.Errorf("an update after the failure gives %v, want ErrFailed", err)
			}
			return h
		}
		h.acknowledged = append(h.acknowledged, group...)
		if i%4 == 3 {
			s.Checkpoint(t.Context()) // its failure is no failure of the store
		}
	}
	return h
}

// check opens what is left of a store and compares it with what was
// acknowledged; what was under way may be there, whole.
func check(t *testing.T, dir string, d *crashfs.Disk, h history) *ledgerStore {
	t.Helper()
	s, err := openLedger(dir, simOptions(d))
	if err != nil {
		t.Fatalf("the store does not open again: %v", err)
	}
	t.Cleanup(func() { s.Close() }) // within the bubble, however the test ends
	got := lines(s)
	if !slices.Equal(got, h.acknowledged) && !slices.Equal(got, slices.Concat(h.acknowledged, h.unknown)) {
		t.Fatalf("the ledger has %q; acknowledged is %q, under way %q", got, h.acknowledged, h.unknown)
	}
	return s
}

// operations returns how many operations the whole workload takes.
func operations(t *testing.T) int {
	d := crashfs.New()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { workload(t, dir, d) })
	if d.Ops < 60 {
		t.Fatalf("the workload takes %d operations: too few to mean anything", d.Ops)
	}
	return d.Ops
}

// TestPowerCutAtEveryOperation cuts the power at every operation and looks at
// what the disk may have kept: everything, only what was synced, or any part.
// The store must open, go on, and survive one more cut while it opens.
func TestPowerCutAtEveryOperation(t *testing.T) {
	dir := t.TempDir()
	for n := 1; n <= operations(t)+1; n++ {
		keeps := map[string]func() bool{"all": crashfs.KeepAll, "none": crashfs.KeepNone}
		for seed := range uint64(4) {
			keeps[fmt.Sprintf("some %d", seed)] = crashfs.KeepSome(seed + 100*uint64(n))
		}
		for name, keep := range keeps {
			synctest.Test(t, func(t *testing.T) {
				d := crashfs.New()
				d.CrashAt = n
				h := workload(t, dir, d)
				if t.Failed() {
					t.Fatalf("power cut at operation %d", n)
				}
				for second := range 12 {
					again := d.AfterCrash(keep)
					if second > 0 {
						again.CrashAt = 3*second - n%3 // over all of Open, in the course of all n
						if s, err := openLedger(dir, simOptions(again)); err == nil {
							s.Close()
						}
						again = again.AfterCrash(keep)
					}
					s := check(t, dir, again, h)
					before := slices.Clone(lines(s))
					mustWrite(t, s, "after")
					// The power goes once more, and takes all that was not synced.
					cut := again.AfterCrash(crashfs.KeepNone)
					mustClose(t, s)
					mustClose(t, check(t, dir, cut, history{acknowledged: append(before, "after")}))
				}
			})
			if t.Failed() {
				t.Fatalf("power cut at operation %d of %d, the disk kept %s", n, operations(t), name)
			}
		}
	}
}

// TestErrorAtEveryOperation lets one operation fail, as a bad or full disk
// does. The store stops writing or goes on, but it never lies; opened again it
// has everything, even if the power goes right after the first change.
func TestErrorAtEveryOperation(t *testing.T) {
	dir := t.TempDir()
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC, crashfs.ErrShortWrite} {
		for n := 1; n <= operations(t); n++ {
			synctest.Test(t, func(t *testing.T) {
				d := crashfs.New()
				d.FailAt, d.FailErr = n, failure
				h := workload(t, dir, d)
				s := check(t, dir, d, h)
				before := slices.Clone(lines(s))
				mustWrite(t, s, "after")
				cuts := []*crashfs.Disk{d.AfterCrash(crashfs.KeepNone), d.AfterCrash(crashfs.KeepSome(uint64(n)))}
				mustClose(t, s)
				for _, cut := range cuts {
					mustClose(t, check(t, dir, cut, history{acknowledged: append(slices.Clone(before), "after")}))
				}
			})
			if t.Failed() {
				t.Fatalf("%v at operation %d", failure, n)
			}
		}
	}
}

// TestACrashLeavesAStoreThatWasClosedWithoutALog openable: one without a log is
// damage from the first acknowledgement on, and not before.
func TestACrashLeavesAStoreThatWasClosedWithoutALog(t *testing.T) {
	dir := t.TempDir()
	d := crashfs.New()
	s := mustOpen(t, dir, simOptions(d))
	mustWrite(t, s, "one", "two")
	mustClose(t, s)
	for _, path := range slices.Sorted(maps.Keys(d.Entries)) {
		if strings.HasSuffix(path, segmentSuffix) {
			d.Remove(path)
		}
	}
	d.SyncDir(filepath.Join(dir, walName))
	for keepsName, keep := range map[string]func() bool{"all": crashfs.KeepAll, "nothing": crashfs.KeepNone} {
		for first, ended := 1, false; !ended; first++ {
			copied := d.AfterCrash(crashfs.KeepAll)
			copied.CrashAt = first
			s, err := openLedger(dir, simOptions(copied))
			if ended = err == nil; ended {
				s.Close()
			}
			for again := range 24 { // opening after the crash crashes as well
				left := copied.AfterCrash(keep)
				left.CrashAt = again + 1
				if s, err := openLedger(dir, simOptions(left)); err == nil {
					s.Close()
				}
				s, err := openLedger(dir, simOptions(left.AfterCrash(keep)))
				if err != nil {
					t.Fatalf("crashes at operations %d and %d, the disk kept %s: %v", first, again+1, keepsName, err)
				}
				wantLines(t, s, "one", "two")
				mustClose(t, s)
			}
		}
	}
}

func TestReadingGoesOnAfterAFailure(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	s := mustOpen(t, dir, simOptions(d))
	defer s.Close()
	at := mustWrite(t, s, "one", "two")
	d.Lock()
	d.FailAt, d.FailErr = d.Ops+1, syscall.EIO
	d.Unlock()

	if _, err := write(s, "three"); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want ErrFailed with its cause", err)
	}
	if err := s.Err(); !errors.Is(err, ErrFailed) {
		t.Errorf("Err gives %v", err)
	}
	wantLines(t, s, "one", "two")
	var got []string
	ctx, cancel := context.WithCancel(t.Context())
	for c, err := range s.Changes(ctx, Position{}) {
		if err != nil {
			break
		}
		got = append(got, c.Events[0].Added.Line)
		if c.Position == at {
			cancel()
		}
	}
	cancel()
	if want := []string{"one", "two"}; !slices.Equal(got, want) {
		t.Errorf("Changes gives %q, want %q", got, want)
	}
}
