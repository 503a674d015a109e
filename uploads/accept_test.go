package uploads_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/contestkit/contestkit/uploads"
)

func TestAcceptStoresWhatThePictureShows(t *testing.T) {
	paletted := func(m image.Image) *image.Paletted {
		p := image.NewPaletted(m.Bounds(), color.Palette{red, green, blue, color.Transparent})
		for y := range m.Bounds().Dy() {
			for x := range m.Bounds().Dx() {
				p.Set(x, y, m.At(x, y))
				if m.At(x, y) == white {
					p.SetColorIndex(x, y, 3)
				}
			}
		}
		return p
	}
	deep := image.NewNRGBA64(image.Rect(0, 0, 64, 48))
	opaque := image.NewRGBA64(deep.Rect)
	clear := image.NewNRGBA(deep.Rect)
	for y := range 48 {
		for x := range 64 {
			c := quarters(64, 48).RGBAAt(x, y)
			opaque.Set(x, y, c)
			if c != white { // white is left fully transparent
				deep.Set(x, y, c)
				clear.Set(x, y, c)
			}
		}
	}
	tests := map[string]struct {
		photo []byte
		want  string // the quarters
	}{
		"JPEG":                        {jpegOf(quarters(64, 48)), "RGBW"},
		"PNG":                         {pngOf(quarters(64, 48)), "RGBW"},
		"PNG with alpha":              {pngOf(clear), "RGBW"},
		"PNG with 16 bits":            {pngOf(opaque), "RGBW"},
		"PNG with 16 bits and alpha":  {pngOf(deep), "RGBW"},
		"PNG with a palette":          {pngOf(paletted(quarters(64, 48))), "RGBW"},
		"GIF":                         {gifOf(1, quarters(64, 48)), "RGBW"},
		"GIF, first frame of 2000":    {gifOf(2000, quarters(64, 48)), "RGBW"},
		"WebP, lossless":              {webpOf(chunk{"VP8L", lossless(64, 48)}), "RGKY"},
		"JPEG with an HTML tail":      {append(jpegOf(quarters(64, 48)), "<script>alert(1)</script>"...), "RGBW"},
		"JPEG with garbage in front":  {append([]byte("\xff\xd8junk"), jpegOf(quarters(64, 48))[2:]...), "RGBW"},
		"PNG with a ZIP behind":       {append(pngOf(quarters(64, 48)), zipOf()...), "RGBW"},
		"JPEG with a comment of HTML": {segment(jpegOf(quarters(64, 48)), 0xfe, "<script>alert(1)</script>"), "RGBW"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, path := given(t, nil)
			p := accept(t, d, test.photo)
			if p.Width != 64 || p.Height != 48 {
				t.Errorf("got %d x %d, want 64 x 48", p.Width, p.Height)
			}
			b := stored(t, d, p.ID)
			if int64(len(b)) != p.Bytes {
				t.Errorf("got %d bytes, the file has %d", p.Bytes, len(b))
			}
			if got := letters(shown(t, d, p.ID)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if bytes.Contains(b, []byte("script")) || !bytes.HasPrefix(b, []byte("\xff\xd8")) || !bytes.HasSuffix(b, []byte("\xff\xd9")) {
				t.Error("more than a JPEG is stored")
			}
			if got := files(t, path); len(got) != 1 || got[0] != string(p.ID)+".jpg" {
				t.Errorf("got the files %v, want the photo alone", got)
			}
		})
	}
}

// TestAcceptTakesRareKinds uses what the standard library can read and not
// write.
func TestAcceptTakesRareKinds(t *testing.T) {
	grey := func(v uint8) color.Color { return color.Gray{v} }
	cmyk := func(h byte) []part {
		return []part{{1, h, h, 255, 0}, {2, 1, 1, 0, 255}, {3, 1, 1, 0, 255}, {4, h, h, 255, 255}}
	}
	tests := map[string]struct {
		photo       []byte
		left, right color.Color
	}{
		"grey":                  {jpegByHand(64, 32, false, -1, part{1, 1, 1, 60, 200}), grey(60), grey(200)},
		"grey, progressive":     {jpegByHand(64, 32, true, -1, part{1, 1, 1, 60, 200}), grey(60), grey(200)},
		"4:4:4":                 {jpegByHand(64, 32, false, -1, ycc(1, 1)...), grey(60), grey(200)},
		"4:2:2":                 {jpegByHand(64, 32, false, -1, ycc(2, 1)...), grey(60), grey(200)},
		"4:2:0":                 {jpegByHand(64, 32, false, -1, ycc(2, 2)...), grey(60), grey(200)},
		"4:4:0":                 {jpegByHand(64, 32, false, -1, ycc(1, 2)...), grey(60), grey(200)},
		"4:1:1":                 {jpegByHand(64, 32, false, -1, ycc(4, 1)...), grey(60), grey(200)},
		"4:1:0":                 {jpegByHand(64, 32, false, -1, ycc(4, 2)...), grey(60), grey(200)},
		"4:2:0, progressive":    {jpegByHand(64, 32, true, -1, ycc(2, 2)...), grey(60), grey(200)},
		"RGB by Adobe's marker": {jpegByHand(64, 32, false, 0, part{1, 1, 1, 255, 0}, part{2, 1, 1, 0, 255}, part{3, 1, 1, 0, 0}), color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}},
		"RGB by its names":      {jpegByHand(64, 32, false, -1, part{'R', 1, 1, 255, 0}, part{'G', 1, 1, 0, 255}, part{'B', 1, 1, 0, 0}), color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}},
		"CMYK":                  {jpegByHand(64, 32, false, 0, cmyk(1)...), color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 255, 255}},
		"CMYK, subsampled":      {jpegByHand(64, 32, false, 0, cmyk(2)...), color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 255, 255}},
		"CMYK, progressive":     {jpegByHand(64, 32, true, 0, cmyk(1)...), color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 255, 255}},
		"YCCK, stored inverted": {jpegByHand(64, 32, false, 2, part{1, 1, 1, 60, 200}, part{2, 1, 1, 128, 128}, part{3, 1, 1, 128, 128}, part{4, 1, 1, 255, 255}), grey(195), grey(55)},
		"interlaced PNG":        {interlaced(64, 32), grey(64), grey(191)},
		"lossy WebP":            {webpOf(chunk{"VP8 ", vp8(64, 32)}), grey(130), grey(130)},
		"lossy WebP with alpha": {webpOf(vp8x(16, 64, 32), chunk{"ALPH", make([]byte, 1+64*32)}, chunk{"VP8 ", vp8(64, 32)}), white, white},
	}
	for name, test := range tests {
		sides := []string{"upright", "on its side"}
		if strings.Contains(name, "WebP") {
			sides = sides[:1] // it is turned in another test
		}
		for _, side := range sides {
			t.Run(name+" "+side, func(t *testing.T) {
				d, _ := given(t, nil)
				photo, w, h := test.photo, 64, 32
				at := [2]image.Point{{16, 16}, {48, 16}}
				if side == "on its side" {
					if strings.Contains(name, "PNG") {
						photo = pngWithEXIF(photo, 8)
					} else {
						photo = jpegWithEXIF(photo, 8)
					}
					w, h = h, w
					at = [2]image.Point{{16, 48}, {16, 16}}
				}
				p := accept(t, d, photo)
				if p.Width != w || p.Height != h {
					t.Errorf("got %d x %d, want %d x %d", p.Width, p.Height, w, h)
				}
				m := shown(t, d, p.ID)
				for i, want := range []color.Color{test.left, test.right} {
					if got := m.At(at[i].X, at[i].Y); !near(got, want) {
						t.Errorf("got %v at %v, want %v", got, at[i], want)
					}
				}
			})
		}
	}
}

func TestPhotosAreTurnedUpright(t *testing.T) {
	// EXIF 2.32, 4.6.4: what quarters RG/BW look like upright.
	want := map[uint16]string{
		1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG",
		5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB",
		0: "RGBW", 9: "RGBW", 300: "RGBW", // no such orientation
	}
	for orientation, letter := range want {
		kinds := map[string][]byte{
			"JPEG":             jpegWithEXIF(jpegOf(quarters(64, 32)), orientation),
			"PNG":              pngWithEXIF(pngOf(quarters(64, 32)), orientation),
			"JPEG with a tail": append(jpegWithEXIF(jpegOf(quarters(64, 32)), orientation), exif(3, binary.LittleEndian)...),
			// Behind a chunk of odd length, with and without JPEG's header.
			"WebP":           webpOf(vp8x(8, 64, 32), chunk{"ICCP", []byte("odd")}, chunk{"VP8L", lossless(64, 32)}, chunk{"EXIF", exif(orientation, binary.LittleEndian)}),
			"WebP as a JPEG": webpOf(vp8x(8, 64, 32), chunk{"VP8L", lossless(64, 32)}, chunk{"EXIF", append([]byte("Exif\x00\x00"), exif(orientation, binary.BigEndian)...)}),
		}
		for name, photo := range kinds {
			t.Run(fmt.Sprintf("%s %d", name, orientation), func(t *testing.T) {
				d, _ := given(t, nil)
				p := accept(t, d, photo)
				wide, high := 64, 32
				if orientation >= 5 && orientation <= 8 {
					wide, high = high, wide
				}
				if p.Width != wide || p.Height != high {
					t.Errorf("got %d x %d, want %d x %d", p.Width, p.Height, wide, high)
				}
				want := letter
				if strings.HasPrefix(name, "WebP") {
					want = strings.NewReplacer("B", "K", "W", "Y").Replace(letter)
				}
				if got := letters(shown(t, d, p.ID)); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				b := stored(t, d, p.ID)
				for _, word := range []string{secret, "Exif", "GPS"} {
					if bytes.Contains(b, []byte(word)) {
						t.Errorf("%q is still in the photo", word)
					}
				}
			})
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	photo := jpegOf(noise(200, 200))
	heic := append([]byte("\x00\x00\x00\x18ftypheic"), make([]byte, 40)...)
	tests := map[string]struct {
		photo  []byte
		is     error
		status int
		typ    string // of a known type that is not taken
	}{
		"nothing":                     {[]byte{}, uploads.ErrNotAnImage, 415, ""},
		"one byte":                    {[]byte{0xff}, uploads.ErrNotAnImage, 415, ""},
		"text":                        {[]byte("hello"), uploads.ErrNotAnImage, 415, ""},
		"HTML":                        {[]byte("<!DOCTYPE html><script>alert(1)</script>"), uploads.ErrNotAnImage, 415, ""},
		"a ZIP":                       {zipOf(), uploads.ErrNotAnImage, 415, ""},
		"GIF and SVG in one":          {[]byte("GIF89a/*<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>*/=1"), uploads.ErrTooManyPixels, 422, ""},
		"the same, of 16 x 16":        {[]byte("GIF89a\x10\x00\x10\x00\x00\x00\x00<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"), uploads.ErrNotAnImage, 415, ""},
		"only a signature of JPEG":    {[]byte("\xff\xd8\xff\xe0"), uploads.ErrNotAnImage, 415, ""},
		"only a signature of PNG":     {[]byte(pngSignature), uploads.ErrNotAnImage, 415, ""},
		"only a signature of WebP":    {webpOf(), uploads.ErrNotAnImage, 415, ""},
		"WebP that claims 100 MB":     {append([]byte("RIFF\x00\x00\x00\x06WEBPVP8 \xf0\xff\xff\x05"), vp8(16, 16)...), uploads.ErrNotAnImage, 415, ""},
		"JPEG without a frame":        {[]byte("\xff\xd8\xff\xda\x00\x02\xff\xd9"), uploads.ErrNotAnImage, 415, ""},
		"JPEG without pixels":         {jpegByHand(0, 0, false, -1, ycc(1, 1)...), uploads.ErrNotAnImage, 415, ""},
		"JPEG with 2 components":      {jpegByHand(16, 16, false, -1, ycc(1, 1)[:2]...), uploads.ErrNotAnImage, 415, ""},
		"GIF without a frame":         {[]byte("GIF89a\x10\x00\x10\x00\x00\x00\x00;"), uploads.ErrNotAnImage, 415, ""},
		"48 bytes of 30000 x 30000":   {append(pngHeader(30000, 30000, 8, 6, 0), make([]byte, 15)...), uploads.ErrTooManyPixels, 422, ""},
		"WebP of 16384 x 16384":       {webpOf(chunk{"VP8L", vp8l(16384, 16384, 255, nil)}), uploads.ErrTooManyPixels, 422, ""},
		"12001 on a side":             {pngOf(image.NewGray(image.Rect(0, 0, 12001, 1))), uploads.ErrTooManyPixels, 422, ""},
		"50 megapixels and a bit":     {pngHeader(7072, 7072, 8, 0, 0), uploads.ErrTooManyPixels, 422, ""},
		"49 megapixels of 16 bits":    {pngHeader(7000, 7000, 16, 6, 0), uploads.ErrTooHeavy, 422, ""},
		"49 megapixels, interlaced":   {pngHeader(7000, 7000, 8, 6, 1), uploads.ErrTooHeavy, 422, ""},
		"49 megapixels of WebP":       {webpOf(chunk{"VP8L", vp8l(7000, 7000, 255, nil)}), uploads.ErrTooHeavy, 422, ""},
		"a byte more than 10 MB":      {append(bytes.Clone(photo), make([]byte, 10<<20+1-len(photo))...), uploads.ErrTooLarge, 413, ""},
		"HEIC":                        {heic, uploads.ErrUnsupportedType, 415, "image/heic"},
		"AVIF":                        {append([]byte("\x00\x00\x00\x18ftypavif"), make([]byte, 40)...), uploads.ErrUnsupportedType, 415, "image/avif"},
		"a film":                      {append([]byte("\x00\x00\x00\x18ftypisom"), make([]byte, 40)...), uploads.ErrUnsupportedType, 415, "video/mp4"},
		"SVG":                         {[]byte("\ufeff <?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>"), uploads.ErrUnsupportedType, 415, "image/svg+xml"},
		"TIFF":                        {[]byte("II*\x00\x08\x00\x00\x00"), uploads.ErrUnsupportedType, 415, "image/tiff"},
		"BMP":                         {append([]byte("BM"), make([]byte, 60)...), uploads.ErrUnsupportedType, 415, "image/bmp"},
		"JPEG XL":                     {[]byte("\xff\x0a\x00\x00"), uploads.ErrUnsupportedType, 415, "image/jxl"},
		"PDF":                         {[]byte("%PDF-1.7\n"), uploads.ErrUnsupportedType, 415, "application/pdf"},
		"icon":                        {[]byte("\x00\x00\x01\x00\x01\x00"), uploads.ErrUnsupportedType, 415, "image/x-icon"},
		"PNG whose checksum is wrong": {flip(pngOf(noise(20, 20)), 60), uploads.ErrNotAnImage, 415, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, path := given(t, nil)
			p, err := d.Accept(t.Context(), bytes.NewReader(test.photo))
			if !errors.Is(err, test.is) || p != (uploads.Photo{}) {
				t.Fatalf("got %v and error %v, want %v", p, err, test.is)
			}
			var said interface {
				HTTPStatus() int
				Sentence() string
			}
			if !errors.As(err, &said) || said.HTTPStatus() != test.status || !strings.HasSuffix(said.Sentence(), ".") {
				t.Errorf("got %v, want status %d and a sentence", err, test.status)
			}
			var unsupported *uploads.UnsupportedTypeError
			if errors.As(err, &unsupported); test.typ != "" && (unsupported == nil || unsupported.Type != test.typ) {
				t.Errorf("got %v, want type %s", err, test.typ)
			}
			if !strings.HasPrefix(err.Error(), "uploads: ") || strings.Count(err.Error(), "uploads: ") != 1 {
				t.Errorf("the package is not named once in %q", err)
			}
			if got := files(t, path); len(got) != 0 {
				t.Errorf("left %v", got)
			}
			if s := d.Stats(); s.Refused != 1 || s.Failed != 0 || s.DecodeBytes != 0 {
				t.Errorf("got %+v, want one refusal", s)
			}
		})
	}
}

// flip damages one byte.
func flip(b []byte, at int) []byte { b[at] ^= 0xff; return b }

func TestAPhotoThatBrokeOffIsRefused(t *testing.T) {
	kinds := map[string][]byte{
		"JPEG":             jpegOf(noise(100, 80)),
		"progressive JPEG": jpegByHand(400, 400, true, -1, ycc(2, 2)...),
		"PNG":              pngOf(noise(40, 40)),
		"interlaced PNG":   interlaced(90, 70),
		"GIF":              gifOf(1, quarters(100, 80)),
		"WebP":             webpOf(chunk{"VP8L", lossless(64, 32)}),
		"lossy WebP":       webpOf(chunk{"VP8 ", vp8(64, 32)}),
	}
	for name, photo := range kinds {
		t.Run(name, func(t *testing.T) {
			d, path := given(t, nil)
			end := len(photo)
			if name == "GIF" {
				end -= 2 // the first frame is all there without the end
			}
			for n := 0; n < end; n += max(1, len(photo)/97) {
				if _, err := d.Accept(t.Context(), bytes.NewReader(photo[:n])); !errors.Is(err, uploads.ErrNotAnImage) {
					t.Fatalf("%d of %d bytes: got %v, want ErrNotAnImage", n, len(photo), err)
				}
			}
			if _, err := d.Accept(t.Context(), bytes.NewReader(photo[:end-1])); !errors.Is(err, uploads.ErrNotAnImage) {
				t.Errorf("without its last byte: got %v, want ErrNotAnImage", err)
			}
			if got := files(t, path); len(got) != 0 {
				t.Errorf("left %v", got)
			}
		})
	}
}

func TestAPhotoMayFillTheWholeLimit(t *testing.T) {
	photo := jpegOf(quarters(64, 48))
	d, _ := given(t, &uploads.Options{MaxBytes: int64(len(photo))})
	accept(t, d, photo)
	_, err := d.Accept(t.Context(), bytes.NewReader(append(photo, 0)))
	if !errors.Is(err, uploads.ErrTooLarge) {
		t.Errorf("a byte more: got %v, want ErrTooLarge", err)
	}
}

func TestAnErrorOfTheReaderComesThrough(t *testing.T) {
	broken := errors.New("the network is gone")
	photo := jpegOf(noise(100, 100))
	d, path := given(t, nil)
	half := io.MultiReader(bytes.NewReader(photo[:len(photo)/2]), iotest.ErrReader(broken))
	if _, err := d.Accept(t.Context(), half); !errors.Is(err, broken) || errors.Is(err, uploads.ErrNotAnImage) {
		t.Errorf("got %v, want %v", err, broken)
	}

	w := httptest.NewRecorder()
	limited := http.MaxBytesReader(w, io.NopCloser(bytes.NewReader(photo)), 100)
	_, err := d.Accept(t.Context(), limited)
	var tooLong *http.MaxBytesError
	if !errors.As(err, &tooLong) || tooLong.Limit != 100 {
		t.Errorf("got %v, want the error of http.MaxBytesReader", err)
	}
	var said interface{ Sentence() string }
	if errors.As(err, &said) {
		t.Errorf("the photo is blamed for the request: %v", err)
	}
	if got := files(t, path); len(got) != 0 {
		t.Errorf("left %v", got)
	}
	if s := d.Stats(); s.Failed != 2 || s.Refused != 0 {
		t.Errorf("got %+v, want two failures", s)
	}
}

func TestTheEndOfTheContextEndsAccept(t *testing.T) {
	photo := jpegOf(noise(300, 300))
	for _, at := range []string{"receive", "encode", "create", "write", "sync"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := &uploads.Options{}
			o.OnStep(func(name string) error {
				if name == at {
					cancel()
				}
				return nil
			})
			d, path := given(t, o)
			if _, err := d.Accept(ctx, bytes.NewReader(photo)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			if got := files(t, path); len(got) != 0 {
				t.Errorf("left %v", got)
			}
			if s := d.Stats(); s.DecodeBytes != 0 || s.Failed != 1 {
				t.Errorf("got %+v, want nothing held and one failure", s)
			}
		})
	}
}

func TestTheSamePhotoIsStoredOnce(t *testing.T) {
	d, path := given(t, nil)
	photo := jpegOf(quarters(64, 48))
	first := accept(t, d, photo)
	second := accept(t, d, jpegWithEXIF(photo, 1)) // the same pixels
	if first.ID != second.ID {
		t.Errorf("got %s and %s, want the same id", first.ID, second.ID)
	}
	if got := files(t, path); len(got) != 1 {
		t.Errorf("got %v, want one file", got)
	}
	if s := d.Stats(); s.Photos != 1 || s.Accepted != 2 || s.Again != 1 {
		t.Errorf("got %+v, want one photo accepted twice", s)
	}
}

func TestManyAtOnce(t *testing.T) {
	const senders, different = 12, 4
	o := &uploads.Options{DecodeBytes: 3 << 20} // one or two at a time
	d, path := given(t, o)
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			photo := jpegOf(quarters(64+i%different, 48))
			p, err := d.Accept(t.Context(), bytes.NewReader(photo))
			if err != nil {
				t.Error(err)
				return
			}
			if got := letters(shown(t, d, p.ID)); got != "RGBW" {
				t.Errorf("got %s, want RGBW", got)
			}
		})
	}
	wg.Wait()
	if got := files(t, path); len(got) != different {
		t.Errorf("got %d files, want %d", len(got), different)
	}
	if s := d.Stats(); s.Photos != different || s.Accepted != senders || s.DecodeBytes != 0 || s.DecodeQueue != 0 {
		t.Errorf("got %+v, want %d photos of %d", s, different, senders)
	}
}

// TestProfilesAreRemovedAndNotApplied has Display P3 as iPhones write it: a
// photo and the same one with a profile are one photo.
func TestProfilesAreRemovedAndNotApplied(t *testing.T) {
	d, _ := given(t, nil)
	m := quarters(64, 48)
	profile := "ICC_PROFILE\x00\x01\x01" + strings.Repeat("\x00", 16) + "RGB XYZ " + strings.Repeat("\x00", 12) + "acspAPPL" + "Display P3"
	if got, want := accept(t, d, segment(jpegOf(m), 0xe2, profile)).ID, accept(t, d, jpegOf(m)).ID; got != want {
		t.Errorf("JPEG: got %s, want %s", got, want)
	}
	plain, packed := pngOf(m), &bytes.Buffer{}
	z := zlib.NewWriter(packed)
	io.WriteString(z, profile)
	must(z.Close())
	with := slices.Concat(plain[:33], pngChunk("iCCP", append([]byte("Display P3\x00\x00"), packed.Bytes()...)), plain[33:])
	if got, want := accept(t, d, with).ID, accept(t, d, plain).ID; got != want {
		t.Errorf("PNG: got %s, want %s", got, want)
	}
}

func TestPhotosAreRefusedBeforeTheDiskIsFull(t *testing.T) {
	free := int64(1 << 30)
	o := &uploads.Options{ReserveBytes: 100 << 20}
	o.WithFree(func() int64 { return free })
	d, path := given(t, o)
	photo := jpegOf(quarters(64, 48))

	free = 100<<20 + 10<<20 - 1
	_, err := d.Accept(t.Context(), bytes.NewReader(photo))
	var said interface{ HTTPStatus() int }
	if !errors.Is(err, uploads.ErrDiskFull) || !errors.As(err, &said) || said.HTTPStatus() != http.StatusInsufficientStorage {
		t.Errorf("got %v, want ErrDiskFull", err)
	}
	if got := files(t, path); len(got) != 0 {
		t.Errorf("left %v", got)
	}
	free = 99 << 20
	d.Accept(t.Context(), bytes.NewReader(photo))
	if s := d.Stats(); !s.DiskFull || s.FreeBytes != free {
		t.Errorf("got %+v, want a full disk", s)
	}

	free = 1 << 30 // it lifts by itself
	accept(t, d, photo)
	if s := d.Stats(); s.DiskFull || s.Refused != 2 {
		t.Errorf("got %+v, want room again", s)
	}
}

// TestPhotosOnTheirWayLeaveTheReserve sends several at once, for each of which
// alone there is room.
func TestPhotosOnTheirWayLeaveTheReserve(t *testing.T) {
	const reserve, limit, senders = 100 << 20, 10 << 20, 8
	var sent atomic.Int64
	o := &uploads.Options{ReserveBytes: reserve}
	o.WithFree(func() int64 { return reserve + 2*limit - sent.Load() })
	d, path := given(t, o)

	var arrived, ended sync.WaitGroup
	arrived.Add(senders)
	errs := make([]error, senders)
	for i := range senders {
		ended.Go(func() {
			in := &counted{r: bytes.NewReader(make([]byte, limit-2)), sent: &sent}
			begin := readerFunc(func([]byte) (int, error) {
				arrived.Done()
				arrived.Wait() // everybody has found room
				return 0, io.EOF
			})
			_, errs[i] = d.Accept(t.Context(), io.MultiReader(strings.NewReader("\xff\xd8"), begin, in))
		})
	}
	ended.Wait()
	full := 0
	for _, err := range errs {
		if errors.Is(err, uploads.ErrDiskFull) {
			full++
		}
	}
	// Each may have written what lies between two looks.
	if left := 2*limit - sent.Load(); full == 0 || left < -senders*(512<<10) {
		t.Errorf("%d of %d were refused, and %d bytes are left above the reserve", full, senders, left)
	}
	if got := files(t, path); len(got) != 0 {
		t.Errorf("left %v", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// counted counts what was read, which is on the disk then.
type counted struct {
	r    io.Reader
	sent *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.sent.Add(int64(n))
	return n, err
}
