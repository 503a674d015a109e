// Package crashfs is a disk to test crashes with: it forgets what was not
// synced, or keeps it in part, as a real one does when the power goes.
package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// Disk is a file system that forgets. It keeps apart what was written and
// what was synced, counts its operations, and can crash or fail at any of them.
//
// Its lock guards the fields: whoever reads or sets one while a store is open
// holds it.
type Disk struct {
	sync.Mutex

	Ops     int   // operations so far, the one that crashed or failed included
	CrashAt int   // the operation that does not happen any more; 0 is never
	FailAt  int   // the operation that fails with FailErr; 0 is never
	FailOn  bool  // all later ones fail as well
	FailErr error // ErrShortWrite writes a part first

	Before     func(op int) // called before each operation, with the lock held
	NoExchange bool         // a file system that cannot exchange names
	Taken      int64        // bytes, of one TiB
	Clock      int64        // of the times of files, a tick for each write

	Entries map[string]*File // as a running program sees them
	durable map[string]*File // as they are after a crash
	dirs    map[string]bool
	pairs   [][2]string // names exchanged and not yet synced
	inodes  uint64
}

// File is what a Disk keeps under one or more names.
type File struct {
	Data    []byte  // as a running program reads it
	Synced  []byte  // on the disk for certain
	pending []write // since the last sync; the disk has some of them
	inode   uint64
	MTime   int64
}

type write struct {
	offset int64
	data   []byte
}

const sector = 512 // bytes that a disk writes as a whole

var (
	// ErrCrashed is what every operation gives from Disk.CrashAt on.
	ErrCrashed = errors.New("crashed")

	// ErrShortWrite as Disk.FailErr lets a write write half and say so.
	ErrShortWrite = errors.New("short write")
)

// New returns an empty disk.
func New() *Disk {
	return &Disk{dirs: map[string]bool{}, Entries: map[string]*File{}, durable: map[string]*File{}}
}

// op counts an operation and decides what becomes of it.
func (d *Disk) op() error {
	d.Ops++
	if d.Before != nil {
		d.Before(d.Ops)
	}
	if d.CrashAt > 0 && d.Ops >= d.CrashAt {
		return ErrCrashed
	}
	if d.FailAt > 0 && (d.Ops == d.FailAt || d.FailOn && d.Ops > d.FailAt) {
		return d.FailErr
	}
	return nil
}

// operate locks the disk, counts an operation, and does it if it is to be.
func (d *Disk) operate(do func() error) error {
	d.Lock()
	defer d.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	return do()
}

// AfterCrash returns the disk as a machine finds it after the power came back.
// keep chooses for each piece that was not synced whether it made it.
func (d *Disk) AfterCrash(keep func() bool) *Disk {
	d.Lock()
	defer d.Unlock()
	next := New()
	next.dirs, next.inodes, next.Clock, next.NoExchange = maps.Clone(d.dirs), d.inodes, d.Clock, d.NoExchange

	names := map[string]bool{}
	for name := range d.Entries {
		names[name] = true
	}
	for name := range d.durable {
		names[name] = true
	}
	// Names that were exchanged share their fate.
	fate := map[string]bool{}
	for _, pair := range d.pairs {
		made, decided := fate[pair[0]]
		if other, also := fate[pair[1]]; !decided && also {
			made, decided = other, true
		}
		if !decided {
			made = keep()
		}
		fate[pair[0]], fate[pair[1]] = made, made
	}
	survived := map[*File]*File{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		file := d.durable[name]
		made, decided := fate[name]
		if current := d.Entries[name]; current != file && (decided && made || !decided && keep()) {
			file = current // the entry made it without a sync of its folder
		}
		if file == nil {
			continue
		}
		if survived[file] == nil {
			survived[file] = file.AfterCrash(keep)
		}
		next.Entries[name], next.durable[name] = survived[file], survived[file]
	}
	return next
}

func (f *File) AfterCrash(keep func() bool) *File {
	data := slices.Clone(f.Synced)
	for _, w := range f.pending {
		for start := 0; start < len(w.data); {
			// Up to the end of the sector that this byte lies in.
			end := min(len(w.data), start+sector-int(w.offset+int64(start))%sector)
			if keep() {
				data = writeAt(data, w.data[start:end], w.offset+int64(start))
			}
			start = end
		}
	}
	return &File{Data: data, Synced: slices.Clone(data), inode: f.inode, MTime: f.MTime}
}

func writeAt(data, b []byte, offset int64) []byte {
	if need := int(offset) + len(b); need > len(data) {
		data = append(data, make([]byte, need-len(data))...)
	}
	copy(data[offset:], b)
	return data
}

// KeepAll, for AfterCrash, is a disk that had written everything in time.
func KeepAll() bool { return true }

// KeepNone is a disk that had written what was synced, and nothing else.
func KeepNone() bool { return false }

// KeepSome is a disk that had written any part of the rest.
func KeepSome(seed uint64) func() bool {
	rng := rand.New(rand.NewPCG(seed, 7))
	return func() bool { return rng.IntN(2) == 0 }
}

func (d *Disk) Mkdir(path string) error {
	d.Lock()
	defer d.Unlock()
	if d.dirs[path] {
		return nil
	}
	if err := d.op(); err != nil {
		return err
	}
	d.dirs[path] = true
	return nil
}

func (d *Disk) Names(dir string) ([]string, error) {
	d.Lock()
	defer d.Unlock()
	var names []string
	for path := range d.Entries {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *Disk) lookup(path string) (*File, error) {
	if f := d.Entries[path]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

func (d *Disk) Read(path string) ([]byte, error) {
	d.Lock()
	defer d.Unlock()
	f, err := d.lookup(path)
	if err != nil {
		return nil, err
	}
	return slices.Clone(f.Data), nil
}

func (d *Disk) Open(path string) (vfs.Reader, error) {
	d.Lock()
	defer d.Unlock()
	f, err := d.lookup(path)
	if err != nil {
		return nil, err
	}
	return handle{d, f}, nil
}

func (d *Disk) Create(path string) (vfs.Appender, error) {
	d.Lock()
	defer d.Unlock()
	if err := d.op(); err != nil {
		return nil, err
	}
	d.inodes++
	f := &File{inode: d.inodes}
	d.Entries[path] = f
	return handle{d, f}, nil
}

// Replace does in one call what renameio does, each step an operation.
func (d *Disk) Replace(path string, data []byte) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"123")
	f, err := d.Create(temp)
	if err != nil {
		return err
	}
	if n, err := f.WriteAt(data, 0); err != nil {
		return err
	} else if n < len(data) {
		return io.ErrShortWrite
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return d.Rename(temp, path)
}

func (d *Disk) Rename(from, to string) error {
	return d.operate(func() error {
		f, err := d.lookup(from)
		if err != nil {
			return err
		}
		if d.NoExchange {
			d.pairs = append(d.pairs, [2]string{from, to}) // rename is one step as well
		}
		d.Entries[to] = f
		delete(d.Entries, from)
		return nil
	})
}

func (d *Disk) Stat(path string) (vfs.FileID, error) {
	d.Lock()
	defer d.Unlock()
	f, err := d.lookup(path)
	if err != nil {
		return vfs.FileID{}, err
	}
	return vfs.FileID{Inode: f.inode, Size: int64(len(f.Data)), MTime: time.Unix(0, f.MTime).UTC()}, nil
}

func (d *Disk) Free(string) (int64, error) {
	d.Lock()
	defer d.Unlock()
	return 1<<40 - d.Taken, nil
}

func (d *Disk) SameDevice(string, string) (bool, error) { return true, nil }

// Exchange is one step on the disk as well: both names make it, or neither.
func (d *Disk) Exchange(a, b string) error {
	return d.operate(func() error {
		first, err := d.lookup(a)
		if err != nil {
			return err
		}
		second, err := d.lookup(b)
		if err != nil {
			return err
		}
		if d.NoExchange {
			return errors.ErrUnsupported
		}
		d.Entries[a], d.Entries[b] = second, first
		d.pairs = append(d.pairs, [2]string{a, b})
		return nil
	})
}

func (d *Disk) Link(from, to string) error {
	return d.operate(func() error {
		f, err := d.lookup(from)
		if err != nil {
			return err
		}
		if d.Entries[to] != nil {
			return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
		}
		d.Entries[to] = f
		return nil
	})
}

func (d *Disk) Remove(path string) error {
	return d.operate(func() error {
		if _, err := d.lookup(path); err != nil {
			return err
		}
		delete(d.Entries, path)
		return nil
	})
}

func (d *Disk) SyncDir(dir string) error {
	return d.operate(func() error {
		for path := range d.durable {
			if filepath.Dir(path) == dir && d.Entries[path] == nil {
				delete(d.durable, path)
			}
		}
		for path, f := range d.Entries {
			if filepath.Dir(path) == dir {
				d.durable[path] = f
			}
		}
		d.pairs = slices.DeleteFunc(d.pairs, func(p [2]string) bool { return filepath.Dir(p[0]) == dir })
		return nil
	})
}

// Put is an operator who writes a file and syncs it, into the file that is
// there or with a rename over it.
func (d *Disk) Put(path string, byRename bool, content string) {
	d.Lock()
	defer d.Unlock()
	d.PutLocked(path, byRename, content)
}

// PutLocked is Put for those who hold the lock.
func (d *Disk) PutLocked(path string, byRename bool, content string) {
	f := d.Entries[path]
	if f == nil || byRename {
		d.inodes++
		f = &File{inode: d.inodes}
		d.Entries[path], d.durable[path] = f, f
	}
	d.Clock++
	f.MTime = d.Clock
	f.Data, f.Synced, f.pending = []byte(content), []byte(content), nil
}

type handle struct {
	disk *Disk
	file *File
}

func (h handle) ReadAt(b []byte, offset int64) (int, error) {
	h.disk.Lock()
	defer h.disk.Unlock()
	if offset >= int64(len(h.file.Data)) {
		return 0, io.EOF
	}
	n := copy(b, h.file.Data[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h handle) WriteAt(b []byte, offset int64) (int, error) {
	h.disk.Lock()
	defer h.disk.Unlock()
	err := h.disk.op()
	switch {
	case errors.Is(err, ErrShortWrite):
		b = b[:len(b)/2]
		err = nil // as some file systems do, and renameio and we must notice
	case errors.Is(err, ErrCrashed) && h.disk.Ops == h.disk.CrashAt:
		// The write was under way when the power went.
	case err != nil:
		return 0, err
	}
	h.disk.Clock++
	h.file.MTime = h.disk.Clock
	h.file.Data = writeAt(h.file.Data, b, offset)
	h.file.pending = append(h.file.pending, write{offset, slices.Clone(b)})
	return len(b), err
}

func (h handle) Sync() error {
	h.disk.Lock()
	defer h.disk.Unlock()
	if err := h.disk.op(); err != nil {
		if !errors.Is(err, ErrCrashed) {
			// What could not be written is dropped from the kernel's list, and
			// the next sync of the file succeeds without it: seen on ext4.
			h.file.pending = nil
		}
		return err
	}
	h.file.Synced, h.file.pending = slices.Clone(h.file.Data), nil
	return nil
}

func (h handle) Close() error { return nil }
