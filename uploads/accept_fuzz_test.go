package uploads_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// FuzzAccept: whatever comes, it is refused with a sentence and leaves nothing,
// or a JPEG is stored that has the size that was answered and no metadata.
func FuzzAccept(f *testing.F) {
	for _, photo := range [][]byte{
		jpegWithEXIF(jpegOf(quarters(16, 8)), 6),
		jpegByHand(16, 8, true, -1, ycc(2, 1)...),
		jpegByHand(8, 8, false, 0, part{1, 1, 1, 9, 9}, part{2, 1, 1, 9, 9}, part{3, 1, 1, 9, 9}, part{4, 1, 1, 9, 9}),
		pngWithEXIF(pngOf(quarters(8, 8)), 5),
		interlaced(9, 7),
		gifOf(2, quarters(8, 8)),
		webpOf(vp8x(8, 16, 8), chunk{"VP8L", lossless(16, 8)}, chunk{"EXIF", exif(7, binary.LittleEndian)}),
		webpOf(vp8x(16, 16, 16), chunk{"ALPH", make([]byte, 257)}, chunk{"VP8 ", vp8(16, 16)}),
		[]byte("GIF89a/*<svg/>*/=1"),
		zipOf(),
	} {
		f.Add(photo)
	}
	for _, it := range corpus() {
		if len(it.photo) <= 4<<10 { // a larger one is changed too slowly
			f.Add(it.photo)
		}
	}
	d, path := given(f, &uploads.Options{MaxBytes: 64 << 10, MaxPixels: 1 << 16, DecodeBytes: 32 << 20})
	f.Fuzz(func(t *testing.T, photo []byte) {
		p, err := d.Accept(t.Context(), bytes.NewReader(photo))
		if err != nil {
			var said interface{ Sentence() string }
			if !errors.As(err, &said) || said.Sentence() == "" {
				t.Errorf("got %v, want a sentence", err)
			}
			if got := files(t, path); len(got) != 0 {
				t.Errorf("left %v", got)
			}
			return
		}
		b := stored(t, d, p.ID)
		m, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil || m.Bounds().Dx() != p.Width || m.Bounds().Dy() != p.Height {
			t.Errorf("got %+v, stored is %v, %v", p, m.Bounds(), err)
		}
		for i := 2; b[i+1] != 0xda; i += 2 + int(binary.BigEndian.Uint16(b[i+2:])) {
			if b[i+1] >= 0xe0 { // APPn and comments
				t.Errorf("segment %#x is stored", b[i+1])
			}
		}
		if err := d.Delete(p.ID); err != nil {
			t.Error(err)
		}
		accept(t, d, photo) // takes the tombstone away
		if err := d.Delete(p.ID); err != nil {
			t.Error(err)
		}
		removeGrave(t, path, p.ID)
	})
}
