package atomicstore

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

func TestWhichBackupsAreKept(t *testing.T) {
	now := time.Date(2026, 11, 24, 18, 30, 0, 0, time.UTC)
	minutesAgo := func(m int) time.Time { return now.Add(-time.Duration(m) * time.Minute) }
	// One a minute for two days, each of ten bytes; the newest is change 2880.
	var list []Backup
	for i := range 2881 {
		list = append(list, Backup{Path: fmt.Sprint(i), Epoch: "e", Seq: uint64(i), Time: minutesAgo(2880 - i), Size: 10})
	}
	asides := []oldFile{{path: "aside", time: minutesAgo(3 * 24 * 60), size: 1000}}
	base := retention{newest: 50, apart: 12, base: 2830, bytes: 1 << 20, maxAge: 30 * 24 * time.Hour}
	tests := map[string]struct {
		change func(*retention)
		kept   func(seq int) bool
		aside  bool
	}{
		"by number and hour": {func(r *retention) {}, func(seq int) bool {
			hourly := (2880-seq)%60 == 30 && seq > 2880-24*60
			return seq >= 2830 || hourly
		}, true},
		"an older base and what is apart": {func(r *retention) { r.base = 2700 }, func(seq int) bool {
			hourly := (2880-seq)%60 == 30 && seq > 2880-24*60
			return seq >= 2831 || hourly || seq >= 2700 && (seq-2700)%12 == 0
		}, true},
		"by age":                     {func(r *retention) { r.maxAge = 20 * time.Minute }, func(seq int) bool { return seq >= 2860 }, false},
		"by space, but for the base": {func(r *retention) { r.bytes = 100 }, func(seq int) bool { return seq >= 2872 || seq == 2830 }, false},
	}
	for name, test := range tests {
		r := base
		test.change(&r)
		gone, bytes := r.superfluous(list, asides, now)
		isGone := map[string]bool{}
		for _, f := range gone {
			isGone[f.path] = true
		}
		left := int64(0)
		for _, b := range list {
			if want := test.kept(int(b.Seq)); want == isGone[b.Path] {
				t.Errorf("%s: backup %d, %v old: kept is %v, want %v", name, b.Seq, now.Sub(b.Time), !isGone[b.Path], want)
			}
			if !isGone[b.Path] {
				left += b.Size
			}
		}
		if isGone["aside"] == test.aside {
			t.Errorf("%s: what was set aside is kept: %v, want %v", name, !isGone["aside"], test.aside)
		}
		if test.aside {
			left += 1000
		}
		if bytes != left {
			t.Errorf("%s: %d bytes stay, it says %d", name, left, bytes)
		}
	}
}

// youngerThan fails for each file of the log or the backups that is older.
func youngerThan(t *testing.T, dir string, d *crashfs.Disk, age time.Duration) {
	t.Helper()
	for path, f := range d.Entries {
		made := time.Now()
		name := filepath.Base(path)
		if b, ok := parseBackupName(name); ok {
			made = b.Time
		} else if _, when, ok := parseAsideName(name); ok {
			made = when
		} else if filepath.Ext(name) == segmentSuffix {
			h, err := decodeHeader(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decodeBatch(f.Data[segmentHeader:], h.logID); err == nil {
				made = h.created
			}
		}
		if old := time.Since(made); old > age {
			t.Errorf("%s is %v old", path, old)
		}
	}
}

// TestWhatIsOldGoesWithoutWrites: names and phone numbers that were erased are
// in no file any more once MaxAge has passed, whether anybody writes or not.
func TestWhatIsOldGoesWithoutWrites(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		o := &Options{SegmentBytes: 4 << 10, BackupDir: "/backups", MaxAge: 2 * time.Hour, seam: seam{FS: d}}
		s := mustOpen(t, dir, o)
		mustWrite(t, s, "secret")
		checkpoint(t, s)
		d.Put("/backups/"+asideName("data.json", time.Now()), false, `{"lines": ["secret"]}`)
		if _, err := s.Update(t.Context(), func(*ledger) ([]entry, error) { return []entry{{Cleared: &cleared{}}}, nil }); err != nil {
			t.Fatal(err)
		}
		checkpoint(t, s)
		elapse(time.Hour)
		if st := s.Stats(); st.AgedOut || st.Undoable != 1 {
			t.Errorf("after an hour: %+v", st)
		}
		elapse(time.Hour + 2*ageEvery)
		copies := 0
		for path, f := range d.Entries {
			if bytes.Contains(f.Data, []byte("secret")) {
				t.Errorf("the secret is still in %s", path)
			}
			if filepath.Dir(path) == "/backups" {
				copies++
			}
		}
		if copies != 1 {
			t.Errorf("%d files in the backup folder, want one copy of the present state", copies)
		}
		youngerThan(t, dir, d, 2*time.Hour+ageEvery)
		if st := s.Stats(); !st.AgedOut || st.Undoable != 3 {
			t.Errorf("Stats does not say that age has taken the latest modifications: %+v", st)
		}
		mustWrite(t, s, "more")
		cut := d.AfterCrash(crashfs.KeepNone)
		mustClose(t, s)
		s = mustOpen(t, dir, &Options{SegmentBytes: 4 << 10, BackupDir: "/backups", seam: seam{FS: cut}})
		wantLines(t, s, "more")
		mustClose(t, s)
	})
}

// TestAgeTakesWhatIsOldAlone: with a change a minute, everything older than
// MaxAge goes and the latest modifications stay.
func TestAgeTakesWhatIsOldAlone(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		o := &Options{SegmentBytes: 4 << 10, BackupDir: "/backups", MaxAge: 2 * time.Hour, KeepModifications: 20, seam: seam{FS: d}}
		s := mustOpen(t, dir, o)
		var at Position
		for i := range 400 {
			at = mustWrite(t, s, fmt.Sprint(i))
			elapse(time.Minute)
			if i%50 == 49 {
				youngerThan(t, dir, d, 2*time.Hour+2*ageEvery)
			}
			if i == 200 {
				// What an open copies into a fresh segment grows no younger by it.
				cut := d.AfterCrash(crashfs.KeepNone)
				mustClose(t, s)
				d, o.FS = cut, cut
				s = mustOpen(t, dir, o)
			}
		}
		if st := s.Stats(); st.AgedOut || st.Undoable > at.Seq-19 || st.Segments > 40 {
			t.Errorf("got %+v, want the latest 20 of %d to be undoable", st, at.Seq)
		}
		mustClose(t, s)
		if err := RestoreBefore(t.Context(), dir, at.Seq-19, o); err != nil {
			t.Error(err)
		}
	})
}

func TestSegmentsThatCannotBeRemovedStayInOrder(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		for n := 1; n < 12; n++ {
			d := crashfs.New()
			s := mustOpen(t, dir, &Options{SegmentBytes: 512, KeepModifications: 1, seam: seam{FS: d}})
			mustWrite(t, s, numbered("line ", 30)...)
			d.Lock()
			removals := 0
			d.FailErr = fmt.Errorf("busy")
			d.Before = func(op int) {
				if removals++; removals == 14+n {
					d.FailAt = op
				}
			}
			d.Unlock()
			s.Checkpoint(t.Context())
			mustWrite(t, s, numbered("line ", 10)...)
			s.Checkpoint(t.Context())
			cut := d.AfterCrash(crashfs.KeepAll)
			mustClose(t, s)
			s = mustOpen(t, dir, &Options{SegmentBytes: 4 << 10, seam: seam{FS: cut}})
			if len(lines(s)) != 40 {
				t.Errorf("%d lines", len(lines(s)))
			}
			mustClose(t, s)
		}
	})
}
