package uploads_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// TestHowLargePicturesMayBeByDefault is about the numbers that Options.DecodeBytes
// states: it sends the beginning of pictures, which is refused as too heavy or,
// later, as broken off.
func TestHowLargePicturesMayBeByDefault(t *testing.T) {
	jpeg := func(progressive bool, transform int, parts ...part) func(w, h int) []byte {
		return func(w, h int) []byte { return jpegHead(w, h, progressive, transform, parts...) }
	}
	png := func(depth, colour, interlace byte) func(w, h int) []byte {
		return func(w, h int) []byte { return pngHeader(uint32(w), uint32(h), depth, colour, interlace) }
	}
	webp := func(w, h int) []byte {
		return webpOf(chunk{"VP8L", append(vp8l(w, h, 255, nil)[:5], bytes.Repeat([]byte{0xff}, 10<<20-100)...)})
	}
	side := func(make func(w, h int) []byte) func(w, h int) []byte {
		return func(w, h int) []byte {
			if photo := make(w, h); photo[0] == 0xff {
				return jpegWithEXIF(photo, 6)
			}
			return pngWithEXIF(make(w, h), 6)
		}
	}
	for name, test := range map[string]struct {
		begin      func(w, h int) []byte
		megapixels int // that are taken; one more is not
	}{
		"JPEG":                         {jpeg(false, -1, ycc(2, 2)...), 50},
		"JPEG on its side":             {side(jpeg(false, -1, ycc(2, 2)...)), 50},
		"progressive JPEG":             {jpeg(true, -1, ycc(2, 2)...), 40},
		"progressive JPEG on its side": {side(jpeg(true, -1, ycc(2, 2)...)), 40},
		"progressive JPEG, 4:4:4":      {jpeg(true, -1, ycc(1, 1)...), 20},
		"CMYK JPEG":                    {jpeg(false, 0, part{1, 1, 1, 0, 0}, part{2, 1, 1, 0, 0}, part{3, 1, 1, 0, 0}, part{4, 1, 1, 0, 0}), 37},
		"PNG":                          {png(8, 6, 0), 50},
		"PNG on its side":              {side(png(8, 6, 0)), 37},
		"interlaced PNG":               {png(8, 6, 1), 37},
		"PNG with 16 bits":             {png(16, 6, 0), 37},
		"interlaced PNG with 16 bits":  {png(16, 6, 1), 18},
		"lossless WebP of 10 MB":       {webp, 20},
	} {
		t.Run(name, func(t *testing.T) {
			d, path := given(t, nil)
			for more, want := range []error{uploads.ErrNotAnImage, uploads.ErrTooHeavy} {
				if test.megapixels == 50 && more == 1 {
					want = uploads.ErrTooManyPixels
				}
				w := int(math.Sqrt(float64(test.megapixels+more) * 1e6))
				if more == 1 {
					w++
				} else {
					w -= w % 16 // a JPEG has whole units
				}
				_, err := d.Accept(t.Context(), bytes.NewReader(test.begin(w, w)))
				if !errors.Is(err, want) {
					t.Errorf("%d x %d: got %v, want %v", w, w, err, want)
				}
			}
			if got := files(t, path); len(got) != 0 {
				t.Errorf("left %v", got)
			}
		})
	}
}

// TestAPictureAboveTheBudgetIsDecodedAlone: up to half above it.
func TestAPictureAboveTheBudgetIsDecodedAlone(t *testing.T) {
	alone, tooHeavy := pngOf(quarters(1000, 500)), pngOf(quarters(1000, 750))
	cost, err := uploads.Cost(alone)
	if err != nil {
		t.Fatal(err)
	}
	budget := cost * 4 / 5
	held := int64(0)
	o := &uploads.Options{DecodeBytes: budget}
	var d *uploads.Dir
	o.OnStep(func(name string) error {
		if name == "encode" {
			held = d.Stats().DecodeBytes
		}
		return nil
	})
	d, _ = given(t, o)
	p := accept(t, d, alone)
	if got := letters(shown(t, d, p.ID)); got != "RGBW" {
		t.Errorf("got %s, want RGBW", got)
	}
	if held != budget || d.Stats().DecodeBytes != 0 {
		t.Errorf("it holds %d bytes and then %d, want %d and none", held, d.Stats().DecodeBytes, budget)
	}
	if _, err := d.Accept(t.Context(), bytes.NewReader(tooHeavy)); !errors.Is(err, uploads.ErrTooHeavy) {
		t.Errorf("got %v, want ErrTooHeavy", err)
	}
}
