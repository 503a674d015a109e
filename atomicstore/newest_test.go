package atomicstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// TestTheNewestSegmentCannotGoUnnoticed from a store that crashed: what is left
// of the log is whole, and MANIFEST alone knows that more had been there.
func TestTheNewestSegmentCannotGoUnnoticed(t *testing.T) {
	inBubble(t, func(t *testing.T) { // so that no snapshot comes in between
		first := newHome(t)
		s := first.open(t)
		mustWrite(t, s, "one")
		checkpoint(t, s)
		mustWrite(t, s, "two")
		checkpoint(t, s)
		second := newHome(t)
		crash := func(from, to home) {
			for a, b := range map[string]string{from.data: to.data, from.backups: to.backups} {
				if err := os.CopyFS(b, os.DirFS(a)); err != nil {
					t.Fatal(err)
				}
			}
		}
		crash(first, second)
		mustClose(t, s)
		s = second.open(t) // begins a segment
		mustWrite(t, s, "three")
		p := newHome(t)
		crash(second, p)
		mustClose(t, s)

		paths, err := filepath.Glob(filepath.Join(p.data, walName, "*"+segmentSuffix))
		if err != nil || len(paths) != 2 {
			t.Fatalf("the log has %q, %v", paths, err)
		}
		newest := paths[1]
		content, err := os.ReadFile(newest)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(newest); err != nil {
			t.Fatal(err)
		}
		_, openErr := openLedger(p.data, p.options())
		_, verifyErr := Verify(t.Context(), p.data, &VerifyOptions{BackupDir: p.backups})
		look, lookErr := Look(t.Context(), p.data, p.options())
		got, recordsErr := recorded(t, p.data, Position{})
		for who, err := range map[string]error{"Open": openErr, "Verify": verifyErr, "Look": lookErr, "Records": recordsErr} {
			var damage *CorruptError
			if !errors.As(err, &damage) || damage.Path != newest || damage.Seq != 3 {
				t.Errorf("%s gives %v", who, err)
			}
		}
		if want := addedAs(1, "one", "two"); !slices.Equal(got, want) {
			t.Errorf("Records gives %q, want %q", got, want)
		}
		if len(look.Findings) != 1 || look.Findings[0].Next != NextRefuses {
			t.Errorf("Look found %+v", look.Findings)
		}
		plan, err := PlanRestoreBefore(t.Context(), p.data, 3, p.options())
		if err != nil || plan.Seq != 2 {
			t.Errorf("the plan to go back to before the missing changes is %+v, %v", plan, err)
		}

		without := newHome(t)
		crash(p, without)
		if err := os.Remove(filepath.Join(without.data, manifestName)); err != nil {
			t.Fatal(err)
		}
		s = without.open(t)
		wantLines(t, s, "one", "two")
		mustClose(t, s)

		if err := os.WriteFile(newest, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s = p.open(t)
		wantLines(t, s, "one", "two", "three")
		mustClose(t, s)
	})
}

// TestANewSegmentIsNeverTakenForAnOldOne, where MANIFEST knows of newer ones
// than the folder has.
func TestANewSegmentIsNeverTakenForAnOldOne(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	for range 3 {
		mustClose(t, mustOpen(t, dir, simOptions(d)))
	}
	segments := func() (names []string) {
		for path := range d.Entries {
			if filepath.Ext(path) == segmentSuffix {
				names = append(names, filepath.Base(path))
			}
		}
		return names
	}
	for _, name := range segments() {
		d.Remove(filepath.Join(dir, walName, name))
	}
	s := mustOpen(t, dir, simOptions(d))
	defer mustClose(t, s)
	if got, want := segments(), segmentName(4, 1); len(got) != 1 || got[0] != want {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// TestACrashWhileAnEmptyLogGoesIsNoDamage, also where a segment that was removed
// before had not gone from the disk.
func TestACrashWhileAnEmptyLogGoesIsNoDamage(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	mustClose(t, mustOpen(t, dir, simOptions(d)))
	old := filepath.Join(dir, walName, segmentName(1, 1))
	content := string(d.Entries[old].Data)
	d = d.AfterCrash(crashfs.KeepAll)
	s := mustOpen(t, dir, simOptions(d))
	d = d.AfterCrash(crashfs.KeepAll)
	mustClose(t, s)
	d.Put(old, true, content)
	d.Remove(filepath.Join(dir, snapshotName))
	d.SyncDir(dir)
	for n, ended := 1, false; !ended; n++ {
		for name, keep := range map[string]func() bool{"all": crashfs.KeepAll, "none": crashfs.KeepNone, "some": crashfs.KeepSome(uint64(n))} {
			t.Run(fmt.Sprint(n, name), func(t *testing.T) {
				crashed := d.AfterCrash(crashfs.KeepAll)
				crashed.CrashAt = n
				s, err := openLedger(dir, simOptions(crashed))
				if ended = err == nil; ended {
					s.Close()
				}
				s = mustOpen(t, dir, simOptions(crashed.AfterCrash(keep)))
				wantLines(t, s)
				mustClose(t, s)
			})
		}
	}
}

// TestASegmentThatCouldNotBeMadeIsNotNamed by the snapshots that are written
// although the store has failed.
func TestASegmentThatCouldNotBeMadeIsNotNamed(t *testing.T) {
	dir := t.TempDir()
	failures := 0
	for n := range 30 {
		inBubble(t, func(t *testing.T) {
			d := crashfs.New()
			s := mustOpen(t, dir, simOptions(d))
			h := history{acknowledged: []string{"first"}}
			mustWrite(t, s, h.acknowledged...)
			d.Lock()
			d.FailAt, d.FailErr = d.Ops+1+n, syscall.EIO
			d.Unlock()
			failed := false
			for _, line := range numbered(strings.Repeat("long ", 30), 4) { // two of them fill a segment
				if _, err := write(s, line); err != nil {
					failed, h.unknown = true, []string{line}
					failures++
					break
				}
				h.acknowledged = append(h.acknowledged, line)
			}
			if err := s.Checkpoint(t.Context()); failed && err != nil {
				t.Fatal(err)
			}
			left := d.AfterCrash(crashfs.KeepNone)
			s.Close()
			check(t, dir, left, h)
		})
	}
	if failures < 10 {
		t.Errorf("the store failed at %d operations: too few to mean anything", failures)
	}
}
