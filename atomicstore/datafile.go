package atomicstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
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

	gone      []goneFile
	backupErr error // of the last backup
}

// goneFile is a data.json that was replaced a moment ago. Somebody who had it
// open may still write into it.
type goneFile struct {
	path  string
	owned owned // what it was when it came out
	id    vfs.FileID
	since time.Time
	temp  bool // no backup: removed when it is no longer watched
}

// goneWatched is how long a replaced data.json is watched for late writing.
const goneWatched = 10 * time.Second

// whose is the answer for a data.json.
type whose int

const (
	nobodys   whose = iota // there is none
	ours                   // matches MANIFEST
	unknown                // there is no MANIFEST
	operators              // somebody put it there
	rotten                 // neither: its bytes changed, and nobody wrote it
)

// contents is a data.json that was looked at.
type contents struct {
	whose whose
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
	if err := f.fs.Replace(f.manifestPath(), m.encode()); err != nil {
		return fmt.Errorf("write %s: %w", manifestName, err)
	}
	if err := f.sync(); err != nil {
		return err
	}
	f.man, f.known = m, true
	return nil
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
		c.whose, c.owned = ours, owned
	case !f.known:
		c.whose = unknown
	case f.man.rotten(c.id):
		c.whose = rotten
	default:
		c.whose = operators
	}
	return c, nil
}

// own takes a data.json for the store's.
func (f *dataFile) own(c contents, seq uint64) {
	f.seen = c.id
	if c.whose == unknown {
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

// settle finds out what data.json is after a crash, or after an attempt to
// replace it that failed, and finishes what had begun. What an operator put
// there is in place afterwards, however it came to be elsewhere.
func (f *dataFile) settle() (contents, error) {
	c, err := f.look(f.path())
	if err != nil || f.man.coming == nil {
		return c, err
	}
	present, coming := f.man.present, *f.man.coming
	names, err := f.fs.Names(f.dir)
	if err != nil {
		return c, err
	}
	var temps []string
	waits := false // the coming file under its temporary name
	for _, name := range names {
		if !strings.HasPrefix(name, f.man.temp) {
			continue
		}
		path := f.temp(name)
		t, err := f.look(path)
		switch {
		case err != nil:
			return c, err
		case t.whose == ours:
			waits = waits || t.sum == coming.sum
			temps = append(temps, path)
			continue
		case t.whose != operators:
			if err := f.setAside(path, snapshotName); err != nil {
				return c, err
			}
			continue
		}
		// It came out of data.json, or was written into the coming file after
		// that had its place, and a crash came before it was put back.
		if c.whose == operators {
			if err := f.setAside(path, snapshotName); err != nil {
				return c, err
			}
			continue
		}
		out, err := f.swap(path)
		if err != nil {
			return c, err
		}
		if out != "" {
			temps = append(temps, out)
		}
		if c, err = f.look(f.path()); err != nil {
			return c, err
		}
	}
	if c.whose == nobodys && waits {
		// Only where names cannot be exchanged: the old one is out, the new
		// one not yet in.
		for i, path := range temps {
			if t, err := f.look(path); err != nil || t.sum != coming.sum {
				continue
			}
			if err := f.move(path); err != nil {
				return c, err
			}
			temps = append(temps[:i], temps[i+1:]...)
			break
		}
		if c, err = f.look(f.path()); err != nil {
			return c, err
		}
	}
	if c.whose == ours && c.sum != coming.sum && !waits {
		// The coming file is not there any more, so it had been in place: the
		// one before it was put there again.
		c.whose = operators
	}
	if err := f.sync(); err != nil {
		return c, err
	}
	looked := map[string]contents{} // while MANIFEST still has them all
	for _, path := range temps {
		if looked[path], err = f.look(path); err != nil {
			return c, err
		}
	}
	m := manifest{seq: f.man.seq}
	switch {
	case c.whose == ours:
		m.present = []owned{c.owned}
	default:
		for _, o := range slices.Concat(present, []owned{coming}) {
			// If the hash of an operator's file is that of an entry, that must
			// go, or the next look would take the file for ours.
			if o.sum != c.sum {
				m.present = append(m.present, o)
			}
		}
	}
	if err := f.write(m); err != nil {
		return c, err
	}
	for _, path := range temps {
		if t := looked[path]; t.whose == ours && c.whose == ours && t.sum != c.sum && c.sum == coming.sum {
			f.keep(path, t) // the file that was replaced: a backup, as without the crash
			continue
		}
		if err := f.fs.Remove(path); err != nil && !isMissing(err) {
			return c, err
		}
	}
	return c, nil
}

// install replaces data.json by what write writes, the state after the change
// seq, and returns its size. The old one becomes a backup. adopted is the digest
// of an operator's file that Open has taken over, if that is what stands there.
//
// Where an operator put another file there, at whatever moment, his stays and
// install returns ErrReplaced. After any other error the old or the new one
// stands there, both whole, and install can be tried again.
func (f *dataFile) install(write func(io.Writer) error, seq uint64, adopted *digest) (size int64, err error) {
	if f.man.coming != nil {
		c, err := f.settle()
		if err != nil {
			return 0, err
		}
		if c.whose == operators && (adopted == nil || c.sum != *adopted) {
			return 0, ErrReplaced
		}
	}
	name := newTempName()
	temp := f.temp(name)
	coming, id, err := f.prepare(temp, write)
	if err != nil {
		f.fs.Remove(temp)
		return 0, fmt.Errorf("write %s: %w", snapshotName, err)
	}
	coming.seq = seq
	if err := f.sync(); err != nil {
		f.fs.Remove(temp)
		return 0, err
	}
	before := f.man
	before.coming, before.temp = &coming, name
	before.seq = max(before.seq, seq)
	f.man.coming, f.man.temp = before.coming, name // it may be on disk even if write fails
	if err := f.write(before); err != nil {
		return 0, err
	}

	out, err := f.swap(temp)
	if errors.Is(err, errTaken) {
		return 0, f.leave()
	}
	if err != nil {
		return 0, fmt.Errorf("replace %s: %w", snapshotName, err)
	}
	var old contents
	if out != "" {
		if old, err = f.look(out); err != nil {
			return 0, fmt.Errorf("read the %s that was replaced: %w", snapshotName, err)
		}
		if taken := adopted != nil && old.sum == *adopted; !taken && old.whose == operators {
			return 0, f.putBack(out, coming)
		}
	}
	if err := f.sync(); err != nil {
		return 0, err
	}
	f.seen = id
	switch {
	case old.whose == ours:
		f.keep(out, old)
	case old.whose != nobodys:
		if err := f.setAside(out, snapshotName); err != nil {
			return 0, err
		}
	}
	return coming.size, f.write(manifest{seq: before.seq, present: []owned{coming}})
}

// prepare writes and syncs a file under a temporary name.
func (f *dataFile) prepare(temp string, write func(io.Writer) error) (o owned, id vfs.FileID, err error) {
	file, err := f.fs.Create(temp)
	if err != nil {
		return o, id, err
	}
	out := &digesting{file: file, sum: sha256.New()}
	if err = write(out); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return o, id, err
	}
	id, err = f.fs.Stat(temp)
	return owned{sum: digest(out.sum.Sum(nil)), size: out.size, mtime: id.MTime.UnixNano()}, id, err
}

// digesting writes a file from its start on and keeps its digest.
type digesting struct {
	file   vfs.Appender
	size   int64
	synced int64 // of size
	sum    hash.Hash
}

// syncEvery is how much of a data.json goes to the disk at once, in bytes: the
// commits in between do not wait for the whole of it.
const syncEvery = 4 << 20

func (d *digesting) Write(b []byte) (int, error) {
	if err := writeAll(d.file, b, d.size); err != nil {
		return 0, err
	}
	d.size += int64(len(b))
	d.sum.Write(b)
	if d.size-d.synced >= syncEvery {
		d.synced = d.size
		return len(b), d.file.Sync()
	}
	return len(b), nil
}

// errTaken means that somebody made a data.json while there was none.
var errTaken = errors.New("the name is taken")

// swap puts a file in the place of data.json and returns the path under which
// the old one is now, "" if there was none.
func (f *dataFile) swap(temp string) (out string, err error) {
	for {
		err := f.fs.Exchange(temp, f.path())
		if err == nil {
			return temp, nil
		}
		if errors.Is(err, errors.ErrUnsupported) {
			// Two steps: between them there is no data.json.
			if out, err = f.unused(temp + ".out"); err != nil {
				return "", err
			}
			err = f.fs.Rename(f.path(), out)
			if err == nil {
				break
			}
			out = ""
		}
		if !isMissing(err) {
			return "", err
		}
		if err = f.move(temp); !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		// It appeared in the meantime.
	}
	err = f.move(temp)
	if errors.Is(err, fs.ErrExist) {
		return out, errTaken
	}
	return out, err
}

// move gives a file the name of data.json, which must be free. The old name
// goes only once the new one is on disk: a crash must never leave neither, or
// settle takes the coming file for one that an operator replaced.
func (f *dataFile) move(temp string) error {
	if err := f.fs.Link(temp, f.path()); err != nil {
		return err
	}
	if err := f.sync(); err != nil {
		return err
	}
	return f.fs.Remove(temp)
}

// unused returns a path like the one given that no file has.
func (f *dataFile) unused(path string) (string, error) {
	for {
		_, err := f.fs.Stat(path)
		if isMissing(err) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		path += "x"
	}
}

// putBack returns an operator's file to its place. Whatever he put there
// meanwhile is later than that, and counts instead.
func (f *dataFile) putBack(path string, coming owned) error {
	expected := coming.sum // what was left in place, if nobody came since
	for {
		back, err := f.look(path)
		if err != nil {
			return err
		}
		out, err := f.swap(path)
		if errors.Is(err, errTaken) {
			return f.leave()
		}
		if err != nil {
			return fmt.Errorf("put back the operator's %s: %w", snapshotName, err)
		}
		if out == "" {
			return f.leave()
		}
		c, err := f.look(out)
		if err != nil {
			return err
		}
		if c.sum == expected {
			return f.leave()
		}
		expected, path = back.sum, out
	}
}

// leave leaves data.json to the operator and clears away our own coming file.
func (f *dataFile) leave() error {
	if _, err := f.settle(); err != nil {
		return err
	}
	return ErrReplaced
}

// keep makes a data.json that was replaced a backup, and watches it a while
// longer. A backup that cannot be made is no reason to have no snapshot: it is
// reported, and tried again when the watching ends.
func (f *dataFile) keep(path string, c contents) {
	g := goneFile{path: path, owned: c.owned, id: c.id, since: time.Now(), temp: true}
	if err := f.file(&g); err != nil {
		f.log.Warn("a backup was not made; it is tried again", "change", g.owned.seq, "error", err)
	}
	f.gone = append(f.gone, g)
}

// file links a replaced data.json into the backup folder, if it is not there.
func (f *dataFile) file(g *goneFile) error {
	if f.backupDir == "" || !g.temp {
		return nil
	}
	to, err := f.makeBackup(g.path, g.owned.seq)
	if f.backupErr = err; err == nil {
		g.path, g.temp = to, false
	}
	return err
}

func (f *dataFile) makeBackup(path string, seq uint64) (string, error) {
	to, err := f.linkBackup(path, seq)
	if err != nil {
		return "", err
	}
	// Two names until one is certainly on disk.
	return to, f.fs.Remove(path)
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

// copyBackup writes a backup of a state that no data.json holds.
func (f *dataFile) copyBackup(write func(io.Writer) error, seq uint64) error {
	if f.backupDir == "" {
		return nil
	}
	temp := f.temp(newTempName())
	defer f.fs.Remove(temp)
	if _, _, err := f.prepare(temp, write); err != nil {
		return err
	}
	if _, err := f.linkFresh(temp, seq); err != nil {
		return err
	}
	return f.fs.SyncDir(f.backupDir)
}

// linkFresh gives a file the name of a backup made now.
func (f *dataFile) linkFresh(path string, seq uint64) (to string, err error) {
	for now := time.Now(); ; now = now.Add(time.Millisecond) {
		to = filepath.Join(f.backupDir, backupName(seq, now))
		if err := f.fs.Link(path, to); !errors.Is(err, fs.ErrExist) {
			return to, err
		}
	}
}

// linkBackup gives a data.json a second name in the backup folder, durably.
func (f *dataFile) linkBackup(path string, seq uint64) (to string, err error) {
	id, err := f.fs.Stat(path)
	if err != nil {
		return "", err
	}
	list, err := listBackups(f.fs, f.backupDir)
	if err != nil {
		return "", err
	}
	for _, b := range list {
		if b.Seq != seq {
			continue
		}
		other, err := f.fs.Stat(b.Path)
		if err == nil && other.Size == id.Size && f.same(b.Path, path) {
			to = b.Path // the first of an epoch, or a crash came between link and remove
		}
	}
	if to == "" {
		if to, err = f.linkFresh(path, seq); err != nil {
			return "", err
		}
	}
	return to, f.fs.SyncDir(f.backupDir)
}

// asideDir is where files go that are not used any more, and not removed.
func (f *dataFile) asideDir() string {
	if f.backupDir != "" {
		return f.backupDir
	}
	return f.dir
}

// setAside moves a file to where the operator finds it.
func (f *dataFile) setAside(path, what string) error {
	err := f.linkAside(path, what)
	if err == nil {
		// Two names until one is certainly on disk.
		err = f.fs.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("set %s aside: %w", path, err)
	}
	return nil
}

// linkAside gives a file a second name among those that were set aside.
func (f *dataFile) linkAside(path, what string) error {
	for now := time.Now(); ; now = now.Add(time.Millisecond) {
		to := filepath.Join(f.asideDir(), asideName(what, now))
		err := f.fs.Link(path, to)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = f.fs.SyncDir(f.asideDir())
		}
		if err == nil {
			f.log.Warn("a file was set aside", "path", path, "now", to)
		}
		return err
	}
}

// replaced tells whether somebody has put another data.json there, or written
// into one that was replaced a moment ago. It costs a stat as long as nothing
// changes.
func (f *dataFile) replaced() (bool, error) {
	if err := f.lateWriting(); err != nil {
		return errors.Is(err, ErrReplaced), err
	}
	id, err := f.fs.Stat(f.path())
	if isMissing(err) {
		return false, nil // the next checkpoint writes one
	}
	if err != nil {
		return false, err
	}
	if id == f.seen {
		return false, nil
	}
	c, err := f.look(f.path())
	if err != nil {
		return false, err
	}
	if c.whose == ours {
		f.seen = id
	}
	return c.whose == operators, nil
}

// lateWriting looks at the files that were replaced lately. One that was
// written since is an operator's: he had it open, and believes it in place.
func (f *dataFile) lateWriting() error {
	kept := make([]goneFile, 0, len(f.gone))
	for i, g := range f.gone {
		c, err := f.lookAgain(&g)
		if err == nil && c.whose == operators {
			f.gone = append(kept, f.gone[i+1:]...)
			return f.takeBack(g.path)
		}
		if time.Since(g.since) < goneWatched || err != nil && !isMissing(err) {
			kept = append(kept, g)
			continue
		}
		f.drop(g)
	}
	f.gone = kept
	return nil
}

func (f *dataFile) lookAgain(g *goneFile) (c contents, err error) {
	id, err := f.fs.Stat(g.path)
	if err != nil || id == g.id {
		return c, err
	}
	if c, err = f.look(g.path); err != nil {
		return c, err
	}
	if c.sum == g.owned.sum {
		c.whose, g.id = ours, c.id
	}
	return c, nil
}

// drop ends the watching of a file.
func (f *dataFile) drop(g goneFile) {
	if err := f.file(&g); err != nil {
		f.log.Error("a backup was not made, and is given up", "change", g.owned.seq, "error", err)
	}
	if g.temp {
		f.fs.Remove(g.path)
	}
}

// takeBack puts a replaced file in place again that was written into since.
func (f *dataFile) takeBack(path string) error {
	out, err := f.swap(path)
	if err != nil && !errors.Is(err, errTaken) {
		return fmt.Errorf("put back the operator's %s: %w", snapshotName, err)
	}
	if out != "" {
		c, err := f.look(out)
		switch {
		case err != nil:
			return err
		case c.whose == operators: // he put another one there since
			if out, err = f.swap(out); err == nil && out != "" {
				err = f.setAside(out, snapshotName)
			}
			if err != nil {
				return fmt.Errorf("put back the operator's %s: %w", snapshotName, err)
			}
		default:
			f.keep(out, c) // perhaps under the name of a backup, of another change
		}
	}
	if err := f.sync(); err != nil {
		return err
	}
	return ErrReplaced
}

// close ends all watching, after a last look.
func (f *dataFile) close() {
	if err := f.lateWriting(); err != nil && !errors.Is(err, ErrReplaced) {
		f.log.Warn("files that were replaced could not be looked at again", "error", err)
	}
	for _, g := range f.gone {
		f.drop(g)
	}
	f.gone = nil
}
