package uploads

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// mark is what is known about a photo at the remote, a small file beside the
// photos. Without one, nothing is known.
type mark struct {
	Remote   string    `json:"remote,omitempty"`
	URL      string    `json:"url,omitempty"`      // the photo is there
	Reported time.Time `json:"reported,omitzero"`  // OnMoved has heard of the photo that was accepted then
	Deleting bool      `json:"deleting,omitempty"` // the remote was asked to delete it
	Deleted  bool      `json:"deleted,omitempty"`  // and has confirmed it
}

// at tells whether the photo is at this remote.
func (m mark) at(remote string) bool { return m.URL != "" && m.Remote == remote }

// mark returns the name of a photo's mark in the folder.
func (id PhotoID) mark() string { return filepath.Join(markDir, string(id)) }

// readMark returns the mark of a photo. A damaged one says nothing: the photo is
// sent once more.
func (d *Dir) readMark(id PhotoID) (mark, error) {
	b, err := d.root.ReadFile(id.mark())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mark{}, nil
	case errors.Is(err, os.ErrClosed):
		return mark{}, ErrClosed
	case err != nil:
		return mark{}, err
	}
	var m mark
	if json.Unmarshal(b, &m) != nil {
		return mark{}, nil
	}
	return m, nil
}

// writeMark makes a mark durable.
func (d *Dir) writeMark(id PhotoID, m mark) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.options.step("create mark"); err != nil {
		return err
	}
	file, err := d.pending(id.mark())
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(b); err != nil {
		return err
	}
	if err := d.options.step("rename mark"); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil { // syncs the file
		return err
	}
	if err := d.options.step("sync marks"); err != nil {
		return err
	}
	return d.marks.Sync()
}

// removeMark forgets, durably.
func (d *Dir) removeMark(id PhotoID) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.options.step("remove mark"); err != nil {
		return err
	}
	if err := d.root.Remove(id.mark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.options.step("sync marks"); err != nil {
		return err
	}
	return d.marks.Sync()
}

// here is what the folder says about a photo.
type here struct {
	present bool      // and not deleted
	buried  bool      // it has a tombstone
	since   time.Time // when it was accepted, or deleted
}

// look reads it at one moment. It waits only for who names or removes a photo
// right now, and makes nobody wait for more than two looks at the folder.
func (d *Dir) look(id PhotoID) (here, error) {
	if err := d.enter(); err != nil {
		return here{}, err
	}
	defer d.leave()
	d.names.Lock()
	defer d.names.Unlock()
	info, err := d.root.Lstat(id.grave())
	if err == nil {
		return here{buried: true, since: info.ModTime()}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return here{}, err
	}
	info, err = d.root.Lstat(id.file())
	if err == nil {
		return here{present: true, since: info.ModTime()}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return here{}, err
	}
	return here{}, nil
}

// forget removes a tombstone that is older than keep, unless the photo has come
// back meanwhile.
func (d *Dir) forget(id PhotoID, keep time.Duration) (bool, error) {
	if err := d.enter(); err != nil {
		return false, err
	}
	defer d.leave()
	d.names.Lock()
	defer d.names.Unlock()
	info, err := d.root.Lstat(id.grave())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || time.Since(info.ModTime()) <= keep {
		return false, err
	}
	// A deletion that could not erase the photo yet needs its tombstone.
	if _, err := d.root.Lstat(id.file()); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := d.options.step("forget"); err != nil {
		return false, err
	}
	return true, d.unbury(id)
}

// Place returns where a photo is in the cloud, when a [Syncer] has brought it
// there. It returns [ErrUnknownPhoto] when the photo is not there or is deleted.
func (d *Dir) Place(id PhotoID) (url string, err error) {
	if !id.valid() {
		return "", fmt.Errorf("%w: %q", ErrUnknownPhoto, id)
	}
	m, err := d.readMark(id)
	if err != nil && !errors.Is(err, ErrClosed) {
		return "", fmt.Errorf("uploads: place of %s: %w", id, err)
	}
	if err == nil && (m.URL == "" || d.buried(id)) {
		err = fmt.Errorf("%w in the cloud: %s", ErrUnknownPhoto, id)
	}
	return m.URL, err
}
