package atomicstore

import (
	"slices"
	"strings"
)

// finishReplacing finds out what data.json is after a crash, or after an attempt to
// replace it that failed, and finishes what had begun. What an operator put
// there is in place afterwards, however it came to be elsewhere.
func (f *dataFile) finishReplacing() (contents, error) {
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
		case t.owner == ours:
			waits = waits || t.sum == coming.sum
			temps = append(temps, path)
			continue
		case t.owner != operators:
			if err := f.setAside(path, snapshotName); err != nil {
				return c, err
			}
			continue
		}
		// It came out of data.json, or was written into the coming file after
		// that had its place, and a crash came before it was put back.
		if c.owner == operators {
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
	if c.owner == nobodys && waits {
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
	if c.owner == ours && c.sum != coming.sum && !waits {
		// The coming file is not there any more, so it had been in place: the
		// one before it was put there again.
		c.owner = operators
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
	case c.owner == ours:
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
		if t := looked[path]; t.owner == ours && c.owner == ours && t.sum != c.sum && c.sum == coming.sum {
			f.keep(path, t) // the file that was replaced: a backup, as without the crash
			continue
		}
		if err := f.fs.Remove(path); err != nil && !isMissing(err) {
			return c, err
		}
	}
	return c, nil
}
