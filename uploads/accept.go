package uploads

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// Accept reads one photo to its end, checks it, and stores what it shows. When
// it returns without an error the photo is on disk; otherwise nothing of it is.
//
// It returns ErrTooLarge, ErrTooManyPixels, ErrTooHeavy, ErrUnsupportedType,
// ErrNotAnImage or ErrDiskFull for what the sender should hear. An error of r
// or of ctx comes wrapped, to be found with errors.As and errors.Is; anything
// else is a fault of the disk. ErrClosed means that the folder was closed.
//
// A picture waits while others fill Options.DecodeBytes; ctx ends the wait, and
// everything else but a Read of r.
func (d *Dir) Accept(ctx context.Context, r io.Reader) (Photo, error) {
	photo, err := d.accept(ctx, r)
	err = diskError(err)
	switch {
	case err == nil:
		d.counts.accepted.Add(1)
		d.tell(photo.ID, false)
		return photo, nil
	case isRefusal(err):
		d.counts.refused.Add(1)
		return Photo{}, err
	}
	d.counts.failed.Add(1)
	if errors.Is(err, ErrClosed) {
		return Photo{}, ErrClosed
	}
	return Photo{}, fmt.Errorf("uploads: accept: %w", err)
}

func (d *Dir) accept(ctx context.Context, r io.Reader) (Photo, error) {
	if err := d.room(d.options.MaxBytes); err != nil {
		return Photo{}, err
	}
	received, err := d.spool()
	if err != nil {
		return Photo{}, err
	}
	defer received.Close()
	size, err := d.receive(ctx, received, r)
	if err != nil {
		return Photo{}, err
	}
	picture, err := examine(received, size, &d.options)
	if err != nil {
		return Photo{}, err
	}

	// The clean photo goes through a file of its own: its name is not known
	// before its last byte, and memory is for pixels.
	clean, err := d.spool()
	if err != nil {
		return Photo{}, err
	}
	defer clean.Close()
	photo, err := d.clean(ctx, clean, picture)
	if err != nil {
		return Photo{}, err
	}
	if err := d.store(ctx, &photo, clean); err != nil {
		return Photo{}, err
	}
	return photo, nil
}

const spoolPrefix = "spool-"

// spool opens a file without a name: it goes when it is closed, however that
// comes about.
func (d *Dir) spool() (*os.File, error) {
	if err := d.options.step("spool"); err != nil {
		return nil, err
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	name := tempPrefix + spoolPrefix + rand.Text()
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.options.step("unlink"), d.root.Remove(name)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// receive copies what is sent, up to the limit, and returns its size.
func (d *Dir) receive(ctx context.Context, to *os.File, r io.Reader) (int64, error) {
	if err := d.options.step("receive"); err != nil {
		return 0, err
	}
	in := &reader{ctx: ctx, r: r}
	n, err := io.Copy(&sparing{d: d, w: to}, io.LimitReader(in, d.options.MaxBytes+1))
	switch {
	case in.err != nil:
		return 0, in.err
	case err != nil:
		return 0, err
	case n > d.options.MaxBytes:
		return 0, refuse(ErrTooLarge, fmt.Sprintf("The photo is larger than %s. Send a smaller one.", inMB(d.options.MaxBytes)), nil)
	}
	return n, nil
}

// sparing looks, every so many bytes, whether the reserve is still free. Each of
// the photos on their way found room for itself alone at its beginning: together,
// and with what else is written to the disk, they may need more than there is.
type sparing struct {
	d    *Dir
	w    io.Writer
	left int // bytes until the next look
}

const lookEvery = 256 << 10 // bytes; a look takes microseconds

func (s *sparing) Write(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		if err := s.d.room(int64(len(b))); err != nil {
			return 0, err
		}
		s.left = lookEvery
	}
	return s.w.Write(b)
}

// inMB writes a limit as people know it.
func inMB(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// clean decodes a picture and writes it anew. The memory for it is held until
// it returns.
func (d *Dir) clean(ctx context.Context, to *os.File, p *picture) (Photo, error) {
	release, err := d.hold(ctx, p.cost)
	if err != nil {
		return Photo{}, err
	}
	defer release()
	m, err := p.decode(ctx)
	if err != nil {
		return Photo{}, err
	}
	if err := d.options.step("encode"); err != nil {
		return Photo{}, err
	}
	hash := sha256.New()
	if err := encode(ctx, io.MultiWriter(&sparing{d: d, w: to}, hash), m); err != nil {
		return Photo{}, err
	}
	size, err := to.Seek(0, io.SeekCurrent)
	if err != nil {
		return Photo{}, err
	}
	return Photo{
		ID:         PhotoID(hex.EncodeToString(hash.Sum(nil))),
		Width:      m.Bounds().Dx(),
		Height:     m.Bounds().Dy(),
		Bytes:      size,
		AcceptedAt: time.Now(),
	}, nil
}

// hold waits for the memory of a decode and takes it until release. One that
// needs more than all there is has it alone, and nobody's garbage beside it.
//
// The garbage of pictures piles up faster than the collector finds out, so
// release first makes sure, before others may begin, that no more of it is left
// than a quarter of what they may hold: photos of 12 megapixels, 16 at once, took
// 437 MB without this and 239 MB with it, November 2026. A collection takes
// milliseconds where the decodes took a second.
func (d *Dir) hold(ctx context.Context, cost int64) (release func(), err error) {
	alone := cost > d.options.DecodeBytes
	n := min(cost, d.options.DecodeBytes)
	if err := d.budget.take(ctx, n); err != nil {
		return nil, err
	}
	if alone {
		debug.FreeOSMemory()
	}
	return func() {
		garbage := d.garbage.Add(n)
		switch {
		case alone:
			d.garbage.Add(-garbage)
			debug.FreeOSMemory()
		case garbage > d.options.DecodeBytes/4:
			d.garbage.Add(-garbage)
			runtime.GC()
		}
		d.budget.give(n)
	}, nil
}

// store gives a clean photo its name: contents synced, renamed, folder synced.
func (d *Dir) store(ctx context.Context, photo *Photo, clean io.ReadSeeker) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.checkRoom(photo.Bytes); err != nil {
		return err
	}
	if _, err := clean.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := d.options.step("create"); err != nil {
		return err
	}
	file, err := d.pending(photo.ID.file())
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if err := d.options.step("write"); err != nil {
		return err
	}
	if _, err := io.Copy(file, clean); err != nil {
		return err
	}
	if err := d.options.step("sync"); err != nil {
		return err
	}
	if err := file.Sync(); err != nil { // here, so that photos do not wait for each other's
		return err
	}

	damaged := d.damaged(photo.ID) // before the lock: it reads the whole file
	d.names.Lock()
	defer d.names.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	there, err := d.root.Lstat(photo.ID.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case there.Size() == photo.Bytes && !damaged:
		d.counts.again.Add(1)
		// A deletion that failed half-way has left a tombstone: the next OpenDir
		// would finish it, under an entry that names this photo again.
		if err := d.unbury(photo.ID); err != nil {
			return err
		}
		// The grace time of Sweep starts anew.
		return d.root.Chtimes(photo.ID.file(), time.Time{}, photo.AcceptedAt)
	}
	damaged = err == nil // the one that is there: the new one takes its place
	if damaged {
		if err := d.eraseCopies(photo.ID); err != nil { // they may show the damage
			return err
		}
	}
	if err := d.options.step("rename"); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	err = d.options.step("sync folder")
	if err == nil {
		err = d.self.Sync()
	}
	if err == nil {
		err = d.unbury(photo.ID)
	}
	if err != nil {
		// Nobody may take it for durable, and the next try must write it again.
		if damaged {
			d.counts.photos.Add(-1)
		}
		return errors.Join(err, d.root.Remove(photo.ID.file()))
	}
	if !damaged {
		d.counts.photos.Add(1)
	}
	d.counts.bytes.Add(uint64(photo.Bytes))
	return nil
}

// damaged tells whether there is a photo whose bytes are not those of its id.
func (d *Dir) damaged(id PhotoID) bool {
	f, err := d.root.Open(id.file())
	if err != nil {
		return false // there is none, or the next look at it says why
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return err != nil || hex.EncodeToString(hash.Sum(nil)) != string(id)
}
