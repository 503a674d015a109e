package uploads

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Delete removes a photo and its smaller copies for good, and remembers that it
// was deleted: a request for it is answered with 410. Accept takes the same
// photo again. When Delete returns without an error, or a process that was
// killed meanwhile opens the folder again, it is gone from the disk. It returns
// [ErrUnknownPhoto].
func (d *Dir) Delete(id PhotoID) error {
	return d.deleteIf(id, func(fs.FileInfo) bool { return true })
}

// deleteIf deletes a photo if its file, looked at when nobody can accept it
// again at the same time, is as wanted.
func (d *Dir) deleteIf(id PhotoID, wanted func(fs.FileInfo) bool) error {
	if !id.valid() {
		return fmt.Errorf("%w: %q", ErrUnknownPhoto, id)
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	d.names.Lock()
	defer d.names.Unlock()
	info, err := d.root.Lstat(id.file())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrUnknownPhoto, id)
	}
	if err == nil && !wanted(info) {
		return nil
	}
	if err == nil {
		err = d.bury(id)
	}
	if err == nil {
		d.tell(id, true) // also when erase fails: what OpenDir finishes here is gone there
		err = d.erase(id)
	}
	if err != nil {
		return fmt.Errorf("uploads: delete %s: %w", id, err)
	}
	d.counts.photos.Add(-1)
	d.counts.deleted.Add(1)
	return nil
}

// Sweep deletes the photos that nothing names: held says whether an id is named
// by whatever must be able to show it. A photo accepted within the grace time
// is left, because whoever sent it may be about to name it. It returns how many
// it deleted. ctx ends it early, with the context's error.
func (d *Dir) Sweep(ctx context.Context, grace time.Duration, held func(PhotoID) bool) (deleted int, err error) {
	old := func(info fs.FileInfo) bool { return time.Since(info.ModTime()) > grace }
	for id, err := range d.Walk() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return deleted, err
		}
		info, err := d.root.Lstat(id.file())
		if err != nil || !old(info) || held(id) {
			continue // what cannot be looked at is not swept
		}
		// Again, under the lock: the photo may have been accepted since held was
		// asked.
		swept := false
		err = d.deleteIf(id, func(info fs.FileInfo) bool {
			swept = old(info)
			return swept
		})
		switch {
		case errors.Is(err, ErrUnknownPhoto):
		case err != nil:
			return deleted, err
		case swept:
			deleted++
		}
	}
	return deleted, nil
}

// grave returns the name of a tombstone.
func (id PhotoID) grave() string { return filepath.Join(graveDir, string(id)) }

// buried tells whether a photo has a tombstone.
func (d *Dir) buried(id PhotoID) bool {
	_, err := d.root.Lstat(id.grave())
	return err == nil
}

// bury makes the tombstone of a photo durable. From then on OpenDir finishes
// the deletion.
func (d *Dir) bury(id PhotoID) error {
	if err := d.options.step("bury"); err != nil {
		return err
	}
	f, err := d.root.OpenFile(id.grave(), os.O_CREATE|os.O_WRONLY, filePerm)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return d.graves.Sync()
}

// unbury removes the tombstone of a photo that is back, if it has one.
func (d *Dir) unbury(id PhotoID) error {
	err := d.root.Remove(id.grave())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.graves.Sync()
}

// erase removes the files of a photo, the photo itself last: OpenDir finds by it
// that a deletion was interrupted.
func (d *Dir) erase(id PhotoID) error {
	if err := d.eraseCopies(id); err != nil {
		return err
	}
	if err := d.eraseFile(id.file()); err != nil {
		return err
	}
	return d.self.Sync()
}

func (d *Dir) eraseCopies(id PhotoID) error {
	for _, width := range Widths() {
		if err := d.eraseFile(id.copy(width)); err != nil {
			return err
		}
	}
	return nil
}

// eraseFile removes a file if it is there.
func (d *Dir) eraseFile(name string) error {
	if err := d.options.step("erase"); err != nil {
		return err
	}
	if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
