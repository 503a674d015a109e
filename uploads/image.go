package uploads

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"runtime"
	"runtime/debug"

	"golang.org/x/image/webp"
)

// jpegQuality of what is stored. At 90 a photo from a phone keeps about its
// size, and nobody sees that it was encoded again.
const jpegQuality = 90

// picture is a file that may be a photo, and what is known of it.
type picture struct {
	file          io.ReaderAt
	size          int64 // bytes
	format        format
	width, height int         // pixels, as stored in the file
	turn          orientation // how to turn it upright
	cost          int64       // bytes held while it is worked on
	alone         bool        // cost is above the whole budget
}

// section returns a reader of the whole file.
func (p *picture) section() *io.SectionReader { return io.NewSectionReader(p.file, 0, p.size) }

// examine learns what can be known of a file without decoding it, and refuses
// what must not be decoded.
func examine(file io.ReaderAt, size int64, o *Options) (*picture, error) {
	p := &picture{file: file, size: size}
	head := make([]byte, sniffBytes)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	if p.format, err = sniff(head); err != nil {
		return nil, err
	}
	// A WebP that claims to be longer than it is would make its decoder
	// allocate for the claim.
	if p.format == formatWebP && 8+int64(binary.LittleEndian.Uint32(head[4:])) > size {
		return nil, refuse(ErrNotAnImage, "", io.ErrUnexpectedEOF)
	}

	var config image.Config
	r := bufio.NewReader(p.section())
	switch p.format {
	case formatJPEG:
		config, err = jpeg.DecodeConfig(r)
	case formatPNG:
		config, err = png.DecodeConfig(r)
	case formatGIF:
		config, err = gif.DecodeConfig(r)
	case formatWebP:
		config, err = webp.DecodeConfig(r)
	}
	if err != nil {
		return nil, refuse(ErrNotAnImage, "", err)
	}
	p.width, p.height = config.Width, config.Height
	if p.width < 1 || p.height < 1 {
		return nil, refuse(ErrNotAnImage, "", fmt.Errorf("%d x %d pixels", p.width, p.height))
	}
	if max(p.width, p.height) > o.MaxSide || int64(p.width)*int64(p.height) > o.MaxPixels {
		return nil, refuse(ErrTooManyPixels,
			fmt.Sprintf("The photo has too many pixels. Send one of at most %d megapixels, and %d on a side.", o.MaxPixels/1_000_000, o.MaxSide),
			fmt.Errorf("%d x %d", p.width, p.height))
	}

	if p.format == formatJPEG {
		if n := scansOf(p.section()); n > maxScans {
			return nil, refuse(ErrTooHeavy, "The photo takes too long to open. Save it as an ordinary JPEG (not progressive) and send that.",
				fmt.Errorf("%d scans", n))
		}
	}
	p.turn = readOrientation(p)
	if p.cost, err = cost(p); err != nil {
		return nil, refuse(ErrNotAnImage, "", err)
	}
	if p.cost > o.heaviest() {
		return nil, refuse(ErrTooHeavy, "", fmt.Errorf("%d bytes", p.cost))
	}
	p.alone = p.cost > o.DecodeBytes
	return p, nil
}

// decode returns the picture upright and opaque, as one of the types that
// image/jpeg encodes without asking for each pixel, or a palette. The caller
// holds p.cost of the budget.
func (p *picture) decode(ctx context.Context) (_ image.Image, err error) {
	// The decoders meet what strangers made up. One that panics must cost this
	// photo, not the server.
	defer func() {
		if v := recover(); v != nil {
			err = refuse(ErrNotAnImage, "", fmt.Errorf("the decoder panicked: %v", v))
		}
	}()
	in := &reader{ctx: ctx, r: p.section()}
	r := bufio.NewReaderSize(in, 32<<10)
	var m image.Image
	switch p.format {
	case formatJPEG:
		m, err = jpeg.Decode(r)
	case formatPNG:
		m, err = png.Decode(r)
	case formatGIF:
		m, err = gif.Decode(r) // the first frame
	case formatWebP:
		m, err = webp.Decode(r)
	}
	switch {
	case in.err != nil:
		return nil, in.err // the context or the disk, not the photo
	case err != nil:
		return nil, refuse(ErrNotAnImage, "", err)
	case m.Bounds().Empty():
		return nil, refuse(ErrNotAnImage, "", errors.New("no pixels"))
	}
	m = flatten(m)
	// What the decoder held is garbage now, and cost does not count it beside the
	// copy (a CMYK JPEG of 23 megapixels: a peak of 275 MB without this and 187 MB
	// with it, November 2026).
	switch {
	case p.turn == upright:
	case p.alone:
		debug.FreeOSMemory()
	case p.cost > largeCost:
		runtime.GC()
	}
	return turned(m, p.turn), nil
}

// flatten lays a picture on white and brings it to eight bits, in its own
// memory where it can: each written pixel is at or before the one just read.
func flatten(m image.Image) image.Image {
	switch m := m.(type) {
	case *image.Paletted:
		for i, c := range m.Palette {
			m.Palette[i] = onWhite(c)
		}
		return m
	case *image.NRGBA:
		for i := 0; i+4 <= len(m.Pix); i += 4 {
			layOnWhite(m.Pix[i : i+4 : i+4])
		}
		return &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}
	case *image.NRGBA64:
		return flatten(&image.NRGBA{Pix: highBytes(m.Pix), Stride: m.Stride / 2, Rect: m.Rect})
	case *image.RGBA64: // opaque: image/png gives NRGBA64 where there is alpha
		return &image.RGBA{Pix: highBytes(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	case *image.Gray16:
		return &image.Gray{Pix: highBytes(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	case *image.CMYK:
		for i := 0; i+4 <= len(m.Pix); i += 4 {
			p := m.Pix[i : i+4 : i+4]
			p[0], p[1], p[2] = color.CMYKToRGB(p[0], p[1], p[2], p[3])
			p[3] = 0xff
		}
		return &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}
	case *image.NYCbCrA:
		if m.Opaque() {
			return &m.YCbCr
		}
		return packed(&m.YCbCr, m.A, m.AStride)
	}
	return m // *image.YCbCr, *image.Gray, *image.RGBA
}

// highBytes keeps the first of every two bytes.
func highBytes(pix []byte) []byte {
	n := len(pix) / 2
	for i := range n {
		pix[i] = pix[2*i]
	}
	return pix[:n]
}

// packed copies a picture to RGBA, laid on white by its alpha unless that is
// nil. Pictures begin at 0, 0 here.
func packed(m *image.YCbCr, alpha []byte, stride int) *image.RGBA {
	dst := image.NewRGBA(m.Rect)
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			c := m.YCbCrAt(x, y)
			p := dst.Pix[y*dst.Stride+4*x:][:4:4]
			p[0], p[1], p[2] = color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			p[3] = 0xff
			if alpha != nil {
				p[3] = alpha[y*stride+x]
				layOnWhite(p)
			}
		}
	}
	return dst
}

// layOnWhite makes a pixel of red, green, blue and alpha opaque.
func layOnWhite(p []byte) {
	a := uint32(p[3])
	if a == 0xff {
		return
	}
	for i := range 3 {
		p[i] = uint8((uint32(p[i])*a + 0xff*(0xff-a) + 0x7f) / 0xff)
	}
	p[3] = 0xff
}

// onWhite returns a colour as it is on white paper.
func onWhite(c color.Color) color.RGBA {
	r, g, b, a := c.RGBA() // multiplied with alpha, 16 bits
	return color.RGBA{uint8((r + 0xffff - a) >> 8), uint8((g + 0xffff - a) >> 8), uint8((b + 0xffff - a) >> 8), 0xff}
}

// encode writes what is stored: pixels, and no word about them.
func encode(ctx context.Context, w io.Writer, m image.Image) error {
	return jpeg.Encode(writer{ctx, w}, m, &jpeg.Options{Quality: jpegQuality})
}

// reader stops when the context ends. It keeps the error that a decoder would
// make its own.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error // the first one, io.EOF excepted
}

func (r *reader) Read(b []byte) (int, error) {
	if r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// writer stops when the context ends.
type writer struct {
	ctx context.Context
	w   io.Writer
}

func (w writer) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}
