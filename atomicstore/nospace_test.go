package atomicstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// tightDisk has, now and then, no room for new files and for files that grow.
// What is preallocated can be written.
type tightDisk struct {
	*crashfs.Disk
	mu     sync.Mutex
	full   string // the step of making a file that finds no room: "create", "write" or "sync"; "" is none
	failed int    // steps that found no room
	free   int64  // bytes that it says are free
}

func (d *tightDisk) set(full string, free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full, d.free = full, free
}

// refuses tells whether a step of making a file finds no room. With segments it
// takes some of the bubble's time, in which more updates come.
func (d *tightDisk) refuses(step, path string) error {
	d.mu.Lock()
	full := d.full == step
	if full {
		d.failed++
	}
	d.mu.Unlock()
	if !full {
		return nil
	}
	if filepath.Base(path) == newSegment {
		<-time.After(10 * time.Millisecond)
	}
	return syscall.ENOSPC
}

func (d *tightDisk) Free(string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free, nil
}

func (d *tightDisk) Create(path string) (vfs.Appender, error) {
	if err := d.refuses("create", path); err != nil {
		return nil, err
	}
	f, err := d.Disk.Create(path)
	return &tightFile{Appender: f, disk: d, path: path}, err
}

type tightFile struct {
	vfs.Appender
	disk  *tightDisk
	path  string
	size  int64
	grown bool // since the last sync
}

func (f *tightFile) WriteAt(b []byte, offset int64) (int, error) {
	if end := offset + int64(len(b)); end > f.size {
		if err := f.disk.refuses("write", f.path); err != nil {
			n, _ := f.Appender.WriteAt(b[:len(b)/2], offset)
			return n, err
		}
		f.size, f.grown = end, true
	}
	return f.Appender.WriteAt(b, offset)
}

func (f *tightFile) Sync() error {
	if f.grown {
		if err := f.disk.refuses("sync", f.path); err != nil {
			return err
		}
	}
	f.grown = false
	return f.Appender.Sync()
}

// TestASegmentThatFindsNoRoomRefusesUpdates: nothing is lost by it, so updates
// go on when there is room, without opening the store again. None of those
// refused is there then, nor after a power cut.
func TestASegmentThatFindsNoRoomRefusesUpdates(t *testing.T) {
	for _, step := range []string{"create", "write", "sync"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			inBubble(t, func(t *testing.T) {
				d := &tightDisk{Disk: crashfs.New()}
				logger, logged := logOf()
				o := &Options{SegmentBytes: 4096, Reserve: -1, Logger: logger, seam: seam{FS: d}}
				s := mustOpen(t, dir, o)
				defer func() { s.Close() }()
				mustWrite(t, s, "first")
				d.set(step, 100)

				there := []string{"first"} // acknowledged
				refused := func() bool {
					results := make(chan error, 6)
					names := numbered(fmt.Sprintf("%d of ", len(there)), cap(results))
					for i, line := range names {
						go func() {
							<-time.After(time.Duration(i) * time.Millisecond)
							_, err := write(s, line)
							results <- err
						}()
					}
					taken := 0
					for range names {
						err := <-results
						switch {
						case err == nil:
							taken++
						case !errors.Is(err, ErrDiskFull) || errors.Is(err, ErrFailed):
							t.Errorf("got %v, want ErrDiskFull", err)
						}
					}
					if got := len(lines(s)) - len(there); got != taken {
						t.Errorf("%d updates were acknowledged, %d are there", taken, got)
					}
					there = slices.Clone(lines(s)) // in the order that they were decided in
					return taken == 0
				}
				for n := 0; !refused(); n++ {
					if n > 100 {
						t.Fatal("a hundred rounds and no new segment")
					}
				}
				if st := s.Stats(); !st.DiskFull || st.Failed || s.Err() != nil {
					t.Errorf("the numbers are %+v", st)
				}
				if _, err := d.Stat(s.wal.dir + "/" + newSegment); !isMissing(err) {
					t.Errorf("half a segment stays and takes room: %v", err)
				}
				elapse(5 * time.Second) // idle, and the confirmation finds no room either
				if st := s.Stats(); !st.DiskFull || !refused() || s.Err() != nil {
					t.Errorf("there is no room, and updates are taken; the store says %v and %+v", s.Err(), st)
				}
				cut := d.AfterCrash(crashfs.KeepSome(uint64(len(there))))

				d.set("", 1<<40)
				elapse(watchEvery + time.Millisecond)
				long := strings.Repeat("x", 4096) // wants a segment
				at := mustWrite(t, s, long)
				if want := uint64(len(there) + 1); at.Seq != want {
					t.Errorf("the change after it is %d, want %d", at.Seq, want)
				}
				d.set("", 100) // the segment is made, so nothing is needed now
				elapse(watchEvery + time.Millisecond)
				if st := s.Stats(); st.DiskFull {
					t.Errorf("there is room, and the numbers are %+v", st)
				}
				wantLines(t, s, append(slices.Clone(there), long)...)
				after := d.AfterCrash(crashfs.KeepNone)
				mustClose(t, s)
				if got := logged(); d.failed == 0 || !strings.Contains(got, "the disk is full") || !strings.Contains(got, "there is room on the disk again") {
					t.Errorf("%d steps found no room; logged was\n%s", d.failed, got)
				}

				for disk, want := range map[*crashfs.Disk][]string{cut: there, after: append(slices.Clone(there), long)} {
					s := mustOpen(t, dir, &Options{seam: seam{FS: disk}})
					wantLines(t, s, want...)
					mustClose(t, s)
				}
			})
		})
	}
}

// TestAFailedSpareIsNoFilledSegment: the segment that is made in its stead must
// be preallocated all the same, or every append to it may find no room.
func TestAFailedSpareIsNoFilledSegment(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := &tightDisk{Disk: crashfs.New()}
		s := mustOpen(t, dir, &Options{SegmentBytes: 4096, Reserve: -1, seam: seam{FS: d}})
		defer mustClose(t, s)
		d.set("write", 1<<40)
		half := strings.Repeat("x", 2048)
		mustWrite(t, s, half)
		waitIdle()
		if d.failed == 0 {
			t.Fatal("no spare was tried")
		}
		d.set("", 1<<40)
		mustWrite(t, s, half)
		segments := s.wal.segments
		id, err := d.Stat(segments[len(segments)-1].path)
		if err != nil || len(segments) != 2 || id.Size != 4096 {
			t.Errorf("of %d segments the last has %d bytes, want 4096: %v", len(segments), id.Size, err)
		}
	})
}
