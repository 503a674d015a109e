package atomicstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// fingerprint is the whole of a folder: names, times and contents.
func fingerprint(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintln(h, path, info.ModTime(), len(data))
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}

// toVerify returns what Verify needs to know of a store's options.
func toVerify(o *Options) *VerifyOptions {
	return &VerifyOptions{BackupDir: o.BackupDir, seam: o.seam}
}

// TestVerifyEndsWithItsContext wherever it is, and takes that for no damage.
func TestVerifyEndsWithItsContext(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	mustWrite(t, s, "two")
	mustClose(t, s)
	whole := 0 // reads
	for after := 0; ; after++ {
		ctx, cancel := context.WithCancel(t.Context())
		reads := 0
		v := toVerify(p.options())
		v.FS = reading{Disk: vfs.Disk{}, each: func() {
			if reads++; reads == after {
				cancel()
			}
		}}
		_, err := Verify(ctx, p.data, v)
		cancel()
		if after == 0 {
			if whole = reads; err != nil || whole < 5 {
				t.Fatalf("%d reads, %v", whole, err)
			}
			continue
		}
		if after > whole {
			return
		}
		if err != context.Canceled {
			t.Errorf("cancelled at read %d of %d: got %v", after, whole, err)
		}
		if reads > after {
			t.Errorf("cancelled at read %d it went on to %d", after, reads)
		}
	}
}

// reading tells of each piece that is read.
type reading struct {
	vfs.Disk
	each func()
}

func (r reading) Read(path string) ([]byte, error) {
	r.each()
	return r.Disk.Read(path)
}

func (r reading) Open(path string) (vfs.Reader, error) {
	f, err := r.Disk.Open(path)
	return noted{Reader: f, note: func(int) { r.each() }}, err
}

func TestVerifyReportsAWholeStoreAndChangesNothing(t *testing.T) {
	p := newHome(t)
	o := &Options{BackupDir: p.backups, SegmentBytes: 1024}
	s := mustOpen(t, p.data, o)
	mustWrite(t, s, numbered("line ", 20)...)
	checkpoint(t, s)
	at := mustWrite(t, s, "more", "and more")
	mustClose(t, s)
	before := fingerprint(t, filepath.Dir(p.data))
	var told [][2]int64
	v := toVerify(o)
	v.Progress = func(done, total int64) { told = append(told, [2]int64{done, total}) }
	r, err := Verify(t.Context(), p.data, v)
	if err != nil {
		t.Fatal(err)
	}
	if after := fingerprint(t, filepath.Dir(p.data)); after != before {
		t.Error("Verify has changed something")
	}
	if len(told) < 2 || told[0][0] != 0 || told[len(told)-1][0] != told[0][1] || told[0][1] < 2*1024 {
		t.Errorf("progress: got %v, want from 0 to all bytes", told)
	}
	if r.Epoch != at.Epoch || r.First != 1 || r.Last != 22 || r.Changes != 22 || r.Batches < 22 || len(r.Segments) < 2 || r.Torn != 0 ||
		r.Manifest != "ok" || r.Snapshot.Whose != "store" || r.Snapshot.Seq != 22 || r.Snapshot.Error != "" ||
		len(r.Backups) != 2 || r.Backups[1].Seq != 20 || r.Backups[1].Error != "" || r.Backups[1].Epoch != at.Epoch {
		t.Errorf("got %+v", r)
	}
}

func TestVerifyTellsDamageFromATornTail(t *testing.T) {
	for _, backups := range []bool{true, false} { // whether the log or a snapshot is damaged
		p := newHome(t)
		s := p.open(t)
		mustWrite(t, s, "one")
		checkpoint(t, s)
		mustWrite(t, s, "two", "three")
		mustClose(t, s)
		path, data := segmentOf(t, p.data)
		starts := frames(t, data)
		change := func(path string, at int) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[at] ^= 4
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var corrupt *CorruptError
		if backups {
			list, err := Backups(p.backups)
			if err != nil {
				t.Fatal(err)
			}
			last := list[len(list)-1]
			change(last.Path, int(last.Size)-6)
			r, err := Verify(t.Context(), p.data, toVerify(p.options()))
			if !errors.As(err, &corrupt) || corrupt.Path != last.Path || r.Backups[len(list)-1].Error == "" || r.Last != 3 {
				t.Errorf("a damaged backup: got %v, %+v", err, r)
			}
			continue
		}
		// Behind the last batch stands half of another one.
		data[starts[len(starts)-1]] = 100
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(t.Context(), p.data, toVerify(p.options())); err != nil || r.Torn == 0 || r.Last != 3 {
			t.Errorf("a torn tail: got %v, %+v", err, r)
		}
		change(path, starts[1]+batchHeader)
		r, err := Verify(t.Context(), p.data, toVerify(p.options()))
		if !errors.As(err, &corrupt) || corrupt.Path != path || corrupt.Offset != int64(starts[1]) || corrupt.Seq != 2 || r.Last != 1 {
			t.Errorf("a damaged batch: got %v, %+v", err, r)
		}
	}
}

func TestVerifySaysWhoseTheDataFileIs(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	mustClose(t, s)
	p.put(t, `{"lines": ["his"]}`)
	if r, err := Verify(t.Context(), p.data, toVerify(p.options())); err != nil || r.Snapshot.Whose != "operator" {
		t.Errorf("got %v, %+v", err, r)
	}
	mustClose(t, p.open(t))
	if r, err := Verify(t.Context(), p.data, toVerify(p.options())); err != nil || r.Snapshot.Whose != "store" || len(r.SetAside) != 2 || !strings.Contains(fmt.Sprint(r.SetAside), segmentSuffix) {
		t.Errorf("got %v, %+v", err, r)
	}
	if err := os.Remove(filepath.Join(p.data, manifestName)); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(t.Context(), p.data, toVerify(p.options())); err != nil || r.Snapshot.Whose != "unknown" || r.Manifest != "missing" {
		t.Errorf("got %v, %+v", err, r)
	}
}

// TestVerifyWorksBesideAStoreAtWork verifies while changes, checkpoints,
// rotation and pruning go on.
func TestVerifyWorksBesideAStoreAtWork(t *testing.T) {
	p := newHome(t)
	o := &Options{BackupDir: p.backups, SegmentBytes: 4096, KeepModifications: 20, KeepBackups: 5}
	s := mustOpen(t, p.data, o)
	defer mustClose(t, s)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := write(s, fmt.Sprint(w, i)); err != nil {
					t.Error(err)
					return
				}
				if w == 0 && i%10 == 0 {
					if err := s.Checkpoint(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var last uint64
	for range 30 {
		_, at := s.State()
		r, err := Verify(t.Context(), p.data, toVerify(o))
		if err != nil {
			t.Error(err)
			break
		}
		if r.Last < at.Seq || r.Last < last {
			t.Errorf("Verify saw changes up to %d, %d were acknowledged", r.Last, at.Seq)
		}
		last = r.Last
	}
	close(stop)
	wg.Wait()
}
