package uploads

import (
	"fmt"
	"image"
	"io"

	"github.com/bep/imagemeta"
	"golang.org/x/image/riff"
)

// orientation is the EXIF tag 0x0112, 1 to 8: where row 0 and column 0 of the
// stored picture are when it is shown upright.
type orientation uint16

const upright orientation = 1

// onItsSide tells whether turning swaps width and height.
func (o orientation) onItsSide() bool { return o >= 5 }

// readOrientation returns how a picture is to be turned. Broken or absent
// metadata means upright, as it does to a browser.
func readOrientation(p *picture) orientation {
	found := upright
	o := imagemeta.Options{
		R:       p.section(),
		Sources: imagemeta.EXIF,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool {
			return t.Tag == "Orientation" && t.Namespace == "IFD0" // IFD1 is the thumbnail's
		},
		HandleTag: func(t imagemeta.TagInfo) error {
			if v, ok := t.Value.(uint16); ok && v >= 1 && v <= 8 {
				found = orientation(v)
			}
			return imagemeta.ErrStopWalking
		},
		LimitNumTags: 1000,
		LimitTagSize: 4096,
	}
	switch p.format {
	case formatJPEG:
		o.ImageFormat = imagemeta.JPEG
	case formatPNG:
		o.ImageFormat = imagemeta.PNG
	case formatWebP:
		// imagemeta v1.0.1 loses its way behind a chunk of odd length.
		exif := exifOfWebP(p.section())
		if exif == nil {
			return upright
		}
		o.R, o.ImageFormat = exif, imagemeta.TIFF
	default:
		return upright // GIF has no EXIF
	}
	imagemeta.Decode(o) // an error, or a panic that it caught, leaves upright
	return found
}

// exifOfWebP returns the EXIF data of a WebP, or nil.
func exifOfWebP(file *io.SectionReader) io.ReadSeeker {
	_, chunks, err := riff.NewReader(file)
	if err != nil {
		return nil
	}
	for {
		id, n, _, err := chunks.Next()
		if err != nil {
			return nil
		}
		if string(id[:]) != "EXIF" {
			continue
		}
		at, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil
		}
		// Some writers put the header of a JPEG's segment before it.
		var head [6]byte
		if _, err := file.ReadAt(head[:], at); err == nil && string(head[:]) == "Exif\x00\x00" {
			at, n = at+6, n-6
		}
		return io.NewSectionReader(file, at, int64(n))
	}
}

// turned returns a picture upright. The result is a copy unless it was upright
// already.
func turned(m image.Image, o orientation) image.Image {
	if o == upright {
		return m
	}
	switch m := m.(type) {
	case *image.Gray:
		p := plane{m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy(), 1}.turn(o)
		return &image.Gray{Pix: p.pix, Stride: p.stride, Rect: image.Rect(0, 0, p.w, p.h)}
	case *image.Paletted:
		p := plane{m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy(), 1}.turn(o)
		return &image.Paletted{Pix: p.pix, Stride: p.stride, Rect: image.Rect(0, 0, p.w, p.h), Palette: m.Palette}
	case *image.RGBA:
		p := plane{m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy(), 4}.turn(o)
		return &image.RGBA{Pix: p.pix, Stride: p.stride, Rect: image.Rect(0, 0, p.w, p.h)}
	case *image.YCbCr:
		ratio, ok := m.SubsampleRatio, true
		if o.onItsSide() {
			ratio, ok = onItsSide(ratio)
		}
		if !ok {
			return turned(packed(m, nil, 0), o)
		}
		cw, ch := chromaSize(m)
		y := plane{m.Y, m.YStride, m.Rect.Dx(), m.Rect.Dy(), 1}.turn(o)
		cb := plane{m.Cb, m.CStride, cw, ch, 1}.turn(o)
		cr := plane{m.Cr, m.CStride, cw, ch, 1}.turn(o)
		return &image.YCbCr{
			Y: y.pix, Cb: cb.pix, Cr: cr.pix, YStride: y.stride, CStride: cb.stride,
			SubsampleRatio: ratio, Rect: image.Rect(0, 0, y.w, y.h),
		}
	}
	panic(fmt.Sprintf("uploads: flatten returned %T", m))
}

// onItsSide returns the ratio of a picture whose axes were swapped. Package
// image has none for 4:1:1 and 4:1:0.
func onItsSide(r image.YCbCrSubsampleRatio) (_ image.YCbCrSubsampleRatio, ok bool) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return image.YCbCrSubsampleRatio440, true
	case image.YCbCrSubsampleRatio440:
		return image.YCbCrSubsampleRatio422, true
	case image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio420:
		return r, true
	}
	return 0, false
}

// chromaSize returns width and height of the colour planes. Pictures begin at
// 0, 0 here.
func chromaSize(m *image.YCbCr) (w, h int) {
	w, h = m.Rect.Dx(), m.Rect.Dy()
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		return (w + 1) / 2, h
	case image.YCbCrSubsampleRatio420:
		return (w + 1) / 2, (h + 1) / 2
	case image.YCbCrSubsampleRatio440:
		return w, (h + 1) / 2
	case image.YCbCrSubsampleRatio411:
		return (w + 3) / 4, h
	case image.YCbCrSubsampleRatio410:
		return (w + 3) / 4, (h + 1) / 2
	}
	return w, h
}

// plane is a rectangle of pixels of n bytes each.
type plane struct {
	pix    []byte
	stride int // bytes from a row to the next
	w, h   int // pixels
	n      int // bytes in a pixel
}

// turn returns a copy that is upright.
func (p plane) turn(o orientation) plane {
	// The pixel shown at x, y is stored at start + x*dx + y*dy.
	right, down := p.n, p.stride
	lastColumn, lastRow := (p.w-1)*right, (p.h-1)*down
	var start, dx, dy int
	switch o {
	case 2: // mirrored
		start, dx, dy = lastColumn, -right, down
	case 3: // upside down
		start, dx, dy = lastColumn+lastRow, -right, -down
	case 4: // upside down and mirrored
		start, dx, dy = lastRow, right, -down
	case 5: // on its side and mirrored
		start, dx, dy = 0, down, right
	case 6: // to be turned clockwise
		start, dx, dy = lastRow, -down, right
	case 7: // on its other side and mirrored
		start, dx, dy = lastColumn+lastRow, -down, -right
	case 8: // to be turned anticlockwise
		start, dx, dy = lastColumn, down, -right
	default:
		start, dx, dy = 0, right, down
	}
	q := plane{w: p.w, h: p.h, n: p.n}
	if o.onItsSide() {
		q.w, q.h = p.h, p.w
	}
	q.stride = q.w * q.n
	q.pix = make([]byte, q.stride*q.h)

	// Tiles keep both pictures in the processor's cache when rows become columns.
	const tile = 64
	for top := 0; top < q.h; top += tile {
		for left := 0; left < q.w; left += tile {
			for y := top; y < min(top+tile, q.h); y++ {
				from := start + left*dx + y*dy
				to := y*q.stride + left*q.n
				for range min(tile, q.w-left) {
					if q.n == 1 {
						q.pix[to] = p.pix[from]
					} else {
						copy(q.pix[to:to+q.n], p.pix[from:from+q.n])
					}
					from += dx
					to += q.n
				}
			}
		}
	}
	return q
}
