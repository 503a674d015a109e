package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
)

type size struct {
	name string // megapixels
	w, h int
}

var sizes = []size{{"0.5", 816, 612}, {"3", 2000, 1500}, {"12", 4000, 3000}}

func sizeNames() (names []string) {
	for _, s := range sizes {
		names = append(names, s.name)
	}
	return names
}

// ways are the EXIF orientations that are measured.
var ways = []struct {
	name        string
	orientation uint16
}{{"upright", 1}, {"on its side", 6}}

// scene is the photo of the package's own benchmarks: smooth with some grain, as
// photos are, in the sampling of phones.
func scene(w, h int) ([]byte, error) {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	grain := uint32(1)
	for y := range h {
		for x := range w {
			grain = grain*1664525 + 1013904223
			m.Y[y*m.YStride+x] = uint8(120 + 60*math.Sin(float64(x)/97)*math.Cos(float64(y)/61) + float64(grain>>28))
		}
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = uint8(110+i%m.CStride*30/m.CStride), uint8(150-i/m.CStride*30/h)
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95})
	return b.Bytes(), err
}

// camera stands in the metadata of every photo, and must not be in what is
// stored.
const camera = "a camera that nobody should know of"

// withEXIF puts an orientation and the name of a camera behind the first marker
// of a JPEG.
func withEXIF(photo []byte, orientation uint16) []byte {
	const at = 8 + 2 + 2*12 + 4 // of the text, from the start of the TIFF header
	order := binary.BigEndian
	e := []byte("MM\x00\x2a\x00\x00\x00\x08\x00\x02")
	e = order.AppendUint16(e, 0x0110) // Model, text
	e = order.AppendUint16(e, 2)
	e = order.AppendUint32(e, uint32(len(camera)+1))
	e = order.AppendUint32(e, at)
	e = order.AppendUint16(e, 0x0112) // Orientation, a short
	e = order.AppendUint16(e, 3)
	e = order.AppendUint32(e, 1)
	e = order.AppendUint16(e, orientation)
	e = append(e, 0, 0, 0, 0, 0, 0) // the rest of the field; no other directory
	e = append(append([]byte("Exif\x00\x00"), e...), camera+"\x00"...)

	b := append([]byte{}, photo[:2]...)
	b = append(b, 0xff, 0xe1)
	b = order.AppendUint16(b, uint16(len(e)+2))
	return append(append(b, e...), photo[2:]...)
}

// variant is the same photo with other pixels: the finest waves of brightness are
// n steps stronger.
func variant(photo []byte, n int) []byte {
	b := bytes.Clone(photo)
	at := bytes.Index(b, []byte{0xff, 0xdb}) // the table of quantisers, that of brightness first
	b[at+5+63] += byte(n)
	return b
}

// writePhotos makes so many photos of each size on their side, and one that is
// upright, and returns their paths.
func writePhotos(dir string, sizes []size, each int) (map[string][]string, error) {
	paths := map[string][]string{}
	for _, s := range sizes {
		photo, err := scene(s.w, s.h)
		if err != nil {
			return nil, err
		}
		for _, way := range ways {
			for i := range each {
				if i > 0 && way.orientation == 1 {
					break // they come in no crowd
				}
				path := filepath.Join(dir, fmt.Sprintf("%s-%d-%d.jpg", s.name, way.orientation, i))
				if err := os.WriteFile(path, withEXIF(variant(photo, i), way.orientation), 0o600); err != nil {
					return nil, err
				}
				paths[s.name+way.name] = append(paths[s.name+way.name], path)
			}
		}
	}
	return paths, nil
}
