package atomicstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// tempPrefix begins the names of data.json files that are not in place yet, or
// not any more.
const tempPrefix = "." + snapshotName + "."

func newTempName() string {
	var nonce [8]byte
	rand.Read(nonce[:])
	return tempPrefix + hex.EncodeToString(nonce[:])
}

// dataFile is data.json with its MANIFEST. It answers one question: did the
// store write what stands there, or an operator?
//
// Invariants. A coming file is on disk under the name that MANIFEST gives
// before MANIFEST names it; so if that name holds anything else, somebody
// wrote it. Nothing is ever written over data.json: names are exchanged, and
// what comes out is looked at. What is not the store's is put back and stays.
//
// Of one goroutine at a time.
type dataFile struct {
	fs        vfs.FS
	dir       string
	backupDir string // "" for none
	log       *slog.Logger

	man   manifest   // what is certainly on disk, or was before a failed attempt to change it
	known bool       // there is a MANIFEST that can be read
	seen  vfs.FileID // of data.json when it was last found to be the store's

	newest func() string // name of the newest segment on disk, "" before one was made; nil for those who make none

	gone []replacedFile

	keepWaiting  int   // of the files in gone that wait to become backups, so many
	waitingBytes int64 // and so many bytes
	notCopied    error // why there is no backup of the data.json that an epoch begins with

	// backupErr is why a backup is missing, nil when none is. Whoever owns the
	// dataFile sets it; anyone may load it.
	backupErr atomic.Pointer[error]
}

func newDataFile(dir string, opts Options) *dataFile {
	return &dataFile{
		fs:           opts.FS,
		dir:          dir,
		backupDir:    opts.BackupDir,
		log:          opts.Logger,
		keepWaiting:  opts.KeepBackups,
		waitingBytes: opts.BackupBytes,
	}
}

// owner is the answer for a data.json.
type owner int

const (
	nobodys   owner = iota // there is none
	ours                   // matches MANIFEST
	unknown                // there is no MANIFEST
	operators              // somebody put it there
	rotten                 // neither: its bytes changed, and nobody wrote it
)

// contents is a data.json that was looked at.
type contents struct {
	owner owner
	id    vfs.FileID
	sum   digest
	owned owned // when it is ours
}

func (f *dataFile) path() string            { return filepath.Join(f.dir, snapshotName) }
func (f *dataFile) temp(name string) string { return filepath.Join(f.dir, name) }
func (f *dataFile) manifestPath() string    { return filepath.Join(f.dir, manifestName) }
func isMissing(err error) bool              { return errors.Is(err, fs.ErrNotExist) }

func (f *dataFile) sync() error {
	if err := f.fs.SyncDir(f.dir); err != nil {
		return fmt.Errorf("sync the data folder: %w", err)
	}
	return nil
}

// load reads MANIFEST. One that is missing or damaged is none: an operator's
// hand cannot be told then, and data.json is ours if it fits the log.
func (f *dataFile) load() error {
	data, err := f.fs.Read(f.manifestPath())
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := decodeManifest(data)
	if err != nil {
		f.log.Error("MANIFEST cannot be read and is written anew", "path", f.manifestPath(), "error", err)
		return nil
	}
	f.man, f.known = *m, true
	return nil
}

// write makes a manifest durable.
func (f *dataFile) write(m manifest) error {
	m.newest = f.newestSegment()
	if err := f.fs.Replace(f.manifestPath(), m.encode()); err != nil {
		return fmt.Errorf("write %s: %w", manifestName, err)
	}
	if err := f.sync(); err != nil {
		return err
	}
	f.man, f.known = m, true
	return nil
}

// newestSegment returns the name that MANIFEST shall give.
func (f *dataFile) newestSegment() string {
	if f.newest != nil {
		if name := f.newest(); name != "" {
			return name
		}
	}
	return f.man.newest
}

// mark says in MANIFEST, if there is one, whether the store is closed: only then
// does data.json have everything. It must be false on disk before anything is
// acknowledged.
func (f *dataFile) mark(closed bool) error {
	same := f.man.closed == closed && f.man.newest == f.newestSegment()
	if !f.known || same || f.man.coming != nil {
		return nil
	}
	m := f.man
	m.closed = closed
	return f.write(m)
}

// look says whose a file is, as far as MANIFEST tells.
func (f *dataFile) look(path string) (c contents, err error) {
	// The stat comes first: what is written in between is found by the next look.
	if c.id, err = f.fs.Stat(path); err == nil {
		c.sum, err = f.hash(path)
	}
	if isMissing(err) {
		return contents{}, nil
	}
	if err != nil {
		return c, err
	}
	owned, found := f.man.find(c.sum)
	switch {
	case found:
		c.owner, c.owned = ours, owned
	case !f.known:
		c.owner = unknown
	case f.man.rotten(c.id):
		c.owner = rotten
	default:
		c.owner = operators
	}
	return c, nil
}

// claim takes a data.json for the store's.
func (f *dataFile) claim(c contents, seq uint64) {
	f.seen = c.id
	if c.owner == unknown {
		f.man.present = []owned{{sum: c.sum, size: c.id.Size, mtime: c.id.MTime.UnixNano(), seq: seq}}
	}
}

// unfinished is how long somebody who writes a file may pause.
const unfinished = time.Second

// await waits while somebody is still writing data.json: until that was not
// changed for a moment, as far as its time tells.
func (f *dataFile) await() error {
	for {
		id, err := f.fs.Stat(f.path())
		if err != nil {
			return err
		}
		since := time.Since(id.MTime)
		if since < 0 || since >= unfinished { // a time in the future says nothing
			return nil
		}
		time.Sleep(unfinished - since)
	}
}

// hash reads a file without holding it in memory.
func (f *dataFile) hash(path string) (sum digest, err error) {
	file, err := f.fs.Open(path)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(file, 0, math.MaxInt64)); err != nil {
		return sum, err
	}
	return digest(h.Sum(nil)), nil
}

// same tells whether two files have the same contents.
func (f *dataFile) same(a, b string) bool {
	first, err := f.hash(a)
	if err != nil {
		return false
	}
	second, err := f.hash(b)
	return err == nil && first == second
}
