package uploads_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"net/http"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// item is a file that somebody sends, and what becomes of it.
type item struct {
	photo   []byte
	status  int    // 201 when it is taken
	is      error  // when it is not
	w, h    int    // upright, when it is taken
	corners string // the same, from the upper left on; "" where it has no quarters
}

// taken has quarters of red, green, blue and white and is not turned.
func taken(photo []byte, w, h int) item {
	return item{photo: photo, status: http.StatusCreated, w: w, h: h, corners: "RGBW"}
}

// plain is taken, of any colours.
func plain(photo []byte, w, h int) item {
	return item{photo: photo, status: http.StatusCreated, w: w, h: h}
}

func damaged(photo []byte) item {
	return item{photo: photo, status: http.StatusUnsupportedMediaType, is: uploads.ErrNotAnImage}
}

func unsupported(photo string) item {
	return item{photo: []byte(photo), status: http.StatusUnsupportedMediaType, is: uploads.ErrUnsupportedType}
}

func tooManyPixels(photo []byte) item {
	return item{photo: photo, status: http.StatusUnprocessableEntity, is: uploads.ErrTooManyPixels}
}

// corpus is made anew for each that asks, so that nobody changes it for others.
func corpus() map[string]item {
	all := map[string]item{}
	for _, part := range []map[string]item{formats(), orientations(), withMetadata(), polyglots(), claims(), others()} {
		for name, i := range part {
			all[name] = i
		}
	}
	return all
}

func formats() map[string]item {
	const w, h = 321, 199 // whole blocks of nothing
	picture := quarters(w, h)
	cmyk := []part{{1, 1, 1, 255, 0}, {2, 1, 1, 0, 255}, {3, 1, 1, 0, 255}, {4, 1, 1, 255, 255}}
	return map[string]item{
		"JPEG":                        taken(jpegOf(picture), w, h),
		"progressive JPEG, 4:2:0":     plain(jpegByHand(w, h, true, -1, ycc(2, 2)...), w, h),
		"progressive JPEG, 4:4:4":     plain(jpegByHand(w, h, true, -1, ycc(1, 1)...), w, h),
		"grey JPEG":                   plain(jpegByHand(w, h, false, -1, part{1, 1, 1, 60, 200}), w, h),
		"CMYK JPEG, by Adobe":         plain(jpegByHand(w, h, false, 0, cmyk...), w, h),
		"YCCK JPEG, by Adobe":         plain(jpegByHand(w, h, false, 2, cmyk...), w, h),
		"PNG":                         taken(pngOf(picture), w, h),
		"PNG with 16 bits":            taken(pngOf(deep(picture)), w, h),
		"PNG with a palette":          taken(pngOf(indexed(picture)), w, h),
		"PNG with alpha":              taken(pngOf(clear(picture)), w, h),
		"interlaced PNG":              plain(interlaced(w, h), w, h),
		"interlaced PNG with 16 bits": plain(plainPNG(w, h, 16, 6, 1), w, h),
		"lossless WebP":               {photo: webpOf(chunk{"VP8L", lossless(w, h)}), status: 201, w: w, h: h, corners: "RGKY"},
		"lossy WebP":                  plain(webpOf(chunk{"VP8 ", vp8(w, h)}), w, h),
		"lossy WebP with alpha":       plain(webpOf(vp8x(16, w, h), chunk{"ALPH", make([]byte, 1+w*h)}, chunk{"VP8 ", vp8(w, h)}), w, h),
		"GIF":                         taken(gifOf(1, picture), w, h),
		"GIF of 2000 frames":          taken(gifOf(2000, picture), w, h),
	}
}

func deep(m image.Image) image.Image {
	d := image.NewRGBA64(m.Bounds())
	each(m, func(x, y int, c color.Color) { d.Set(x, y, c) })
	return d
}

func indexed(m image.Image) image.Image {
	p := image.NewPaletted(m.Bounds(), color.Palette{red, green, blue, white})
	each(m, func(x, y int, c color.Color) { p.Set(x, y, c) })
	return p
}

// clear lets the paper through where it is white.
func clear(m image.Image) image.Image {
	a := image.NewNRGBA(m.Bounds())
	each(m, func(x, y int, c color.Color) {
		if c != white {
			a.Set(x, y, c)
		}
	})
	return a
}

func each(m image.Image, f func(x, y int, c color.Color)) {
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			f(x, y, m.At(x, y))
		}
	}
}

// orientations are those of EXIF 2.32, 4.6.4.
func orientations() map[string]item {
	all := map[string]item{}
	for i, corners := range []string{"RGBW", "GRWB", "WBGR", "BWRG", "RBGW", "BRWG", "WGBR", "GWRB"} {
		w, h, o := 321, 199, uint16(i+1)
		of := func(photo []byte) item {
			it := item{photo: photo, status: http.StatusCreated, w: w, h: h, corners: corners}
			if o >= 5 {
				it.w, it.h = h, w
			}
			return it
		}
		webp := of(webpOf(vp8x(8, w, h), chunk{"VP8L", lossless(w, h)}, chunk{"EXIF", exif(o, binary.LittleEndian)}))
		webp.corners = strings.NewReplacer("B", "K", "W", "Y").Replace(corners)
		name := "orientation " + string(rune('0'+o))
		all["JPEG, "+name] = of(jpegWithEXIF(jpegOf(quarters(w, h)), o))
		all["PNG, "+name] = of(pngWithEXIF(pngOf(quarters(w, h)), o))
		all["WebP, "+name] = webp
	}
	return all
}

// xmp is the same position as in exif, in the other place that phones write.
const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description exif:GPSLatitude="` + secret + `"/></x:xmpmeta>`

func withMetadata() map[string]item {
	const w, h = 160, 120
	jpeg, png := jpegOf(quarters(w, h)), pngOf(quarters(w, h))
	afterHeader := func(chunks ...[]byte) []byte {
		return bytes.Join(append(append([][]byte{png[:33]}, chunks...), png[33:]), nil)
	}
	gif := gifOf(1, quarters(w, h))
	frame := bytes.Index(gif, []byte(",\x00\x00\x00\x00"))
	beforeFrame := func(extension string) []byte {
		return append(append(bytes.Clone(gif[:frame]), extension...), gif[frame:]...)
	}
	return map[string]item{
		"JPEG with GPS in EXIF": taken(jpegWithEXIF(jpeg, 1), w, h),
		"JPEG with GPS in XMP":  taken(segment(jpeg, 0xe1, "http://ns.adobe.com/xap/1.0/\x00"+xmp), w, h),
		"JPEG with IPTC":        taken(segment(jpeg, 0xed, "Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x20\x1c\x02\x78\x00\x1b"+secret), w, h),
		"JPEG with a profile":   taken(segment(jpeg, 0xe2, "ICC_PROFILE\x00\x01\x01"+secret), w, h),
		"JPEG with a comment":   taken(segment(jpeg, 0xfe, secret), w, h),
		"PNG with GPS in EXIF":  taken(pngWithEXIF(png, 1), w, h),
		"PNG with GPS in XMP":   taken(afterHeader(pngChunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp))), w, h),
		"PNG with text":         taken(afterHeader(pngChunk("tEXt", []byte("Location\x00"+secret)), pngChunk("prVt", []byte(secret))), w, h),
		"WebP with GPS": {photo: webpOf(vp8x(8|4, w, h), chunk{"ICCP", []byte(secret)}, chunk{"VP8L", lossless(w, h)},
			chunk{"EXIF", exif(1, binary.LittleEndian)}, chunk{"XMP ", []byte(xmp)}), status: 201, w: w, h: h, corners: "RGKY"},
		"GIF with a comment":  taken(beforeFrame("!\xfe"+string(rune(len(secret)))+secret+"\x00"), w, h),
		"GIF with GPS in XMP": taken(beforeFrame("!\xff\x0bXMP DataXMP"+string(rune(len(xmp)))+xmp+"\x00"), w, h),
	}
}

// words are of metadata, and of what makes a polyglot.
var words = []string{secret, "Exif", "GPS", "xmp", "ns.adobe", "ICC_PROFILE", "8BIM", "script", "svg", "alert", "PK\x03\x04", "%PDF", "GIF8", "PNG", "WEBP"}

func polyglots() map[string]item {
	const w, h = 160, 120
	const html = "<html><script>alert(1)</script></html>"
	jpeg, png, gif := jpegOf(quarters(w, h)), pngOf(quarters(w, h)), gifOf(1, quarters(w, h))
	with := func(head string, photo []byte, tail string) []byte {
		return append(append([]byte(head), photo...), tail...)
	}
	return map[string]item{
		"GIF that is SVG":                 tooManyPixels([]byte("GIF89a/*<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>*/=1")),
		"GIF that is JavaScript":          tooManyPixels([]byte("GIF89a=1;alert(1);//" + strings.Repeat("\x00", 40))),
		"small GIF that is SVG":           damaged([]byte("GIF89a\x10\x00\x10\x00\x00\x00\x00<svg onload='alert(1)'/>")),
		"GIF with SVG behind":             taken(with("", gif, "<svg onload='alert(1)'/>"), w, h),
		"JPEG with HTML behind":           taken(with("", jpeg, html), w, h),
		"JPEG with HTML inside":           taken(segment(jpeg, 0xfe, html), w, h),
		"JPEG with a PDF inside":          taken(segment(jpeg, 0xfe, "%PDF-1.7\n1 0 obj"), w, h),
		"JPEG with a ZIP behind":          taken(with("", jpeg, archive()), w, h),
		"PNG with a ZIP behind":           taken(with("", png, archive()), w, h),
		"PNG with HTML behind":            taken(with("", png, html), w, h),
		"WebP with HTML behind":           plain(with("", webpOf(chunk{"VP8L", lossless(w, h)}), html), w, h),
		"JPEG behind the header of a PDF": unsupported(string(with("%PDF-1.7\n", jpeg, ""))),
		"JPEG behind HTML":                damaged(with(html, jpeg, "")),
		"JPEG behind a ZIP":               damaged(with(archive(), jpeg, "")),
		"PNG named as a JPEG":             damaged(with("\xff\xd8", png, "")),
	}
}

// archive is a ZIP, which is read from its end.
func archive() string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("index.html")
	must(err)
	f.Write([]byte("<script>alert(1)</script>"))
	must(z.Close())
	return b.String()
}

// claims are small files of large pictures.
func claims() map[string]item {
	bomb := plainPNG(20000, 20000, 8, 0, 0)
	if len(bomb) > 1<<20 {
		panic("the bomb is no bomb")
	}
	giant := append([]byte("GIF89a\x30\x75\x30\x75\x00\x00\x00,\x00\x00\x00\x00\x30\x75\x30\x75\x80"), make([]byte, 20)...)
	return map[string]item{
		"JPEG of 30000 x 30000":             tooManyPixels(jpegHead(30000, 30000, false, -1, ycc(2, 2)...)),
		"progressive JPEG of 30000 x 30000": tooManyPixels(jpegHead(30000, 30000, true, -1, ycc(2, 2)...)),
		"PNG of 30000 x 30000":              tooManyPixels(pngHeader(30000, 30000, 8, 6, 0)),
		"interlaced PNG of 30000 x 30000":   tooManyPixels(pngHeader(30000, 30000, 16, 6, 1)),
		"GIF of 30000 x 30000":              tooManyPixels(giant),
		"WebP of 30000 x 30000":             tooManyPixels(webpOf(vp8x(0, 30000, 30000), chunk{"VP8 ", vp8(16, 16)})),
		"lossless WebP of 16384 x 16384":    tooManyPixels(webpOf(chunk{"VP8L", vp8l(16384, 16384, 255, nil)})),
		"bomb of 20000 x 20000":             tooManyPixels(bomb),
		"small WebP with a large one in it": damaged(webpOf(vp8x(0, 16, 16), chunk{"VP8L", vp8l(16384, 16384, 255, nil)})),
		"small GIF with a large frame":      damaged(append([]byte("GIF89a\x10\x00\x10\x00\x00\x00\x00"), giant[13:]...)),
	}
}

func others() map[string]item {
	box := func(brand string) string { return "\x00\x00\x00\x18ftyp" + brand + strings.Repeat("\x00", 40) }
	return map[string]item{
		"nothing":         damaged(nil),
		"text":            damaged([]byte("hello")),
		"a ZIP":           damaged([]byte(archive())),
		"HEIC":            unsupported(box("heic")),
		"HEIF":            unsupported(box("mif1")),
		"AVIF":            unsupported(box("avif")),
		"a film":          unsupported(box("isom")),
		"SVG":             unsupported("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
		"TIFF":            unsupported("II*\x00\x08\x00\x00\x00"),
		"TIFF of a Mac":   unsupported("MM\x00*\x00\x00\x00\x08"),
		"BMP":             unsupported("BM" + strings.Repeat("\x00", 60)),
		"PDF":             unsupported("%PDF-1.7\n"),
		"a byte too many": {photo: append(jpegOf(quarters(16, 16)), make([]byte, 10<<20)...), status: http.StatusRequestEntityTooLarge, is: uploads.ErrTooLarge},
	}
}

// TestTheCorpus sends everything to a real server, one after the other.
func TestTheCorpus(t *testing.T) {
	b := openBooth(t, nil)
	for name, it := range corpus() {
		t.Run(name, func(t *testing.T) {
			status, id, err := b.send(it.photo)
			if status != it.status || !errors.Is(err, it.is) {
				t.Fatalf("got status %d and %v, want %d and %v", status, err, it.status, it.is)
			}
			if it.is == nil {
				b.check(t, id, it)
			} else {
				checkAdvice(t, it, err)
			}
			b.well(t)
		})
	}
}

// checkAdvice wants the visitor to hear what to do.
func checkAdvice(t *testing.T, it item, err error) {
	t.Helper()
	var said interface{ Sentence() string }
	if !errors.As(err, &said) {
		t.Fatalf("got %v, want a sentence", err)
	}
	sentence := said.Sentence()
	if !strings.Contains(sentence, "Send ") && !strings.Contains(sentence, "send ") && !strings.Contains(sentence, "Choose ") {
		t.Errorf("got %q, want something to do", sentence)
	}
	if it.is == uploads.ErrUnsupportedType && !strings.Contains(sentence, "JPEG") {
		t.Errorf("got %q, want what is taken", sentence)
	}
}

// check looks at what was stored of an item and removes it.
func (b *booth) check(t *testing.T, id uploads.PhotoID, it item) {
	t.Helper()
	if got := files(t, b.path); len(got) != 1 || got[0] != string(id)+".jpg" {
		t.Errorf("got the files %v, want the photo alone", got)
	}
	kept := stored(t, b.dir, id)
	for _, word := range words {
		if bytes.Contains(kept, []byte(word)) {
			t.Errorf("%q is stored", word)
		}
	}
	if !bytes.HasPrefix(kept, []byte("\xff\xd8")) || !bytes.HasSuffix(kept, []byte("\xff\xd9")) {
		t.Error("more than a JPEG is stored")
	}
	m := shown(t, b.dir, id)
	if m.Bounds().Dx() != it.w || m.Bounds().Dy() != it.h {
		t.Errorf("got %v, want %d x %d", m.Bounds(), it.w, it.h)
	}
	if got := corners(m); it.corners != "" && got != it.corners {
		t.Errorf("the corners are %s, want %s", got, it.corners)
	}
	remove(t, b.dir, id)
	removeGrave(t, b.path, id)
}

// corners names the colours in the corners, as letters does for the quarters.
func corners(m image.Image) string {
	b := m.Bounds()
	small := image.NewRGBA(image.Rect(0, 0, 2, 2))
	for y := range 2 {
		for x := range 2 {
			small.Set(x, y, m.At(b.Min.X+x*(b.Dx()-1), b.Min.Y+y*(b.Dy()-1)))
		}
	}
	return letters(small)
}

// TestATruncatedPhotoIsRefused, wherever it breaks off; of a GIF the first frame
// is enough.
func TestATruncatedPhotoIsRefused(t *testing.T) {
	const w, h = 480, 360
	grain := noise(160, 120)
	all := map[string][]byte{
		"JPEG":                    jpegOf(noise(160, 120)),
		"progressive JPEG":        jpegByHand(3*w, 3*h, true, -1, ycc(2, 2)...),
		"progressive JPEG, 4:4:4": jpegByHand(2*w, 2*h, true, -1, ycc(1, 1)...),
		"PNG":                     pngOf(noise(100, 80)),
		"PNG with 16 bits":        pngOf(deep(noise(100, 80))),
		"interlaced PNG":          interlacedOf(160, 120, func(x, y int) byte { return grain.RGBAAt(x, y).R }),
		"GIF":                     gifOf(2000, noise(160, 120)),
		"lossless WebP":           webpOf(chunk{"VP8L", lossless(w, h)}),
		"lossy WebP":              webpOf(chunk{"VP8 ", vp8(w, h)}),
	}
	for name, photo := range all {
		t.Run(name, func(t *testing.T) {
			if len(photo) < 10<<10 {
				t.Fatalf("%d bytes are too few to tell anything", len(photo))
			}
			d, path := given(t, nil)
			taken := 0
			for n := 0; n < len(photo); n += 1 << 10 {
				p, err := d.Accept(t.Context(), bytes.NewReader(photo[:n]))
				switch {
				case err == nil && name == "GIF":
					if m := shown(t, d, p.ID); m.Bounds().Dx() != 160 {
						t.Errorf("%d bytes: got %v", n, m.Bounds())
					}
					remove(t, d, p.ID)
					removeGrave(t, path, p.ID)
					taken++
				case !errors.Is(err, uploads.ErrNotAnImage):
					t.Errorf("%d of %d bytes: got %v, want ErrNotAnImage", n, len(photo), err)
				}
				if got := files(t, path); len(got) != 0 {
					t.Fatalf("%d bytes: left %v", n, got)
				}
			}
			if name == "GIF" && taken < 3 {
				t.Errorf("only %d of the GIFs with all of the first frame are taken", taken)
			}
			if s := d.Stats(); s.DecodeBytes != 0 || s.Failed != 0 {
				t.Errorf("got %+v, want nothing held", s)
			}
		})
	}
}
