package atomicstore

import (
	"io"
	"os"

	"github.com/google/renameio/v2"
)

// fileSystem is what the store asks of the disk. There are two: disk, and the
// simulation of the crash tests, which drops what was not synced.
type fileSystem interface {
	mkdir(path string) error
	names(dir string) ([]string, error)     // sorted
	read(path string) ([]byte, error)       // the whole file
	open(path string) (reader, error)       // for reading
	create(path string) (appender, error)   // a new file; its name is durable after syncDir
	replace(path string, data []byte) error // contents synced, then renamed into place; the name is durable after syncDir
	stat(path string) (fileID, error)
	free(path string) (int64, error) // bytes, of the file system that path is on
	rename(from, to string) error
	exchange(a, b string) error // swaps two files in one step; errors.ErrUnsupported where that is not possible
	link(from, to string) error // fs.ErrExist if to is there
	remove(path string) error
	syncDir(dir string) error
}

// appender is a file being written. sync makes all that was written durable.
type appender interface {
	io.WriterAt
	io.Closer
	sync() error
}

type reader interface {
	io.ReaderAt
	io.Closer
}

// disk is the real file system.
type disk struct{}

func (disk) mkdir(path string) error { return os.MkdirAll(path, 0o700) }

func (disk) names(dir string) ([]string, error) {
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

func (disk) read(path string) ([]byte, error) { return os.ReadFile(path) }
func (disk) open(path string) (reader, error) { return os.Open(path) }

func (disk) create(path string) (appender, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) replace(path string, data []byte) error {
	// The temporary file goes into the same folder: renameio would otherwise
	// probe /tmp. It syncs the file and renames it, and leaves the folder to us.
	return renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(dirOf(path)), renameio.WithStaticPermissions(0o600))
}

func (disk) rename(from, to string) error    { return os.Rename(from, to) }
func (disk) exchange(a, b string) error      { return exchange(a, b) }
func (disk) free(path string) (int64, error) { return free(path) }
func (disk) link(from, to string) error      { return os.Link(from, to) }
func (disk) remove(path string) error        { return os.Remove(path) }

func (disk) stat(path string) (fileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, err
	}
	return fileID{inodeOf(info), info.Size(), info.ModTime().UTC()}, nil
}

func (disk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type diskFile struct{ *os.File }

func (f diskFile) sync() error { return datasync(f.File) }
