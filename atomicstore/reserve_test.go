package atomicstore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

func TestUpdatesAreRefusedBeforeTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		s := mustOpen(t, dir, &Options{Reserve: 1 << 20, seam: seam{FS: d}})
		defer mustClose(t, s)
		at := mustWrite(t, s, "one")
		take := func(bytes int64) {
			d.Lock()
			d.Taken = bytes
			d.Unlock()
			elapse(watchEvery + time.Millisecond)
		}
		take(1<<40 - 1<<20)
		if _, err := write(s, "two"); !errors.Is(err, ErrDiskFull) || errors.Is(err, ErrFailed) {
			t.Errorf("got %v, want ErrDiskFull", err)
		}
		if st := s.Stats(); !st.DiskFull || st.Failed || st.FreeBytes != 1<<20 {
			t.Errorf("got %+v", st)
		}
		wantLines(t, s, "one")
		take(0)
		if next := mustWrite(t, s, "two"); next.Seq != at.Seq+1 {
			t.Errorf("after %s comes %s", at, next)
		}
		if st := s.Stats(); st.DiskFull {
			t.Errorf("got %+v", st)
		}
	})
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		d.Taken = 1 << 40
		s := mustOpen(t, t.TempDir(), &Options{Reserve: -1, seam: seam{FS: d}})
		mustWrite(t, s, "without a reserve")
		mustClose(t, s)
	})
}

// TestTheDiskTurnsReadOnly lets every operation fail from one on, as ext4 does
// after an error. The store latches if it has to write; opened again once the
// cause is gone, it has everything.
func TestTheDiskTurnsReadOnly(t *testing.T) {
	dir := t.TempDir()
	for n := 1; n <= operations(t); n++ {
		inBubble(t, func(t *testing.T) {
			d := crashfs.New()
			d.FailAt, d.FailOn, d.FailErr = n, true, syscall.EROFS
			h := workload(t, dir, d)
			d.FailAt = 0
			mustClose(t, check(t, dir, d.AfterCrash(crashfs.KeepSome(uint64(n))), h))
			s := check(t, dir, d, h)
			before := slices.Clone(lines(s))
			mustWrite(t, s, "after")
			cut := d.AfterCrash(crashfs.KeepNone)
			mustClose(t, s)
			mustClose(t, check(t, dir, cut, history{acknowledged: append(before, "after")}))
		})
		if t.Failed() {
			t.Fatalf("read-only from operation %d on", n)
		}
	}
}

// TestAFullDisk fills a small real disk. Updates are refused before anything
// fails, and go on when there is room again.
func TestAFullDisk(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("needs root on Linux, to mount a small disk")
	}
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", mount).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	// Another program has taken some of it.
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := home{filepath.Join(mount, "data"), filepath.Join(mount, "backups")}
	o := &Options{BackupDir: p.backups, SegmentBytes: 256 << 10, Reserve: 2 << 20, BackupBytes: 1 << 20}
	s := mustOpen(t, p.data, o)
	defer func() { s.Close() }() // there may be no room for its snapshot

	var acknowledged []string
	writeMany := func(limit int) error {
		for i := 0; i < limit; i++ {
			line := fmt.Sprintf("%d %s", len(acknowledged), strings.Repeat("x", 8<<10))
			if _, err := write(s, line); err != nil {
				return err
			}
			acknowledged = append(acknowledged, line)
		}
		return nil
	}
	if err := writeMany(5000); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v, want ErrDiskFull", err)
	}
	if len(acknowledged) < 100 || s.Err() != nil {
		t.Errorf("%d changes before the disk was full, the store says %v", len(acknowledged), s.Err())
	}
	wantLines(t, s, acknowledged...)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	var err error
	deadline := time.After(20 * time.Second)
	for err = writeMany(1); err != nil; err = writeMany(1) {
		if !errors.Is(err, ErrDiskFull) {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatalf("there is room, and updates are still refused: %v; %+v", err, s.Stats())
		case <-time.After(20 * time.Millisecond):
		}
	}

	// Another program takes the whole disk at once. What is acknowledged stays,
	// whether the store notices in time or fails.
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	f.Close()
	err = writeMany(5000)
	if !errors.Is(err, ErrDiskFull) && !errors.Is(err, ErrFailed) {
		t.Errorf("got %v, want ErrDiskFull or ErrFailed", err)
	}
	wantLines(t, s, acknowledged...)
	s.Close() // cannot write its snapshot
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, p.data, o)
	if got := lines(s); len(got) < len(acknowledged) || !slices.Equal(got[:len(acknowledged)], acknowledged) {
		t.Errorf("%d lines are there, %d were acknowledged", len(got), len(acknowledged))
	}
}
