package atomicstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// replacedFile is a data.json that was replaced. Somebody who had it open may still
// write into it, and perhaps it could not be made a backup yet.
type replacedFile struct {
	path    string
	owned   owned // what it was when it came out
	id      vfs.FileID
	since   time.Time
	temp    bool  // no backup: removed when it is no longer watched
	err     error // why it is no backup yet
	givenUp bool  // it shall not become one
}

// waits tells whether a replaced file has yet to become a backup.
func (f *dataFile) waits(g *replacedFile) bool { return f.backupDir != "" && g.temp && !g.givenUp }

// goneWatched is how long a replaced data.json is watched for late writing, at
// least: one that waits to become a backup is watched until it is one.
const goneWatched = 10 * time.Second

// keep makes a data.json that was replaced a backup, and watches it a while
// longer. A backup that cannot be made is no reason to have no snapshot: it is
// reported, and tried again with each look at what was replaced.
func (f *dataFile) keep(path string, c contents) {
	f.gone = append(f.gone, replacedFile{path: path, owned: c.owned, id: c.id, since: time.Now(), temp: true})
	f.notCopied = nil // if it was that one, it now waits as any other
	f.file(&f.gone[len(f.gone)-1])
	f.boundWaiting()
	f.noteMissing()
}

// file links a replaced data.json into the backup folder, if it waits for that.
func (f *dataFile) file(g *replacedFile) {
	if !f.waits(g) {
		return
	}
	to, err := f.makeBackup(g.path, g.owned.seq, g.since)
	switch {
	case err == nil && g.err != nil:
		f.log.Info("a backup was made after all", "change", g.owned.seq, "path", to)
	case err != nil && g.err == nil:
		f.log.Warn("a backup was not made; it is tried again", "change", g.owned.seq, "error", err)
	}
	if g.err = err; err == nil {
		g.path, g.temp = to, false
	}
}

// boundWaiting gives up the oldest of the files that wait to become backups,
// when there are more of them than there would be backups.
func (f *dataFile) boundWaiting() {
	count, bytes := 0, int64(0)
	for i := len(f.gone) - 1; i >= 0; i-- {
		g := &f.gone[i]
		if !f.waits(g) {
			continue
		}
		count++
		bytes += g.owned.size
		if count > f.keepWaiting || count > 1 && bytes > f.waitingBytes {
			f.giveUp(g)
		}
	}
}

func (f *dataFile) giveUp(g *replacedFile) {
	g.givenUp = true
	f.log.Error("a backup was not made, and is given up", "change", g.owned.seq, "error", g.err)
}

// noteMissing sets backupErr.
func (f *dataFile) noteMissing() {
	err := f.notCopied
	for i := range f.gone {
		if g := &f.gone[i]; f.waits(g) {
			err = g.err
		}
	}
	if err == nil {
		f.backupErr.Store(nil)
		return
	}
	f.backupErr.Store(&err)
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
	if c.owner == ours {
		f.seen = id
	}
	return c.owner == operators, nil
}

// lateWriting looks at the files that were replaced lately. One that was
// written since is an operator's: he had it open, and believes it in place. One
// that waits to become a backup is tried again.
func (f *dataFile) lateWriting() error {
	defer f.noteMissing()
	kept := make([]replacedFile, 0, len(f.gone))
	for i, g := range f.gone {
		c, err := f.lookAgain(&g)
		if err == nil && c.owner == operators {
			f.gone = append(kept, f.gone[i+1:]...)
			return f.takeBack(g.path)
		}
		if err == nil {
			f.file(&g)
		}
		if missing := isMissing(err); time.Since(g.since) < goneWatched || !missing && (err != nil || f.waits(&g)) {
			kept = append(kept, g)
			continue
		}
		f.drop(g)
	}
	f.gone = kept
	return nil
}

func (f *dataFile) lookAgain(g *replacedFile) (c contents, err error) {
	id, err := f.fs.Stat(g.path)
	if err != nil || id == g.id {
		return c, err
	}
	if c, err = f.look(g.path); err != nil {
		return c, err
	}
	if c.sum == g.owned.sum {
		c.owner, g.id = ours, c.id
	}
	return c, nil
}

// drop ends the watching of a file.
func (f *dataFile) drop(g replacedFile) {
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
		case c.owner == operators: // he put another one there since
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

// close ends all watching, after a last look, which tries once more what waits
// to become a backup: the next Open would not know it any more.
func (f *dataFile) close() {
	if err := f.lateWriting(); err != nil && !errors.Is(err, ErrReplaced) {
		f.log.Warn("files that were replaced could not be looked at again", "error", err)
	}
	for _, g := range f.gone {
		if f.waits(&g) {
			f.giveUp(&g)
		}
		f.drop(g)
	}
	f.gone = nil
}
