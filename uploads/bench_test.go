package uploads_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"testing"
	"time"
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

// BenchmarkAccept takes a photo that is not there yet.
func BenchmarkAccept(b *testing.B) {
	for _, size := range sizes {
		for _, orientation := range []uint16{1, 6} {
			photo := jpegWithEXIF(scene(size.w, size.h), orientation)
			b.Run(fmt.Sprintf("megapixels=%s/orientation=%d", size.name, orientation), func(b *testing.B) {
				d, _ := given(b, nil)
				b.ReportAllocs()
				for b.Loop() {
					p := accept(b, d, photo)
					b.StopTimer()
					if err := d.Delete(p.ID); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "photos/s")
			})
		}
	}
}

// BenchmarkBesideBare takes photos in turns with what the standard library needs
// for the same pixels: decoding and encoding, and nothing else.
func BenchmarkBesideBare(b *testing.B) {
	for _, size := range sizes {
		photo := scene(size.w, size.h)
		b.Run("megapixels="+size.name, func(b *testing.B) {
			d, _ := given(b, nil)
			var ours, bare time.Duration
			for b.Loop() {
				at := time.Now()
				p := accept(b, d, photo)
				ours += time.Since(at)
				if err := d.Delete(p.ID); err != nil {
					b.Fatal(err)
				}
				at = time.Now()
				m, err := jpeg.Decode(bytes.NewReader(photo))
				if err != nil {
					b.Fatal(err)
				}
				if err := jpeg.Encode(io.Discard, m, &jpeg.Options{Quality: 90}); err != nil {
					b.Fatal(err)
				}
				bare += time.Since(at)
			}
			b.ReportMetric(float64(ours)/float64(bare), "ours/bare")
			b.ReportMetric(0, "ns/op") // of both
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
