// Package vfs is what a store and its disk have to do with each other. It is a
// package of its own so that storetest can put a simulated disk under a store.
package vfs

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// FS is what the store asks of the disk. There are two: Disk, and the
// simulation of the crash tests, which drops what was not synced.
type FS interface {
	Mkdir(path string) error
	Names(dir string) ([]string, error)     // sorted
	Read(path string) ([]byte, error)       // the whole file
	Open(path string) (Reader, error)       // for reading
	Create(path string) (Appender, error)   // a new file; its name is durable after SyncDir
	Replace(path string, data []byte) error // contents synced, then renamed into place; the name is durable after SyncDir
	Stat(path string) (FileID, error)
	Free(path string) (int64, error) // bytes, of the file system that path is on
	SameDevice(a, b string) (bool, error)
	Rename(from, to string) error
	Exchange(a, b string) error // swaps two files in one step; errors.ErrUnsupported where that is not possible
	Link(from, to string) error // fs.ErrExist if to is there
	Remove(path string) error
	SyncDir(dir string) error
}

// Appender is a file being written. Sync makes all that was written durable.
type Appender interface {
	io.WriterAt
	io.Closer
	Sync() error
}

// Reader is a file being read.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// FileID tells whether a file is the one it was: another file has another
// inode, and writing to one changes the time or the size.
type FileID struct {
	Inode uint64
	Size  int64
	MTime time.Time // UTC
}

// Seam is embedded, under a name that is not exported, in the options of a
// store: so storetest can set FS, and nobody else sees it.
type Seam struct {
	FS FS // nil is Disk
}

// Disk is the real file system.
type Disk struct{}

func (Disk) Mkdir(path string) error { return os.MkdirAll(path, 0o700) }

func (Disk) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (Disk) Read(path string) ([]byte, error) { return os.ReadFile(path) }
func (Disk) Open(path string) (Reader, error) { return os.Open(path) }

func (Disk) Create(path string) (Appender, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (Disk) Replace(path string, data []byte) error {
	// The temporary file goes into the same folder: renameio would otherwise
	// probe /tmp. It syncs the file and renames it, and leaves the folder to us.
	return renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600))
}

func (Disk) Rename(from, to string) error    { return os.Rename(from, to) }
func (Disk) Exchange(a, b string) error      { return exchange(a, b) }
func (Disk) Free(path string) (int64, error) { return free(path) }

func (Disk) SameDevice(a, b string) (bool, error) {
	first, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	second, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	return deviceOf(first) == deviceOf(second), nil
}

func (Disk) Link(from, to string) error { return os.Link(from, to) }
func (Disk) Remove(path string) error   { return os.Remove(path) }

func (Disk) Stat(path string) (FileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return FileID{}, err
	}
	return FileID{inodeOf(info), info.Size(), info.ModTime().UTC()}, nil
}

func (Disk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type diskFile struct{ *os.File }

func (f diskFile) Sync() error { return datasync(f.File) }
