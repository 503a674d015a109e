package atomicstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

// tightStore is a store on a small disk, and what it has acknowledged.
type tightStore struct {
	*atomicstore.Store[*words, string]
	t            *testing.T
	disk         *loopDisk
	dir          string
	o            *atomicstore.Options
	acknowledged map[uint64]string
}

func newTightStore(t *testing.T, reserve int64) *tightStore {
	d := newLoopDisk(t, "8M")
	s := &tightStore{t: t, disk: d, dir: filepath.Join(d.path, "data"), acknowledged: map[uint64]string{}}
	s.o = &atomicstore.Options{SegmentBytes: 64 << 10, BackupDir: filepath.Join(d.path, "backups"), Reserve: reserve}
	s.open()
	t.Cleanup(func() { s.Close() }) // before the disk is unmounted
	return s
}

func (s *tightStore) open() {
	s.t.Helper()
	var err error
	if s.Store, err = atomicstore.Open(s.dir, &words{}, say, s.o); err != nil {
		s.t.Fatal(err)
	}
	wantWords(s.t, s.Store, s.acknowledged, nil)
}

// add writes a word of so many letters and a few more.
func (s *tightStore) add(letters int) error {
	word := fmt.Sprintf("%d %s", len(s.acknowledged), strings.Repeat("x", letters))
	at, err := s.Update(s.t.Context(), func(*words) ([]string, error) { return []string{word}, nil })
	if err == nil {
		s.acknowledged[at.Seq] = word
	}
	return err
}

// addUntil writes until that fails.
func (s *tightStore) addUntil() error {
	s.t.Helper()
	for range 20_000 {
		if err := s.add(1000); err != nil {
			return err
		}
	}
	s.t.Fatal("the disk does not become full")
	return nil
}

// wantRoomAgain wants updates to be taken soon, without the store being opened
// again, and everything to be there when it is.
func (s *tightStore) wantRoomAgain() {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for err := s.add(1000); err != nil; err = s.add(1000) {
		if !errors.Is(err, atomicstore.ErrDiskFull) || s.Err() != nil {
			s.t.Fatalf("got %v; the store says %v", err, s.Err())
		}
		select {
		case <-deadline:
			s.t.Fatalf("there is room, and updates are still refused: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	wantWords(s.t, s.Store, s.acknowledged, nil)
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	if _, err := atomicstore.Verify(context.Background(), s.dir, &atomicstore.VerifyOptions{BackupDir: s.o.BackupDir}); err != nil {
		s.t.Error(err)
	}
	s.open()
}

// TestARealDiskFillsUp has a store without a reserve, or with too small a one,
// fill a disk by itself. It does not fail, is there when it is opened again, and
// goes on when there is room.
func TestARealDiskFillsUp(t *testing.T) {
	for _, reserve := range []int64{-1, 1 << 10} {
		t.Run(fmt.Sprintf("reserve=%d", reserve), func(t *testing.T) {
			s := newTightStore(t, reserve)
			ballast := s.disk.fill(1 << 20)
			err := s.addUntil()
			if !errors.Is(err, atomicstore.ErrDiskFull) || s.Err() != nil {
				t.Fatalf("got %v, want ErrDiskFull; the store says %v", err, s.Err())
			}
			if len(s.acknowledged) < 100 {
				t.Errorf("only %d changes found room", len(s.acknowledged))
			}
			wantWords(t, s.Store, s.acknowledged, nil)
			if st := s.Stats(); !st.DiskFull || st.Failed {
				t.Errorf("the numbers are %+v", st)
			}
			s.Close() // there may be no room for the last snapshot
			// Nor for the segment that every opening makes, and that is said.
			if store, err := atomicstore.Open(s.dir, &words{}, say, s.o); err == nil {
				s.Store = store
				wantWords(t, store, s.acknowledged, nil)
			} else if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("opened on a full disk: %v", err)
			}
			s.Close()
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			s.open()
			s.wantRoomAgain()
		})
	}
}

// TestNoRoomForASegmentOnARealDisk: another program takes the last block. What
// is preallocated is filled; then updates are refused, and taken again when
// there is room.
func TestNoRoomForASegmentOnARealDisk(t *testing.T) {
	s := newTightStore(t, -1)
	if err := s.add(1000); err != nil {
		t.Fatal(err)
	}
	ballast := s.disk.fill(0)
	err := s.addUntil()
	if !errors.Is(err, atomicstore.ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) || s.Err() != nil {
		t.Fatalf("got %v, want ErrDiskFull and its cause; the store says %v", err, s.Err())
	}
	if len(s.acknowledged) < 50 {
		t.Errorf("on the full disk %d changes found room, want what a segment of 64 KiB holds", len(s.acknowledged))
	}
	if err := s.add(1000); !errors.Is(err, atomicstore.ErrDiskFull) {
		t.Errorf("got %v, want ErrDiskFull", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.wantRoomAgain()
}

// TestNoRoomForASnapshotOnARealDisk leaves one block more at each try, so that
// the disk is full at every step of a checkpoint: the new data.json, MANIFEST
// before and after. No commit fails by it, and no snapshot is lost.
func TestNoRoomForASnapshotOnARealDisk(t *testing.T) {
	s := newTightStore(t, -1)
	for range 3 {
		if err := s.add(1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	ballast := s.disk.fill(0)
	failed := map[string]int{}
	for tries := 0; ; tries++ {
		if err := s.add(1); err != nil { // its segment is there
			t.Fatal(err)
		}
		err := s.Checkpoint(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOSPC) || s.Err() != nil {
			t.Fatalf("got %v, want ENOSPC; the store says %v", err, s.Err())
		}
		if st := s.Stats(); st.SnapshotError == "" || st.LastError != st.SnapshotError || st.Failed {
			t.Errorf("the numbers are %+v", st)
		}
		for _, step := range []string{"write data.json", "write MANIFEST"} {
			if strings.Contains(err.Error(), step) {
				failed[step]++
			}
		}
		if tries > 40 {
			t.Fatalf("there is room for 40 blocks, and still: %v", err)
		}
		shrink(t, ballast, 1<<10)
	}
	if len(failed) != 2 {
		t.Errorf("the steps that failed are %v, want writing data.json and writing MANIFEST", failed)
	}
	if st := s.Stats(); st.SnapshotError != "" || st.LastError != "" || st.SnapshotSeq != st.Seq {
		t.Errorf("the numbers are %+v", st)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.wantRoomAgain()
}

// shrink gives some of the ballast free.
func shrink(t *testing.T, ballast string, bytes int64) {
	t.Helper()
	info, err := os.Stat(ballast)
	if err == nil {
		err = os.Truncate(ballast, max(0, info.Size()-bytes))
	}
	if err != nil {
		t.Fatal(err)
	}
	syscall.Sync() // freed blocks count when the journal is written
}
