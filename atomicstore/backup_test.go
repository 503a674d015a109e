package atomicstore

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// backupless is a disk on which backups cannot be made while it is broken.
type backupless struct {
	*crashfs.Disk
	mu     sync.Mutex
	broken string // the step that fails: "link" or "sync", or "snapshot" for another file; "" is none
}

const backupsDir = "/backups"

func (d *backupless) set(broken string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

func (d *backupless) fails(step, dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken == step && dir == backupsDir {
		return syscall.ENOSPC
	}
	return nil
}

func (d *backupless) Create(path string) (vfs.Appender, error) {
	if isTempName(filepath.Base(path)) {
		if err := d.fails("snapshot", backupsDir); err != nil {
			return nil, err
		}
	}
	return d.Disk.Create(path)
}

func (d *backupless) Link(from, to string) error {
	if err := d.fails("link", filepath.Dir(to)); err != nil {
		return err
	}
	return d.Disk.Link(from, to)
}

func (d *backupless) SyncDir(dir string) error {
	if err := d.fails("sync", dir); err != nil {
		return err
	}
	return d.Disk.SyncDir(dir)
}

// backedUp returns the positions of the backups.
func backedUp(t *testing.T, s *ledgerStore) (seqs []uint64) {
	t.Helper()
	list, err := s.Backups()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		seqs = append(seqs, b.Seq)
	}
	return seqs
}

// leftOvers counts the data.json files under temporary names.
func leftOvers(t *testing.T, s *ledgerStore) (n int) {
	t.Helper()
	names, err := s.opts.FS.Names(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if isLeftOver(name) {
			n++
		}
	}
	return n
}

func TestABackupThatFailsIsReportedAndTriedAgain(t *testing.T) {
	for _, step := range []string{"link", "sync"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			inBubble(t, func(t *testing.T) {
				d := &backupless{Disk: crashfs.New()}
				logger, logged := logOf()
				s := mustOpen(t, dir, &Options{BackupDir: backupsDir, SegmentBytes: 4096, Logger: logger, seam: seam{FS: d}})
				mustWrite(t, s, "one")
				checkpoint(t, s)
				d.set(step)
				mustWrite(t, s, "two")
				checkpoint(t, s) // does not fail for it
				if st := s.Stats(); !strings.Contains(st.BackupError, "no space") || st.LastError != st.BackupError || st.SnapshotError != "" || st.SnapshotSeq != 2 || st.Failed {
					t.Errorf("the numbers are %+v", st)
				}
				if !strings.Contains(logged(), "a backup was not made; it is tried again") {
					t.Errorf("logged was\n%s", logged())
				}
				mustWrite(t, s, "three")
				checkpoint(t, s)
				d.set("")
				elapse(goneWatched + watchEvery)
				if st := s.Stats(); st.BackupError != "" || st.LastError != "" {
					t.Errorf("after it succeeded the numbers are %+v", st)
				}
				if got, n := backedUp(t, s), leftOvers(t, s); !slices.Equal(got, []uint64{0, 1, 2}) || n != 0 {
					t.Errorf("there are backups %v and %d left-overs, want those of the first changes and none", got, n)
				}
				mustClose(t, s)
			})
		})
	}
}

// TestABackupThatGoesOnFailingIsTriedUntilItIsMade, and no change that must be
// undoable is lost meanwhile, since the log stays.
func TestABackupThatGoesOnFailingIsTriedUntilItIsMade(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := &backupless{Disk: crashfs.New()}
		logger, logged := logOf()
		s := mustOpen(t, dir, &Options{BackupDir: backupsDir, KeepModifications: 5, SegmentBytes: 512, Logger: logger, seam: seam{FS: d}})
		d.set("link")
		for _, line := range numbered("line ", 20) {
			mustWrite(t, s, line)
			elapse(2 * checkpointEvery)
		}
		elapse(10 * goneWatched)
		if st := s.Stats(); st.BackupError == "" || st.SnapshotSeq != 20 || st.Failed {
			t.Errorf("the numbers are %+v", st)
		}
		if n := leftOvers(t, s); n != 19 || strings.Contains(logged(), "given up") {
			t.Errorf("%d files wait for their backups, want 19; logged was\n%s", n, logged())
		}
		for seq := range uint64(20) {
			if old, err := s.At(t.Context(), seq); err != nil || len(old.Lines) != int(seq) {
				t.Errorf("At(%d) gives %v and %v", seq, old, err)
			}
		}
		d.set("")
		elapse(2 * watchEvery) // without another change
		if st, got := s.Stats(), backedUp(t, s); st.BackupError != "" || st.LastError != "" || len(got) != 20 || leftOvers(t, s) != 0 {
			t.Errorf("%d files are left, the backups are %v, the numbers %+v", leftOvers(t, s), got, st)
		}
		list, err := s.Backups()
		if err != nil || list[1].Time.Sub(list[0].Time) < checkpointEvery {
			t.Errorf("the times of the backups are not those when they were replaced: %v, %v", list, err)
		}
		mustClose(t, s)
	})
}

// TestNoMoreBackupsWaitThanThereWouldBe: a backup folder that is gone for good
// does not fill the disk.
func TestNoMoreBackupsWaitThanThereWouldBe(t *testing.T) {
	for name, o := range map[string]Options{
		"number": {KeepBackups: 3},
		"bytes":  {BackupBytes: 800}, // each has 150 and some
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			inBubble(t, func(t *testing.T) {
				d := &backupless{Disk: crashfs.New()}
				logger, logged := logOf()
				o.BackupDir, o.SegmentBytes, o.Logger, o.FS = backupsDir, 4096, logger, d
				s := mustOpen(t, dir, &o)
				d.set("link")
				for _, line := range numbered("line ", 20) {
					mustWrite(t, s, line)
					elapse(2 * checkpointEvery)
				}
				elapse(goneWatched + watchEvery)
				if n := leftOvers(t, s); n < 2 || n > 4 {
					t.Errorf("%d files wait, want about three", n)
				}
				if st := s.Stats(); st.BackupError == "" || !strings.Contains(logged(), "is given up") {
					t.Errorf("the numbers are %+v; logged was\n%s", st, logged())
				}
				d.set("")
				elapse(2 * watchEvery)
				if st, got := s.Stats(), backedUp(t, s); st.BackupError != "" || !slices.Contains(got, 19) || leftOvers(t, s) != 0 {
					t.Errorf("the backups are %v, the numbers %+v", got, st)
				}
				mustClose(t, s)
			})
		})
	}
}

// TestTheFirstBackupOfAnEpochIsMadeLate when it could not be made at once.
func TestTheFirstBackupOfAnEpochIsMadeLate(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := &backupless{Disk: crashfs.New()}
		d.set("link")
		logger, logged := logOf()
		s := mustOpen(t, dir, &Options{BackupDir: backupsDir, SegmentBytes: 4096, Logger: logger, seam: seam{FS: d}})
		if st := s.Stats(); !strings.Contains(st.BackupError, "no space") || st.SnapshotError != "" || st.Checkpoints != 1 {
			t.Errorf("the numbers are %+v", st)
		}
		if got := backedUp(t, s); len(got) != 0 || !strings.Contains(logged(), "a backup was not made") {
			t.Errorf("the backups are %v; logged was\n%s", got, logged())
		}
		d.set("")
		mustWrite(t, s, "one")
		checkpoint(t, s)
		if st, got := s.Stats(), backedUp(t, s); st.BackupError != "" || !slices.Equal(got, []uint64{0}) {
			t.Errorf("the backups are %v, the numbers %+v", got, st)
		}
		mustClose(t, s)
	})
}

// TestTheFirstBackupOfAnEpochIsMadeWithoutAChange as soon as it can be.
func TestTheFirstBackupOfAnEpochIsMadeWithoutAChange(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := &backupless{Disk: crashfs.New()}
		d.set("sync") // which leaves the name there, but perhaps not after a crash
		s := mustOpen(t, dir, &Options{BackupDir: backupsDir, SegmentBytes: 4096, seam: seam{FS: d}})
		d.set("")
		elapse(ageEvery + watchEvery)
		if st, got := s.Stats(), backedUp(t, s); st.BackupError != "" || !slices.Contains(got, 0) {
			t.Errorf("the backups are %v, the numbers %+v", got, st)
		}
		mustClose(t, s)
	})
}

func TestASnapshotIsTriedAgainWithoutAnotherChange(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := &backupless{Disk: crashfs.New()}
		logger, logged := logOf()
		s := mustOpen(t, dir, &Options{BackupDir: backupsDir, SegmentBytes: 4096, Logger: logger, seam: seam{FS: d}})
		d.set("snapshot")
		mustWrite(t, s, "one")
		elapse(5 * checkpointEvery)
		if st := s.Stats(); !strings.Contains(st.SnapshotError, "no space") || st.LastError != st.SnapshotError || st.SnapshotSeq != 0 || st.Failed {
			t.Errorf("the numbers are %+v", st)
		}
		if got := strings.Count(logged(), "the snapshot was not written; it is tried again"); got < 3 {
			t.Errorf("it was tried %d times in five seconds; logged was\n%s", got, logged())
		}
		d.set("")
		elapse(2 * checkpointEvery)
		if st := s.Stats(); st.SnapshotError != "" || st.LastError != "" || st.SnapshotSeq != 1 {
			t.Errorf("after it succeeded the numbers are %+v", st)
		}
		mustClose(t, s)
	})
}

// TestASnapshotThatFailsAtAnyStepIsTriedAgain lets each operation of one fail.
// Commits go on, and the next one comes by itself.
func TestASnapshotThatFailsAtAnyStepIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	reported := 0
	for n, done := 1, false; !done; n++ {
		inBubble(t, func(t *testing.T) {
			d := crashfs.New()
			logger, logged := logOf()
			s := mustOpen(t, dir, &Options{BackupDir: backupsDir, SegmentBytes: 4096, Logger: logger, seam: seam{FS: d}})
			mustWrite(t, s, "one")
			waitIdle()
			mustWrite(t, s, "two")
			waitIdle()
			mustWrite(t, s, "three")
			before := s.Stats()
			d.Lock()
			d.FailAt, d.FailErr = d.Ops+n, syscall.ENOSPC
			last := d.Ops + n
			d.Unlock()
			checkpointing := s.Checkpoint(t.Context())
			st := s.Stats()
			if st.Failed || (checkpointing != nil) != (st.SnapshotError != "") || checkpointing != nil && (st.SnapshotSeq != before.SnapshotSeq || !st.SnapshotAt.Equal(before.SnapshotAt) || st.Checkpoints != before.Checkpoints) {
				t.Errorf("after %v the numbers are %+v", checkpointing, st)
			}
			if checkpointing != nil {
				reported++
			}
			d.Lock()
			done = d.Ops < last
			d.FailAt = 0
			d.Unlock()
			mustWrite(t, s, "four")
			elapse(goneWatched + watchEvery) // a backup, too, is tried again
			if st := s.Stats(); st.SnapshotSeq != 4 || st.LastError != "" || st.SnapshotAt.Equal(before.SnapshotAt) {
				t.Errorf("later the numbers are %+v; logged was\n%s", st, logged())
			}
			mustClose(t, s)
		})
		if t.Failed() {
			t.Fatalf("operation %d failed", n)
		}
	}
	if reported < 8 {
		t.Errorf("only %d operations let a snapshot fail", reported)
	}
}
