package uploads_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"testing"
)

// scene is smooth with some grain, as photos are, in the sampling of phones.
func scene(w, h int) []byte {
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
	return jpegOf(m)
}

var sizes = []struct {
	name string
	w, h int
}{{"0.5", 816, 612}, {"3", 2000, 1500}, {"12", 4000, 3000}}

// BenchmarkAccept takes different photos, so that each is stored.
func BenchmarkAccept(b *testing.B) {
	for _, size := range sizes {
		photo := scene(size.w, size.h)
		b.Run(fmt.Sprintf("megapixels=%s", size.name), func(b *testing.B) {
			d, _ := given(b, nil)
			b.ReportAllocs()
			b.SetBytes(int64(len(photo)))
			for b.Loop() {
				p := accept(b, d, photo)
				b.StopTimer()
				if err := d.Delete(p.ID); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("megapixels=%s/turned", size.name), func(b *testing.B) {
			d, _ := given(b, nil)
			turned := jpegWithEXIF(photo, 6)
			b.ReportAllocs()
			for b.Loop() {
				accept(b, d, turned) // stored once; the rest is the work
			}
		})
		// What the standard library takes for the same pixels.
		b.Run(fmt.Sprintf("megapixels=%s/bare", size.name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(photo)))
			for b.Loop() {
				m, err := jpeg.Decode(bytes.NewReader(photo))
				if err != nil {
					b.Fatal(err)
				}
				if err := jpeg.Encode(io.Discard, m, &jpeg.Options{Quality: 90}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWidths makes the three narrower copies of a photo.
func BenchmarkWidths(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("megapixels=%s", size.name), func(b *testing.B) {
			d, path := given(b, nil)
			p := accept(b, d, scene(size.w, size.h))
			b.ReportAllocs()
			for b.Loop() {
				if got := get(d, "/"+string(p.ID)+"?w=400").StatusCode; got != 200 {
					b.Fatalf("got status %d", got)
				}
				b.StopTimer()
				removeWidths(b, path, p.ID)
				b.StartTimer()
			}
		})
	}
}
