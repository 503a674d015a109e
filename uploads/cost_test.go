package uploads_test

import (
	"encoding/binary"
	"image"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// TestCostIsNotExceeded compares what is reserved for a picture with all that is
// allocated for it. The first must hold the second where nothing is freed on the
// way, and must not be far above, or photos are refused for nothing.
func TestCostIsNotExceeded(t *testing.T) {
	const w, h = 640, 480
	nrgba64 := image.NewNRGBA64(image.Rect(0, 0, w, h))
	cmyk := []part{{1, 1, 1, 9, 99}, {2, 1, 1, 9, 99}, {3, 1, 1, 9, 99}, {4, 1, 1, 9, 99}}
	ycck := []part{{1, 2, 2, 9, 99}, {2, 1, 1, 9, 99}, {3, 1, 1, 9, 99}, {4, 2, 2, 9, 99}}
	const upright, side = 1, 6
	tests := map[string]struct {
		photo []byte
		freed int64 // bytes that are allocated and no longer held at the worst moment
		above int64 // bytes that are reserved for what this picture is not
	}{
		"grey JPEG":                {jpegByHand(w, h, false, -1, part{1, 1, 1, 9, 99}), 0, 0},
		"grey JPEG, progressive":   {jpegByHand(w, h, true, -1, part{1, 1, 1, 9, 99}), 0, 0},
		"4:2:0":                    {jpegByHand(w, h, false, -1, ycc(2, 2)...), 0, 0},
		"4:2:0, on its side":       {jpegWithEXIF(jpegByHand(w, h, false, -1, ycc(2, 2)...), side), 0, 0},
		"4:2:2, on its side":       {jpegWithEXIF(jpegByHand(w, h, false, -1, ycc(2, 1)...), side), 0, 0},
		"4:4:4":                    {jpegByHand(w, h, false, -1, ycc(1, 1)...), 0, 0},
		"4:2:0, progressive":       {jpegByHand(w, h, true, -1, ycc(2, 2)...), 0, 0},
		"4:4:4, progressive, side": {jpegWithEXIF(jpegByHand(w, h, true, -1, ycc(1, 1)...), side), 3 * w * h, 0},
		"4:1:1, on its side":       {jpegWithEXIF(jpegByHand(w, h, false, -1, ycc(4, 1)...), side), 0, 0},
		"4:1:0, on its side":       {jpegWithEXIF(jpegByHand(w, h, false, -1, ycc(4, 2)...), side), 0, 0},
		"RGB":                      {jpegByHand(w, h, false, 0, ycc(1, 1)...), 0, 0},
		"RGB, on its side":         {jpegWithEXIF(jpegByHand(w, h, false, 0, ycc(2, 2)...), side), 3 * w * h, 0},
		"CMYK":                     {jpegByHand(w, h, false, 0, cmyk...), 0, 0},
		"CMYK, progressive":        {jpegByHand(w, h, true, 0, cmyk...), 0, 0},
		"YCCK":                     {jpegByHand(w, h, false, 2, ycck...), 0, 0},
		"PNG":                      {pngOf(quarters(w, h)), 0, 0},
		"PNG, on its side":         {pngWithEXIF(pngOf(quarters(w, h)), side), 0, 0},
		"grey PNG":                 {pngOf(image.NewGray(image.Rect(0, 0, w, h))), 0, 3 * w * h},
		"grey PNG, interlaced":     {interlaced(w, h), 0, 4 * w * h},
		"16-bit PNG":               {pngOf(nrgba64), 0, 0},
		"16-bit PNG, on its side":  {pngWithEXIF(pngOf(nrgba64), side), 0, 0},
		"GIF":                      {gifOf(3, quarters(w, h)), 0, w * h},
		"lossy WebP":               {webpOf(chunk{"VP8 ", vp8(w, h)}), 0, 0},
		"lossy WebP, on its side":  {webpOf(vp8x(8, w, h), chunk{"VP8 ", vp8(w, h)}, chunk{"EXIF", exif(side, binary.LittleEndian)}), 0, 0},
		"lossless WebP":            {webpOf(chunk{"VP8L", lossless(w, h)}), 0, 5*w*h + 256*w*h/4},
		"lossless WebP, upside":    {webpOf(vp8x(8, w, h), chunk{"VP8L", lossless(w, h)}, chunk{"EXIF", exif(3, binary.LittleEndian)}), 0, w*h + 256*w*h/4},
		"WebP with alpha":          {webpOf(vp8x(16, w, h), chunk{"ALPH", make([]byte, 1+w*h)}, chunk{"VP8 ", vp8(w, h)}), 0, 3*w*h + 256*w*h*2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			reserved, err := uploads.Cost(test.photo)
			if err != nil {
				t.Fatal(err)
			}
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := uploads.Decode(test.photo); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			held := int64(after.TotalAlloc-before.TotalAlloc) - test.freed
			if held > reserved {
				t.Errorf("holds %d bytes, %d are reserved", held, reserved)
			}
			if most := held + held/4 + 2<<20 + test.above; reserved > most {
				t.Errorf("reserves %d bytes, %d are held", reserved, held)
			}
		})
	}
}
