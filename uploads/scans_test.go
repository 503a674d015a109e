package uploads_test

import (
	"bytes"
	"errors"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

func TestAJPEGOfManyScansIsRefused(t *testing.T) {
	d, path := given(t, nil)
	few, many := jpegOfScans(64), jpegOfScans(65)
	if _, err := jpeg.Decode(bytes.NewReader(many)); err != nil {
		t.Fatalf("the picture must be one that decodes: %v", err)
	}
	// What looks like a scan is none in metadata, and none behind the end.
	looks := strings.Repeat("\xff\xda\x00\x02", 100)
	accept(t, d, append(segment(few, 0xe1, looks), looks...))

	for name, photo := range map[string][]byte{
		"one too many":            many,
		"garbage between them":    bytes.ReplaceAll(many, []byte("\xff\xda"), []byte("\x00\xff\x00\xff\xff\xff\xda")),
		"restarts between them":   bytes.ReplaceAll(many, []byte("\xff\xda"), []byte("\xff\xd0\xff\xda")),
		"as many as there can be": append(few[:len(few)-2:len(few)-2], bytes.Repeat([]byte("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x1f"), 900_000)...),
	} {
		_, err := d.Accept(t.Context(), bytes.NewReader(photo))
		var said interface{ Sentence() string }
		if !errors.Is(err, uploads.ErrTooHeavy) || !errors.As(err, &said) || !strings.Contains(said.Sentence(), "not progressive") {
			t.Errorf("%s: got %v, want ErrTooHeavy and what to do", name, err)
		}
	}
	if got := files(t, path); len(got) != 1 {
		t.Errorf("got %v, want one photo", got)
	}
}
