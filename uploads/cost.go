package uploads

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/image/riff"
)

// What a decode holds besides pixels: buffers, Huffman tables.
const decodeOverhead = 1 << 20

// From this cost on a collection costs little beside the decode.
const largeCost = 12 << 20

// cost returns the bytes that are held at once, at worst, while a picture is
// decoded, flattened, turned and encoded. It reads what the file says of itself
// as the decoder will read it, and errs upwards. An error means that the file is
// damaged.
//
// The numbers follow the code of image/jpeg, image/png and image/gif of Go 1.26
// and of x/image v0.47; TestCostIsNotExceeded measures them.
func cost(p *picture) (int64, error) {
	var (
		pixels = int64(p.width) * int64(p.height)
		turned = p.turn != upright
		held   int64
		err    error
	)
	switch p.format {
	case formatJPEG:
		held, err = costJPEG(p, turned)
	case formatPNG:
		held, err = costPNG(p.file, pixels, turned)
	case formatGIF:
		held = 2 * pixels // a byte each, and a copy when interlaced
	case formatWebP:
		held, err = costWebP(p.section(), p.size, pixels, turned)
	}
	return held + decodeOverhead, err
}

// costJPEG counts samples: a byte each for the planes, four more each for the
// coefficients that a progressive JPEG keeps until its end.
func costJPEG(p *picture, turned bool) (int64, error) {
	f, err := readFrame(bufio.NewReader(p.section()))
	if err != nil {
		return 0, err
	}
	rgb := f.rgbNames
	if len(f.parts) == 3 && !rgb {
		if rgb, err = hasAdobeRGB(bufio.NewReader(p.section())); err != nil {
			return 0, err
		}
	}

	// The decoder rounds up to whole units of 8h x 8v pixels.
	luma := f.parts[0]
	units := (f.width + 8*luma.h - 1) / (8 * luma.h) * ((f.height + 8*luma.v - 1) / (8 * luma.v))
	var planes int64
	for _, part := range f.parts {
		planes += units * 64 * part.h * part.v
	}
	packed := units * 64 * luma.h * luma.v * 4 // the picture as RGBA or CMYK

	decoding := planes
	if f.progressive {
		decoding += 4 * planes
	}
	turning := int64(0)
	switch {
	case len(f.parts) == 4 || rgb:
		decoding += packed
		if turned {
			turning = 2 * packed
		}
	case turned && len(f.parts) == 3 && luma.h == 4*f.parts[1].h: // 4:1:1, 4:1:0: no type for it on its side
		turning = planes + 2*packed
	case turned:
		turning = 2 * planes
	}
	return max(decoding, turning), nil
}

// frame is what the frame header of a JPEG says.
type frame struct {
	progressive   bool
	width, height int64
	parts         []sampling // 1, 3 or 4
	rgbNames      bool       // the parts are named R, G and B
}

// sampling is how many blocks of a component are in one unit of the picture.
type sampling struct{ h, v int64 }

var errFrame = errors.New("no valid frame header")

// readFrame finds the frame header in the way image/jpeg does, skipping garbage
// and fill bytes, so that both find the same one.
func readFrame(r *bufio.Reader) (frame, error) {
	r.Discard(2) // start of image: sniff saw it
	for {
		marker, err := nextMarker(r)
		if err != nil {
			return frame{}, err
		}
		if marker >= 0xd0 && marker <= 0xd7 {
			continue // restart markers have no length
		}
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return frame{}, err
		}
		n := int(binary.BigEndian.Uint16(length[:])) - 2
		switch {
		case n < 0, marker == 0xd9, marker == 0xda: // end of image, start of scan
			return frame{}, errFrame
		case marker >= 0xc0 && marker <= 0xc2:
			return parseFrame(r, n, marker == 0xc2)
		}
		if _, err := r.Discard(n); err != nil {
			return frame{}, err
		}
	}
}

// nextMarker returns the next byte that is neither 0 nor 0xff after an 0xff.
func nextMarker(r *bufio.Reader) (byte, error) {
	for last := byte(0); ; {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if last == 0xff && b != 0 && b != 0xff {
			return b, nil
		}
		last = b
	}
}

// parseFrame reads a frame header of n bytes (ITU T.81, B.2.2).
func parseFrame(r io.Reader, n int, progressive bool) (frame, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, err
	}
	if n < 6 || n != 6+3*int(b[5]) {
		return frame{}, errFrame
	}
	f := frame{
		progressive: progressive,
		height:      int64(binary.BigEndian.Uint16(b[1:])),
		width:       int64(binary.BigEndian.Uint16(b[3:])),
	}
	names := ""
	for b = b[6:]; len(b) > 0; b = b[3:] {
		p := sampling{int64(b[1] >> 4), int64(b[1] & 15)}
		if p.h < 1 || p.h > 4 || p.v < 1 || p.v > 4 {
			return frame{}, errFrame
		}
		names += string(rune(b[0]))
		f.parts = append(f.parts, p)
	}
	switch len(f.parts) {
	case 1:
		f.parts[0] = sampling{1, 1} // T.81, A.2.2: a single component is not interleaved
	case 3, 4:
	default:
		return frame{}, errFrame
	}
	f.rgbNames = names == "RGB"
	return f, nil
}

// hasAdobeRGB looks for a marker by which a picture of three components is RGB.
// The decoder obeys it wherever it is, so the whole file is searched.
func hasAdobeRGB(r *bufio.Reader) (bool, error) {
	for {
		_, err := r.ReadSlice(0xff)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		// 0xee, two bytes of length, "Adobe", six bytes, the transform: 0 is none.
		b, _ := r.Peek(15)
		if len(b) == 15 && b[0] == 0xee && string(b[3:8]) == "Adobe" && b[14] == 0 {
			return true, nil
		}
	}
}

// costPNG reads the image header, which must come first.
func costPNG(file io.ReaderAt, pixels int64, turned bool) (int64, error) {
	var head [29]byte // signature 8, length 4, "IHDR" 4, width 4, height 4, depth, colour, compression, filter, interlace
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return 0, err
	}
	const palette = 3
	depth, colour, interlaced := head[24], head[25], head[28] != 0
	each := int64(4) // grey as well: a tRNS chunk makes it NRGBA
	switch {
	case colour == palette:
		each = 1
	case depth == 16:
		each = 8
	}
	held := each * pixels
	if interlaced {
		held *= 2 // each of the seven passes is a picture of its own first
	}
	if turned {
		held = max(held, each*pixels+min(each, 4)*pixels)
	}
	return held, nil
}

// costWebP tells lossy from lossless by the chunks. Alpha of a lossy picture is
// a lossless one.
func costWebP(r io.Reader, size, pixels int64, turned bool) (int64, error) {
	_, chunks, err := riff.NewReader(r)
	if err != nil {
		return 0, err
	}
	for {
		id, _, _, err := chunks.Next()
		if err != nil {
			return 0, err
		}
		switch string(id[:]) {
		case "VP8 ":
			held := 3*pixels/2 + size // the decoder reads the data at once
			if turned {
				held += 3 * pixels / 2
			}
			return held, nil
		case "VP8L", "ALPH":
			// Four bytes a pixel, six where colours are from a palette, and those
			// of the tiles. Of the 2,600 groups of Huffman trees that the decoder
			// takes each holds up to 55 kB, for at best 1/276 of that in the file.
			held := 7*pixels + size + min(276*size, 2600*55<<10)
			if turned || string(id[:]) == "ALPH" {
				held = max(held, 8*pixels) // also beside alpha and the picture that it is laid on
			}
			return held, nil
		}
	}
}
