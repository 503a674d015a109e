package uploads

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/image/draw"
)

// Widths are those that a photo can be had in besides its own, in pixels. A
// photo that is no wider is given as it is.
func Widths() []int { return []int{400, 800, 1600} }

// SrcSet returns the srcset attribute of an img element for a photo that is
// served at url and is width pixels wide; 0 when that is not known.
func SrcSet(url string, width int) string {
	var set []string
	for _, w := range Widths() {
		if w < width || width <= 0 {
			set = append(set, fmt.Sprintf("%s?w=%d %dw", url, w, w))
		}
	}
	if width > 0 {
		set = append(set, fmt.Sprintf("%s %dw", url, width))
	}
	return strings.Join(set, ", ")
}

func widthDir(width int) string { return "w" + strconv.Itoa(width) }

// copy returns the name of a copy of the photo in the folder.
func (id PhotoID) copy(width int) string { return filepath.Join(widthDir(width), id.file()) }

func widthDirs() []string {
	var dirs []string
	for _, w := range Widths() {
		dirs = append(dirs, widthDir(w))
	}
	return dirs
}

// scaling is which photos are being scaled: each once, however many ask.
type scaling struct {
	mu      sync.Mutex // guards running
	running map[PhotoID]*scaled
}

// scaled is closed when the copies are made or have failed with err.
type scaled struct {
	done chan struct{}
	err  error
}

// openWidth opens the copy of a photo that is width pixels wide, made now if it
// is missing, or the photo itself if that is no wider; own tells which. It
// returns ErrUnknownPhoto, and otherwise what prevents the copy from being made.
func (d *Dir) openWidth(ctx context.Context, id PhotoID, width int) (_ *os.File, own bool, err error) {
	name := id.copy(width)
	for {
		f, err := d.openFile(name)
		if !errors.Is(err, ErrUnknownPhoto) {
			return f, false, err
		}
		photo, err := d.Stat(id)
		if err != nil {
			return nil, false, err
		}
		if photo.Width <= width {
			f, err := d.Open(id)
			return f, true, err
		}
		if err := d.scaleOnce(ctx, id); err != nil {
			return nil, false, err
		}
	}
}

// scaleOnce makes the missing copies of a photo, or waits for whoever does so
// already. An end of ctx ends only what this call does: the next one that waits
// takes over.
func (d *Dir) scaleOnce(ctx context.Context, id PhotoID) error {
	d.scaling.mu.Lock()
	s, running := d.scaling.running[id]
	if !running {
		s = &scaled{done: make(chan struct{})}
		d.scaling.running[id] = s
	}
	d.scaling.mu.Unlock()

	if running {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
		}
		if errors.Is(s.err, context.Canceled) || errors.Is(s.err, context.DeadlineExceeded) {
			return nil // its own context, not ours; openWidth tries again
		}
		return s.err
	}
	s.err = errors.New("the scaling panicked") // unless it comes to say otherwise
	defer func() {
		d.scaling.mu.Lock()
		delete(d.scaling.running, id)
		d.scaling.mu.Unlock()
		close(s.done)
	}()
	s.err = d.scale(ctx, id)
	return s.err
}

// scale decodes a photo once and makes every copy that it is wide enough for
// and that is missing, each from the one before.
func (d *Dir) scale(ctx context.Context, id PhotoID) error {
	missing := map[int]bool{}
	for _, width := range Widths() {
		_, err := d.root.Lstat(id.copy(width))
		missing[width] = err != nil
	}
	f, err := d.Open(id)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := examine(f, info.Size(), &d.options)
	if err != nil {
		return err
	}
	maps.DeleteFunc(missing, func(width int, is bool) bool { return !is || width >= p.width })
	if len(missing) == 0 {
		return nil // made between our look and our turn
	}
	// The first step is in memory with the photo, at four bytes a pixel; those
	// after it are at most a quarter. No photo that Accept takes reaches the whole
	// budget with it by default.
	w, h := step(p.width, p.height, slices.Max(Widths()))
	cost := min(p.cost+5*int64(w)*int64(h), d.options.DecodeBytes)
	release, err := d.hold(ctx, cost)
	if err != nil {
		return err
	}
	defer release()
	m, err := p.decode(ctx)
	if err != nil {
		return err
	}
	for _, width := range slices.Backward(Widths()) {
		if width >= p.width {
			continue
		}
		m = narrow(m, width)
		if !missing[width] {
			continue
		}
		if err := d.storeWidth(ctx, id, width, m); err != nil {
			return err
		}
	}
	d.counts.scaled.Add(1)
	return nil
}

// narrow scales a picture down. ApproxBiLinear looks at four pixels only, so it
// goes by halves: that is as good as averaging all and takes a tenth of the
// time of a kernel.
func narrow(m image.Image, width int) image.Image {
	for m.Bounds().Dx() > width {
		b := m.Bounds()
		w, h := step(b.Dx(), b.Dy(), width)
		dst := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.ApproxBiLinear.Scale(dst, dst.Rect, m, b, draw.Src, nil)
		m = dst
	}
	return m
}

// step returns the size after the next step on the way to a width.
func step(w, h, width int) (int, int) {
	next := max(min(width, w), (w+1)/2)
	return next, max(1, (h*next+w/2)/w)
}

// storeWidth writes a copy, synced so that a power cut cannot leave half of it
// under its name. Its name need not be durable: it can be made again.
func (d *Dir) storeWidth(ctx context.Context, id PhotoID, width int, m image.Image) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.checkRoom(0); err != nil {
		return err
	}
	if err := d.options.step("create copy"); err != nil {
		return err
	}
	file, err := d.pending(id.copy(width))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if err := d.options.step("write copy"); err != nil {
		return err
	}
	if err := encode(ctx, file, m); err != nil {
		return err
	}
	if err := d.options.step("sync copy"); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	d.names.Lock()
	defer d.names.Unlock()
	if _, err := d.root.Lstat(id.file()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrUnknownPhoto, id) // deleted meanwhile
	} else if err != nil {
		return err
	}
	if err := d.options.step("rename copy"); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}
