package atomicstore

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// eighth tells whether a quantile is what it should be, or somewhat more.
func eighth[T int | time.Duration](got, want T) bool { return got >= want && got <= want+want/8 }

// TestStatsCountWhatWasWritten gives flushes known times and compares every
// number of the log.
func TestStatsCountWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := &slowDisk{Disk: crashfs.New()}
		s := mustOpen(t, dir, &Options{SegmentBytes: 4096, seam: seam{FS: d}})
		opened := time.Now().UTC()
		st := s.Stats()
		if st.Seq != 0 || st.First != 1 || st.Changes != 0 || st.Batches != 0 || st.Bytes != 0 || st.LogBytes != 0 || st.FlushP99 != 0 || st.Segments != 1 {
			t.Errorf("of a new store the numbers are %+v", st)
		}
		if st.Checkpoints != 1 || st.SnapshotSeq != 0 || !st.SnapshotAt.Equal(opened) {
			t.Errorf("the first snapshot is number %d, of change %d, at %s, want %s", st.Checkpoints, st.SnapshotSeq, st.SnapshotAt, opened)
		}

		var bytes, logged int
		takes := []time.Duration{3, 3, 3, 3, 3, 3, 3, 3, 40, 900}
		all := time.Duration(0)
		for i, ms := range takes {
			line := strings.Repeat("x", i)
			event, _ := json.Marshal(add(line))
			bytes += len(event)
			logged += frameSize(16 + 8 + 1 + 1 + 1 + len(event)) // id, time, no request id, one event, its length
			d.set(ms * time.Millisecond)
			all += ms * time.Millisecond
			mustWrite(t, s, line)
		}
		d.set(0)
		st = s.Stats()
		if st.Seq != 10 || st.Changes != 10 || st.Batches != 10 || st.Bytes != uint64(bytes) || st.LogBytes != uint64(logged) {
			t.Errorf("want 10 changes in 10 batches, %d bytes, %d in the log; the numbers are %+v", bytes, logged, st)
		}
		if st.BatchP50 != 1 || st.BatchP99 != 1 || st.LargestBatch != 1 {
			t.Errorf("every batch had one change; the numbers are %+v", st)
		}
		if st.FlushTime != all || st.SlowestFlush != 900*time.Millisecond || !eighth(st.FlushP50, 3*time.Millisecond) || !eighth(st.FlushP90, 40*time.Millisecond) || !eighth(st.FlushP99, 900*time.Millisecond) {
			t.Errorf("the flushes took %v ms; the numbers are %+v", takes, st)
		}

		refusal := errors.New("no")
		s.Update(t.Context(), func(*ledger) ([]entry, error) { return nil, refusal })
		write(s, "too much")
		s.Update(t.Context(), func(*ledger) ([]entry, error) { return nil, nil }) // is no refusal
		if st := s.Stats(); st.Refused != 2 || st.Changes != 10 {
			t.Errorf("two updates were refused; the numbers are %+v", st)
		}
		mustWrite(t, s, strings.Repeat("x", 5000))
		if st := s.Stats(); st.Segments != 2 || st.First != 1 {
			t.Errorf("there are two segments; the numbers are %+v", st)
		}
		mustClose(t, s)
	})
}

func TestStatsOfTheQueue(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{QueueLimit: 3})
	defer mustClose(t, s)
	release := hold(t, s)
	results := make(chan error, 3)
	for range cap(results) {
		go func() { _, err := write(s, "waits"); results <- err }()
	}
	waiting(t, s, 3)
	for range 2 {
		if _, err := write(s, "one too many"); err != ErrOverloaded {
			t.Errorf("got %v, want ErrOverloaded", err)
		}
	}
	if st := s.Stats(); st.Waiting != 3 || st.Overloaded != 2 {
		t.Errorf("three wait and two were refused; the numbers are %+v", st)
	}
	release()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	// One with the update that held them up, or two.
	if st := s.Stats(); st.Waiting != 0 || st.Changes != 4 || st.LargestBatch < 3 || st.BatchP99 != st.LargestBatch || st.Batches > 2 {
		t.Errorf("nobody waits; the numbers are %+v", st)
	}
}

func TestStatsOfSnapshotsAndBackups(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		o := &Options{SegmentBytes: 4096, BackupDir: backupsDir, KeepModifications: 3, seam: seam{FS: d}}
		s := mustOpen(t, dir, o)
		for _, line := range numbered("line ", 5) {
			mustWrite(t, s, line)
			elapse(100 * time.Millisecond)
			checkpoint(t, s)
			checkpoint(t, s) // there is nothing to write
		}
		at := time.Now().UTC()
		data, err := d.Read(s.path(snapshotName))
		if err != nil {
			t.Fatal(err)
		}
		st := s.Stats()
		if st.Checkpoints != 6 || st.SnapshotSeq != 5 || st.SnapshotBytes != int64(len(data)) || !st.SnapshotAt.Equal(at) || st.SnapshotAt.Location() != time.UTC {
			t.Errorf("want six snapshots, the last of change 5 with %d bytes at %s; the numbers are %+v", len(data), at, st)
		}
		list, err := s.Backups()
		if err != nil {
			t.Fatal(err)
		}
		var bytes int64
		for _, b := range list {
			bytes += b.Size
		}
		if st.Backups != len(list) || st.Backups != 5 || st.BackupBytes != bytes || st.Undoable != 1 {
			t.Errorf("there are %d backups of %d bytes; the numbers are %+v", len(list), bytes, st)
		}
		mustClose(t, s)

		written, err := d.Stat(s.path(snapshotName))
		if err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir, o)
		if st := s.Stats(); st.SnapshotSeq != 5 || !st.SnapshotAt.Equal(written.MTime) || st.Checkpoints != 0 || st.LastError != "" {
			t.Errorf("opened again the numbers are %+v, want the snapshot of %s", st, written.MTime)
		}
		d.Put(s.path(snapshotName), true, `{"lines":["his"]}`)
		elapse(watchEvery + time.Millisecond)
		if st := s.Stats(); !st.Replaced || !st.Failed || st.LastError != ErrReplaced.Error() {
			t.Errorf("after an operator came the numbers are %+v", st)
		}
		mustClose(t, s)
	})
}
