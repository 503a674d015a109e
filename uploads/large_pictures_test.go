package uploads_test

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
)

// Large pictures in few bytes, made as quickly as they are small.

// plainJPEG is of one colour. Every number in it is the difference to the one
// before, so that all bits of a scan are zero.
func plainJPEG(w, h int, progressive bool, transform int, parts ...part) []byte {
	hm, vm := int(parts[0].h), int(parts[0].v)
	units := (w + 8*hm - 1) / (8 * hm) * ((h + 8*vm - 1) / (8 * vm))
	bits := 5 // four for the size of the difference, one for "no more"
	if progressive {
		bits = 4
	}
	total := 0
	for i := range parts {
		parts[i].left, parts[i].right = 128, 128
		total += bits * units * int(parts[i].h) * int(parts[i].v)
	}
	out := append(jpegHead(w, h, progressive, transform, parts...), make([]byte, (total+7)/8)...)
	return append(out, 0xff, 0xd9)
}

// plainPNG is of one colour, the first one. Its header must be that of a picture
// with rows of whole bytes.
func plainPNG(w, h int, depth, colour, interlace byte) []byte {
	samples := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
	raw := 0
	for _, p := range passes(interlace) {
		if columns, rows := (w-p[0]+p[2]-1)/p[2], (h-p[1]+p[3]-1)/p[3]; columns > 0 {
			raw += rows * (1 + (columns*samples*int(depth)+7)/8)
		}
	}
	out := pngHeader(uint32(w), uint32(h), depth, colour, interlace)
	if colour == 3 {
		out = append(out, pngChunk("PLTE", []byte{0xe0, 0x10, 0x10})...)
	}
	out = append(out, pngChunk("IDAT", zeros(raw))...)
	return append(out, pngChunk("IEND", nil)...)
}

// passes returns first column, first row, and steps of the passes of a PNG.
func passes(interlace byte) [][4]int {
	if interlace == 0 {
		return [][4]int{{0, 0, 1, 1}}
	}
	return [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
}

// zeros is n zero bytes in the format of zlib: one compressed stretch, many
// times over.
func zeros(n int) []byte {
	const stretch = 1 << 20
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	write := func(n int) []byte {
		b.Reset()
		z.Write(make([]byte, n))
		must(z.Flush())
		return bytes.Clone(b.Bytes())
	}
	out := write(min(n, stretch)) // with the header
	if n > stretch {
		rest := n - stretch
		out = append(out, bytes.Repeat(write(stretch), rest/stretch)...)
		out = append(out, write(rest%stretch)...)
	}
	out = append(out, 0x01, 0, 0, 0xff, 0xff) // the last block, empty
	return binary.BigEndian.AppendUint32(out, uint32(n%65521)<<16|1)
}

// plainGIF is of one colour.
func plainGIF(w, h int) []byte {
	var head bytes.Buffer
	must(gif.Encode(&head, image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{red, green}), nil))
	out := head.Bytes()
	at := bytes.IndexByte(out, ',') // the frame, after which comes its only row
	for _, i := range []int{6, at + 5} {
		binary.LittleEndian.PutUint16(out[i:], uint16(w))
		binary.LittleEndian.PutUint16(out[i+2:], uint16(h))
	}
	var data bytes.Buffer
	z := lzw.NewWriter(&data, lzw.LSB, 2)
	z.Write(make([]byte, w*h))
	must(z.Close())
	end := at + 10
	if local := out[at+9]; local&0x80 != 0 {
		end += 3 << (local&7 + 1)
	}
	out = append(bytes.Clone(out[:end]), 2)
	for b := data.Bytes(); len(b) > 0; {
		n := min(len(b), 255)
		out = append(append(out, byte(n)), b[:n]...)
		b = b[n:]
	}
	return append(out, 0, ';')
}

// heavyWebP makes its decoder hold as much as it can be made to besides pixels:
// 2,600 groups of Huffman trees, each of the largest kind.
func heavyWebP(w, h int) []byte {
	const groups, cacheBits = 2600, 11
	out := &bits{}
	out.put(0x2f, 8)
	out.put(w-1, 14)
	out.put(h-1, 14)
	out.put(0, 4)         // no alpha, version
	out.put(0, 1)         // no transform
	out.put(1, 1)         // a colour cache
	out.put(cacheBits, 4) // of 2048
	out.put(1, 1)         // groups by tile
	tile := 2
	for (w>>(tile+1))*(h>>(tile+1)) >= groups && tile < 9 {
		tile++
	}
	out.put(tile-2, 3)
	code := func(v, n int) { // from the highest bit on
		for i := n - 1; i >= 0; i-- {
			out.put(v>>i&1, 1)
		}
	}
	one := func(symbol int) { out.put(1, 1); out.put(0, 1); out.put(0, 1); out.put(symbol, 1) }
	// tree has so many symbols with codes of a length, then of a second one.
	tree := func(alphabet int, lengths ...[2]int) {
		out.put(0, 1)
		out.put(15, 4) // all 19 lengths of codes of lengths follow
		order := []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
		// 16 (repeat) is 0; of the two in use the lower is 10 and the higher 11.
		first, second := lengths[0][0], 18
		if len(lengths) > 1 {
			second = lengths[1][0]
		}
		for _, l := range order {
			switch l {
			case 16:
				out.put(1, 3)
			case first, second:
				out.put(2, 3)
			default:
				out.put(0, 3)
			}
		}
		out.put(0, 1) // as many as the alphabet has
		for i, l := range lengths {
			code(2+i, 2)
			n := l[1] - 1
			for ; n >= 3; n -= min(n, 6) {
				code(0, 1)
				out.put(min(n, 6)-3, 2)
			}
			for range n {
				code(2+i, 2)
			}
			alphabet -= l[1]
		}
		for alphabet >= 11 { // 18: zeros
			n := min(alphabet, 138)
			code(3, 2)
			out.put(n-11, 7)
			alphabet -= n
		}
	}
	all := [2]int{8, 256}

	// The picture of the groups: its red and green are the number of each.
	out.put(0, 1) // no colour cache
	tree(280, all)
	tree(280-24, all)
	one(0)
	one(0)
	one(0)
	tiles := ((w-1)>>tile + 1) * ((h-1)>>tile + 1)
	for i := range tiles {
		n := i % groups
		code(n&0xff, 8)
		code(n>>8, 8)
	}

	for range groups {
		tree(280+1<<cacheBits, [2]int{11, 1768}, [2]int{12, 560})
		tree(256, all)
		tree(256, all)
		tree(256, all)
		one(1)
	}
	literal := func() {
		code(0, 11)
		code(0x80, 8)
		code(0x80, 8)
		code(0xff, 8)
	}
	literal()
	left := w*h - 1
	for ; left >= 4096; left -= 4096 { // as many more of the same
		code(256+23, 11)
		out.put(1023, 10)
	}
	for range left {
		literal()
	}
	return webpOf(chunk{"VP8L", out.b})
}
