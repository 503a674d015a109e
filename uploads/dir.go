package uploads

import (
	"errors"
	"fmt"
	"image/jpeg"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/renameio/v2"
)

// Dir is a folder of photos. It is safe for concurrent use; one Dir at a time
// may have a folder open.
//
// Invariant: while names is not held, every photo that can be seen in the
// folder is durable, and none has a tombstone.
type Dir struct {
	options Options
	root    *os.Root // nothing outside is touched, whatever is linked in
	self    *os.File // the folder itself, for fsync and statfs
	graves  *os.File // deleted/, for fsync
	marks   *os.File // mirrored/, for fsync
	budget  budget
	garbage atomic.Int64 // bytes that decodes have given back since the last collection
	scaling scaling
	counts  counts

	open   sync.RWMutex // read-held by whoever must not be interrupted by Close
	closed bool         // guarded by open

	names sync.Mutex // guards which photos and tombstones exist; taken inside open

	// changed is told of every photo that was accepted or deleted, when there is a
	// Syncer. It returns at once.
	changed atomic.Pointer[func(id PhotoID, deleted bool)]
}

// Names in the folder.
const (
	graveDir   = "deleted"
	markDir    = "mirrored"
	tempPrefix = "." // renameio's as well
	filePerm   = 0o600
	dirPerm    = 0o700
)

// OpenDir opens the folder at path, made when it is missing, with its parents.
// It removes what a crash left behind and finishes deletions. options may be
// nil.
func OpenDir(path string, options *Options) (_ *Dir, err error) {
	d := &Dir{options: options.withDefaults()}
	d.budget.size = d.options.DecodeBytes
	d.scaling.running = map[PhotoID]*scaled{}
	defer func() {
		if err != nil {
			d.closeFiles()
			err = fmt.Errorf("uploads: open %s: %w", path, err)
		}
	}()

	if err := makeDir(path); err != nil {
		return nil, err
	}
	if d.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	for _, name := range append([]string{graveDir, markDir}, widthDirs()...) {
		if err := d.root.Mkdir(name, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	if d.self, err = d.root.Open("."); err != nil {
		return nil, err
	}
	if d.graves, err = d.root.Open(graveDir); err != nil {
		return nil, err
	}
	if d.marks, err = d.root.Open(markDir); err != nil {
		return nil, err
	}
	// A killed process may have renamed a photo, or made a tombstone or a mark,
	// and not synced the folder.
	for _, dir := range []*os.File{d.graves, d.marks, d.self} {
		if err := dir.Sync(); err != nil {
			return nil, err
		}
	}
	if err := d.tidy(); err != nil {
		return nil, err
	}
	if d.options.free == nil {
		d.options.free = func() (int64, error) { return freeBytes(d.self) }
	}
	d.checkRoom(0) // for Stats; a full disk does not stop serving
	return d, nil
}

// makeDir makes path and its parents and syncs each folder that got a new
// entry, so that the first photo cannot vanish with its folder.
func makeDir(name string) error {
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(name))
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(name, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// tidy removes what was being written when the process ended, and what a
// deletion has not removed yet. It counts the photos.
func (d *Dir) tidy() error {
	names, err := d.list(".")
	if err != nil {
		return err
	}
	removed := 0
	for _, name := range names {
		id, isPhoto := photoOfFile(name)
		switch {
		case isTemp(name):
			err = d.root.Remove(name)
			removed++
		case isPhoto && d.buried(id):
			err = d.erase(id)
			removed++
		case isPhoto:
			d.counts.photos.Add(1)
		}
		if err != nil {
			return err
		}
	}
	names, err = d.list(markDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if PhotoID(name).valid() {
			continue
		}
		if err := d.root.Remove(filepath.Join(markDir, name)); err != nil {
			return err
		}
		removed++
	}
	for _, dir := range widthDirs() {
		names, err := d.list(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := d.root.Lstat(name); err == nil {
				continue
			}
			if err := d.root.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
			removed++
		}
	}
	if removed > 0 {
		d.options.Logger.Info("removed what an earlier process left in the folder of photos", "files", removed)
	}
	return nil
}

func (d *Dir) list(dir string) ([]string, error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// isTemp tells our own temporary files from what else starts with a dot:
// spools, and those of renameio, which are named after the target.
func isTemp(name string) bool {
	name, dotted := strings.CutPrefix(name, tempPrefix)
	return dotted && (strings.HasPrefix(name, spoolPrefix) || len(name) > 64 && PhotoID(name[:64]).valid())
}

// Open opens a photo for reading. The caller closes the file. It returns
// [ErrUnknownPhoto].
func (d *Dir) Open(id PhotoID) (*os.File, error) {
	if !id.valid() {
		return nil, fmt.Errorf("%w: %q", ErrUnknownPhoto, id)
	}
	return d.openFile(id.file())
}

func (d *Dir) openFile(name string) (*os.File, error) {
	f, err := d.root.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrUnknownPhoto, name)
	case errors.Is(err, os.ErrClosed):
		return nil, ErrClosed
	case err != nil:
		return nil, fmt.Errorf("uploads: open: %w", err)
	}
	return f, nil
}

// Stat describes a photo. It reads the first bytes of the file. It returns
// [ErrUnknownPhoto].
func (d *Dir) Stat(id PhotoID) (Photo, error) {
	f, err := d.Open(id)
	if err != nil {
		return Photo{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Photo{}, fmt.Errorf("uploads: stat %s: %w", id, err)
	}
	config, err := jpeg.DecodeConfig(f)
	if err != nil {
		return Photo{}, fmt.Errorf("uploads: stat %s: %w", id, err)
	}
	return Photo{ID: id, Width: config.Width, Height: config.Height, Bytes: info.Size(), AcceptedAt: info.ModTime()}, nil
}

// Walk gives the id of every photo, in no order. Photos that come or go
// meanwhile may be given or not. An error ends the walk.
func (d *Dir) Walk() iter.Seq2[PhotoID, error] {
	return func(yield func(PhotoID, error) bool) {
		names, err := d.list(".")
		if err != nil {
			if errors.Is(err, os.ErrClosed) {
				err = ErrClosed
			} else {
				err = fmt.Errorf("uploads: walk: %w", err)
			}
			yield("", err)
			return
		}
		for _, name := range names {
			if id, ok := photoOfFile(name); ok && !yield(id, nil) {
				return
			}
		}
	}
}

// tell tells the Syncer, if there is one.
func (d *Dir) tell(id PhotoID, deleted bool) {
	if f := d.changed.Load(); f != nil {
		(*f)(id, deleted)
	}
}

// Close waits for files that are being put in place or removed, and closes the
// folder. Accepts that are not that far fail with ErrClosed, as does everything
// after; files that are open may be read on.
func (d *Dir) Close() error {
	d.open.Lock()
	defer d.open.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.closeFiles()
}

// enter keeps the folder open until leave. It returns ErrClosed when it is too
// late.
func (d *Dir) enter() error {
	d.open.RLock()
	if d.closed {
		d.open.RUnlock()
		return ErrClosed
	}
	return nil
}

func (d *Dir) leave() { d.open.RUnlock() }

func (d *Dir) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{d.graves, d.marks, d.self} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if d.root != nil {
		errs = append(errs, d.root.Close())
	}
	return errors.Join(errs...)
}

// pending opens a temporary file that will get a name in the folder.
func (d *Dir) pending(name string) (*renameio.PendingFile, error) {
	return renameio.NewPendingFile(name, renameio.WithRoot(d.root), renameio.WithStaticPermissions(filePerm))
}

// checkRoom returns ErrDiskFull when less than the reserve would be free after
// n more bytes.
func (d *Dir) checkRoom(n int64) error {
	free, err := d.options.free()
	if err != nil {
		return err
	}
	d.counts.free.Store(free)
	if free-n < d.options.ReserveBytes {
		return refuse(ErrDiskFull, "", errors.New(strconv.FormatInt(free, 10)+" bytes free"))
	}
	return nil
}

// room is checkRoom for who has not entered.
func (d *Dir) room(n int64) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.checkRoom(n)
}
