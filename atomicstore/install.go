package atomicstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// install replaces data.json by what write writes, the state after the change
// seq, and returns its size. The old one becomes a backup. adopted is the digest
// of an operator's file that Open has taken over, if that is what stands there.
//
// Where an operator put another file there, at whatever moment, his stays and
// install returns ErrReplaced. After any other error the old or the new one
// stands there, both whole, and install can be tried again.
func (f *dataFile) install(write func(io.Writer) error, seq uint64, adopted *digest) (size int64, err error) {
	if f.man.coming != nil {
		c, err := f.finishReplacing()
		if err != nil {
			return 0, err
		}
		if c.owner == operators && (adopted == nil || c.sum != *adopted) {
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
		if taken := adopted != nil && old.sum == *adopted; !taken && old.owner == operators {
			return 0, f.putBack(out, coming)
		}
	}
	if err := f.sync(); err != nil {
		return 0, err
	}
	f.seen = id
	switch {
	case old.owner == ours:
		f.keep(out, old)
	case old.owner != nobodys:
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
// finishReplacing takes the coming file for one that an operator replaced.
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
	if _, err := f.finishReplacing(); err != nil {
		return err
	}
	return ErrReplaced
}
