package uploads_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
)

// The corpus is made here, so that each picture says what is special in it.

var (
	red   = color.RGBA{0xe0, 0x10, 0x10, 0xff}
	green = color.RGBA{0x10, 0xe0, 0x10, 0xff}
	blue  = color.RGBA{0x10, 0x10, 0xe0, 0xff}
	white = color.RGBA{0xff, 0xff, 0xff, 0xff}

	black  = color.RGBA{0x10, 0x10, 0x10, 0xff}
	yellow = color.RGBA{0xe0, 0xe0, 0x10, 0xff}
)

// quarters is red and green above blue and white.
func quarters(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := [2][2]color.RGBA{{red, green}, {blue, white}}[min(2*y/h, 1)][min(2*x/w, 1)]
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

// noise compresses badly.
func noise(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32())
	}
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 0xff
	}
	return m
}

func jpegOf(m image.Image) []byte {
	var b bytes.Buffer
	must(jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}))
	return b.Bytes()
}

func pngOf(m image.Image) []byte {
	var b bytes.Buffer
	must(png.Encode(&b, m))
	return b.Bytes()
}

func gifOf(frames int, m image.Image) []byte {
	first := image.NewPaletted(m.Bounds(), color.Palette{red, green, blue, white})
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			first.Set(x, y, m.At(x, y))
		}
	}
	all := &gif.GIF{Image: []*image.Paletted{first}, Delay: []int{1}}
	black := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.Black})
	for range frames - 1 {
		all.Image, all.Delay = append(all.Image, black), append(all.Delay, 1)
	}
	var b bytes.Buffer
	must(gif.EncodeAll(&b, all))
	return b.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// secret stands for all that must not survive.
const secret = "52.5200N 13.4050E"

// exif is a TIFF with an orientation, a thumbnail with another one, and a
// position.
func exif(orientation uint16, order binary.AppendByteOrder) []byte {
	var b []byte
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, kind)
		b = order.AppendUint32(b, count)
		if kind == 3 {
			b = order.AppendUint16(b, uint16(value))
			value = 0
			b = order.AppendUint16(b, 0)
			return
		}
		b = order.AppendUint32(b, value)
	}
	b = append(b, "II"...)
	if order.String() == binary.BigEndian.String() {
		b = []byte("MM")
	}
	b = order.AppendUint16(b, 42)
	b = order.AppendUint32(b, 8)
	const ifd1, gps, text = 8 + 2 + 3*12 + 4, 8 + 2 + 3*12 + 4 + 2 + 12 + 4, 8 + 2 + 3*12 + 4 + 2*(2+12+4)
	b = order.AppendUint16(b, 3)
	entry(0x010e, 2, uint32(len(secret)+1), text) // ImageDescription
	entry(0x0112, 3, 1, uint32(orientation))
	entry(0x8825, 4, 1, gps)
	b = order.AppendUint32(b, ifd1)
	b = order.AppendUint16(b, 1) // IFD1, of the thumbnail
	entry(0x0112, 3, 1, 3)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, 1)
	entry(0x001d, 2, uint32(len(secret)+1), text) // GPSDateStamp
	b = order.AppendUint32(b, 0)
	return append(append(b, secret...), 0)
}

// segment inserts a segment behind the start of a JPEG.
func segment(photo []byte, marker byte, data string) []byte {
	b := append([]byte{}, photo[:2]...)
	b = append(b, 0xff, marker)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)+2))
	return append(append(b, data...), photo[2:]...)
}

func jpegWithEXIF(photo []byte, orientation uint16) []byte {
	return segment(photo, 0xe1, "Exif\x00\x00"+string(exif(orientation, binary.BigEndian)))
}

func pngChunk(name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, name...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// pngHeader is the beginning of a PNG, 33 bytes.
func pngHeader(w, h uint32, depth, colour, interlace byte) []byte {
	d := binary.BigEndian.AppendUint32(nil, w)
	d = binary.BigEndian.AppendUint32(d, h)
	return append([]byte(pngSignature), pngChunk("IHDR", append(d, depth, colour, 0, 0, interlace))...)
}

func pngWithEXIF(photo []byte, orientation uint16) []byte {
	b := append([]byte{}, photo[:33]...)
	b = append(b, pngChunk("eXIf", exif(orientation, binary.LittleEndian))...)
	return append(b, photo[33:]...)
}

// interlaced is a grey PNG, brighter to the right.
func interlaced(w, h int) []byte {
	return interlacedOf(w, h, func(x, _ int) byte { return byte(255 * x / w) })
}

// interlacedOf is a grey PNG in seven passes (PNG, 8.2).
func interlacedOf(w, h int, grey func(x, y int) byte) []byte {
	var raw bytes.Buffer
	z := zlib.NewWriter(&raw)
	for _, p := range passes(1) {
		if p[0] >= w {
			continue
		}
		for y := p[1]; y < h; y += p[3] {
			row := []byte{0}
			for x := p[0]; x < w; x += p[2] {
				row = append(row, grey(x, y))
			}
			z.Write(row)
		}
	}
	must(z.Close())
	b := append(pngHeader(uint32(w), uint32(h), 8, 0, 1), pngChunk("IDAT", raw.Bytes())...)
	return append(b, pngChunk("IEND", nil)...)
}

// bits writes from the lowest bit on, as lossless WebP wants it.
type bits struct {
	b []byte
	n int
}

func (w *bits) put(v, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// vp8l is a lossless picture: red is 0x10 or 0xe0, green is, blue is 0x10.
// Where pixel is nil it is one colour and takes no bytes, however large.
func vp8l(w, h, alpha int, pixel func(x, y int) (red, green int)) []byte {
	out := &bits{}
	out.put(0x2f, 8)
	out.put(w-1, 14)
	out.put(h-1, 14)
	out.put(1, 1) // may have alpha
	out.put(0, 3) // version
	out.put(0, 3) // no transform, no colour cache, no groups of codes
	one := func(v int) { out.put(1, 1); out.put(0, 1); out.put(1, 1); out.put(v, 8) }
	two := func() { out.put(1, 1); out.put(1, 1); out.put(1, 1); out.put(0x10, 8); out.put(0xe0, 8) }
	if pixel == nil {
		one(0x10)
		one(0xe0)
	} else {
		two()
		two()
	}
	one(0x10)
	one(alpha)
	one(0)
	if pixel != nil {
		for y := range h {
			for x := range w {
				r, g := pixel(x, y)
				out.put(g, 1)
				out.put(r, 1)
			}
		}
	}
	return out.b
}

// lossless is red and green above black and yellow.
func lossless(w, h int) []byte {
	return vp8l(w, h, 0xff, func(x, y int) (red, green int) {
		right, below := min(2*x/w, 1), min(2*y/h, 1)
		if below == 0 {
			return 1 - right, right
		}
		return right, right
	})
}

// vp8 is a lossy picture, all grey: a decoder of arithmetic code that is fed
// zeros finds the simplest choice everywhere.
func vp8(w, h int) []byte {
	blocks := (w + 15) / 16 * ((h + 15) / 16)
	first := 400 + 20*blocks
	tag := first<<5 | 1<<4 // a key frame that is shown
	b := []byte{byte(tag), byte(tag >> 8), byte(tag >> 16), 0x9d, 0x01, 0x2a, byte(w), byte(w >> 8), byte(h), byte(h >> 8)}
	return append(b, make([]byte, first+400+40*blocks)...)
}

type chunk struct {
	name string
	data []byte
}

func webpOf(chunks ...chunk) []byte {
	b := []byte("WEBP")
	for _, c := range chunks {
		b = append(b, c.name...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c.data)))
		b = append(b, c.data...)
		if len(c.data)%2 == 1 {
			b = append(b, 0)
		}
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(b))), b...)
}

// vp8x is the header of a WebP with metadata (8) or alpha (16).
func vp8x(flags byte, w, h int) chunk {
	d := []byte{flags, 0, 0, 0}
	for _, n := range []int{w - 1, h - 1} {
		d = append(d, byte(n), byte(n>>8), byte(n>>16))
	}
	return chunk{"VP8X", d}
}

// part is a component of a JPEG by hand: its sampling, and its value in the left
// and the right half.
type part struct {
	name, h, v  byte
	left, right int
}

// jpegByHand has one value in each block of 8 x 8, which needs no more than the
// first coefficient. It writes what image/jpeg does not: any number of
// components, any sampling, progressive, with an Adobe marker (transform < 0:
// none).
func jpegByHand(w, h int, progressive bool, transform int, parts ...part) []byte {
	out := jpegHead(w, h, progressive, transform, parts...)

	var word, n uint
	emit := func(v, count uint) {
		for i := range count {
			word, n = word<<1|v>>(count-1-i)&1, n+1
			if n == 8 {
				out = append(out, byte(word))
				if word == 0xff {
					out = append(out, 0)
				}
				word, n = 0, 0
			}
		}
	}
	before := make([]int, len(parts))
	hm, vm := int(parts[0].h), int(parts[0].v)
	columns, rows := (w+8*hm-1)/(8*hm), (h+8*vm-1)/(8*vm)
	for i := range columns * rows {
		for j, p := range parts {
			for range p.h * p.v {
				value := p.left
				if i%columns >= columns/2 {
					value = p.right
				}
				diff := value - 128 - before[j]
				before[j] += diff
				size := uint(0)
				for abs := max(diff, -diff); abs>>size > 0; size++ {
				}
				emit(size, 4)
				if diff < 0 {
					diff += 1<<size - 1
				}
				emit(uint(diff), size)
				if !progressive {
					emit(0, 1)
				}
			}
		}
	}
	for n != 0 {
		emit(1, 1)
	}
	return append(out, 0xff, 0xd9)
}

// jpegOfScans is a grey progressive JPEG of 16 x 16 in this many scans. All but
// the first refine nothing: a code for "no more in 4 blocks".
func jpegOfScans(n int) []byte {
	photo := jpegByHand(16, 16, true, -1, part{1, 1, 1, 60, 200})
	photo = photo[:len(photo)-2]
	photo = append(photo, 0xff, 0xc4, 0, 20, 0x10, 1)
	photo = append(append(photo, make([]byte, 15)...), 0x20) // one code of one bit: a run of 4 and two bits more
	for i := range n - 1 {
		bits := byte(0x10) // refine from the second bit to the first
		if i == 0 {
			bits = 0x01 // all but the first bit
		}
		photo = append(photo, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, bits, 0x1f)
	}
	return append(photo, 0xff, 0xd9)
}

// jpegHead is all of a JPEG by hand before the bits of its only scan.
func jpegHead(w, h int, progressive bool, transform int, parts ...part) []byte {
	out := []byte{0xff, 0xd8}
	put := func(marker byte, data ...byte) {
		out = append(out, 0xff, marker)
		out = binary.BigEndian.AppendUint16(out, uint16(len(data)+2))
		out = append(out, data...)
	}
	if transform >= 0 {
		put(0xee, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), byte(transform))...)
	}
	put(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...) // a coefficient of 8 is a step of 1
	frame := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), byte(len(parts))}
	scan := []byte{byte(len(parts))}
	for _, p := range parts {
		frame = append(frame, p.name, p.h<<4|p.v, 0)
		scan = append(scan, p.name, 0)
	}
	sof, last := byte(0xc0), byte(63)
	if progressive {
		sof, last = 0xc2, 0
	}
	put(sof, frame...)
	// Twelve sizes of difference in four bits each; one code for "no more".
	put(0xc4, append([]byte{0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)...)
	put(0xc4, append([]byte{0x10, 1}, make([]byte, 15+1)...)...)
	put(0xda, append(scan, 0, last, 0)...)
	return out
}

// ycc is a component list of a usual JPEG.
func ycc(h, v byte) []part {
	return []part{{1, h, v, 60, 200}, {2, 1, 1, 128, 128}, {3, 1, 1, 128, 128}}
}

// zipOf is no valid archive, but looks like one.
func zipOf() []byte { return []byte("PK\x03\x04" + strings.Repeat("\x00", 60)) }
