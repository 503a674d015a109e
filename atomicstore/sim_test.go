package atomicstore

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
)

// simDisk is a file system that forgets. It keeps apart what was written and
// what was synced, counts its operations, and can crash or fail at any of them.
type simDisk struct {
	mu      sync.Mutex
	dirs    map[string]bool
	entries map[string]*simFile // as a running program sees them
	durable map[string]*simFile // as they are after a crash
	ops     int
	crashAt int   // the operation that does not happen any more; 0 is never
	failAt  int   // the operation that fails with failErr; 0 is never
	failOn  bool  // all later ones fail as well
	failErr error // errShortWrite writes a part first

	before     func(op int) // called before each operation, with the lock held
	noExchange bool         // a file system that cannot exchange names
	pairs      [][2]string  // names exchanged and not yet synced
	inodes     uint64
	taken      int64 // bytes, of one TiB
	clock      int64 // of the times of files, a tick for each write
}

type simFile struct {
	data    []byte     // as a running program reads it
	synced  []byte     // on the disk for certain
	pending []simWrite // since the last sync; the disk has some of them
	inode   uint64
	mtime   int64
}

type simWrite struct {
	offset int64
	data   []byte
}

const sector = 512 // bytes that a disk writes as a whole

var (
	errCrashed    = errors.New("crashed")
	errShortWrite = errors.New("short write")
)

func newSimDisk() *simDisk {
	return &simDisk{dirs: map[string]bool{}, entries: map[string]*simFile{}, durable: map[string]*simFile{}}
}

// op counts an operation and decides what becomes of it.
func (d *simDisk) op() error {
	d.ops++
	if d.before != nil {
		d.before(d.ops)
	}
	if d.crashAt > 0 && d.ops >= d.crashAt {
		return errCrashed
	}
	if d.failAt > 0 && (d.ops == d.failAt || d.failOn && d.ops > d.failAt) {
		return d.failErr
	}
	return nil
}

// afterCrash returns the disk as a machine finds it after the power came back.
// keep chooses for each piece that was not synced whether it made it.
func (d *simDisk) afterCrash(keep func() bool) *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newSimDisk()
	next.dirs, next.inodes, next.clock, next.noExchange = maps.Clone(d.dirs), d.inodes, d.clock, d.noExchange

	names := map[string]bool{}
	for name := range d.entries {
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
	survived := map[*simFile]*simFile{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		file := d.durable[name]
		made, decided := fate[name]
		if current := d.entries[name]; current != file && (decided && made || !decided && keep()) {
			file = current // the entry made it without a sync of its folder
		}
		if file == nil {
			continue
		}
		if survived[file] == nil {
			survived[file] = file.afterCrash(keep)
		}
		next.entries[name], next.durable[name] = survived[file], survived[file]
	}
	return next
}

func (f *simFile) afterCrash(keep func() bool) *simFile {
	data := slices.Clone(f.synced)
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
	return &simFile{data: data, synced: slices.Clone(data), inode: f.inode, mtime: f.mtime}
}

func writeAt(data, b []byte, offset int64) []byte {
	if need := int(offset) + len(b); need > len(data) {
		data = append(data, make([]byte, need-len(data))...)
	}
	copy(data[offset:], b)
	return data
}

func keepAll() bool  { return true }
func keepNone() bool { return false }
func keepSome(seed uint64) func() bool {
	rng := rand.New(rand.NewPCG(seed, 7))
	return func() bool { return rng.IntN(2) == 0 }
}

func (d *simDisk) mkdir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirs[path] {
		return nil
	}
	if err := d.op(); err != nil {
		return err
	}
	d.dirs[path] = true
	return nil
}

func (d *simDisk) names(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for path := range d.entries {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *simDisk) lookup(path string) (*simFile, error) {
	if f := d.entries[path]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

func (d *simDisk) read(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.lookup(path)
	if err != nil {
		return nil, err
	}
	return slices.Clone(f.data), nil
}

func (d *simDisk) open(path string) (reader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.lookup(path)
	if err != nil {
		return nil, err
	}
	return simHandle{d, f}, nil
}

func (d *simDisk) create(path string) (appender, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return nil, err
	}
	d.inodes++
	f := &simFile{inode: d.inodes}
	d.entries[path] = f
	return simHandle{d, f}, nil
}

// replace does in one call what renameio does, each step an operation.
func (d *simDisk) replace(path string, data []byte) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"123")
	f, err := d.create(temp)
	if err != nil {
		return err
	}
	if err := writeAll(f, data, 0); err != nil {
		return err
	}
	if err := f.sync(); err != nil {
		return err
	}
	return d.rename(temp, path)
}

func (d *simDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	f, err := d.lookup(from)
	if err != nil {
		return err
	}
	if d.noExchange {
		d.pairs = append(d.pairs, [2]string{from, to}) // rename is one step as well
	}
	d.entries[to] = f
	delete(d.entries, from)
	return nil
}

func (d *simDisk) stat(path string) (fileID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.lookup(path)
	if err != nil {
		return fileID{}, err
	}
	return fileID{f.inode, int64(len(f.data)), time.Unix(0, f.mtime).UTC()}, nil
}

func (d *simDisk) free(string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return 1<<40 - d.taken, nil
}

// exchange is one step on the disk as well: both names make it, or neither.
func (d *simDisk) exchange(a, b string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	first, err := d.lookup(a)
	if err != nil {
		return err
	}
	second, err := d.lookup(b)
	if err != nil {
		return err
	}
	if d.noExchange {
		return errors.ErrUnsupported
	}
	d.entries[a], d.entries[b] = second, first
	d.pairs = append(d.pairs, [2]string{a, b})
	return nil
}

func (d *simDisk) link(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	f, err := d.lookup(from)
	if err != nil {
		return err
	}
	if d.entries[to] != nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	d.entries[to] = f
	return nil
}

func (d *simDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	if _, err := d.lookup(path); err != nil {
		return err
	}
	delete(d.entries, path)
	return nil
}

func (d *simDisk) syncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	for path := range d.durable {
		if filepath.Dir(path) == dir && d.entries[path] == nil {
			delete(d.durable, path)
		}
	}
	for path, f := range d.entries {
		if filepath.Dir(path) == dir {
			d.durable[path] = f
		}
	}
	d.pairs = slices.DeleteFunc(d.pairs, func(p [2]string) bool { return filepath.Dir(p[0]) == dir })
	return nil
}

// put is an operator who writes a file and syncs it, into the file that is
// there or with a rename over it.
func (d *simDisk) put(path string, byRename bool, content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.putLocked(path, byRename, content)
}

func (d *simDisk) putLocked(path string, byRename bool, content string) {
	f := d.entries[path]
	if f == nil || byRename {
		d.inodes++
		f = &simFile{inode: d.inodes}
		d.entries[path], d.durable[path] = f, f
	}
	d.clock++
	f.mtime = d.clock
	f.data, f.synced, f.pending = []byte(content), []byte(content), nil
}

type simHandle struct {
	disk *simDisk
	file *simFile
}

func (h simHandle) ReadAt(b []byte, offset int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if offset >= int64(len(h.file.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.file.data[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h simHandle) WriteAt(b []byte, offset int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	err := h.disk.op()
	switch {
	case errors.Is(err, errShortWrite):
		b = b[:len(b)/2]
		err = nil // as some file systems do, and renameio and we must notice
	case errors.Is(err, errCrashed) && h.disk.ops == h.disk.crashAt:
		// The write was under way when the power went.
	case err != nil:
		return 0, err
	}
	h.disk.clock++
	h.file.mtime = h.disk.clock
	h.file.data = writeAt(h.file.data, b, offset)
	h.file.pending = append(h.file.pending, simWrite{offset, slices.Clone(b)})
	return len(b), err
}

func (h simHandle) sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.op(); err != nil {
		if !errors.Is(err, errCrashed) {
			// What could not be written is dropped from the kernel's list, and
			// the next sync of the file succeeds without it: seen on ext4.
			h.file.pending = nil
		}
		return err
	}
	h.file.synced, h.file.pending = slices.Clone(h.file.data), nil
	return nil
}

func (h simHandle) Close() error { return nil }
