package uploads_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

// given opens a folder that closes with the test.
func given(t testing.TB, options *uploads.Options) (*uploads.Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "uploads")
	d, err := uploads.OpenDir(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, path
}

func accept(t testing.TB, d *uploads.Dir, photo []byte) uploads.Photo {
	t.Helper()
	p, err := d.Accept(t.Context(), bytes.NewReader(photo))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stored returns the bytes of a photo.
func stored(t testing.TB, d *uploads.Dir, id uploads.PhotoID) []byte {
	t.Helper()
	f, err := d.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shown returns the picture of a photo.
func shown(t testing.TB, d *uploads.Dir, id uploads.PhotoID) image.Image {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(stored(t, d, id)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// files returns the name of every file in a folder, and checks that those of
// photos are the hash of what is in them.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		names = append(names, name)
		if id, ok := strings.CutSuffix(name, ".jpg"); ok && len(id) == 64 {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != id {
				t.Errorf("%s is not the hash of its contents", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// near tells whether two colours are the same but for JPEG.
func near(a, b color.Color) bool {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	for _, d := range []int{int(r1>>8) - int(r2>>8), int(g1>>8) - int(g2>>8), int(b1>>8) - int(b2>>8)} {
		if d < -24 || d > 24 {
			return false
		}
	}
	return true
}

// letters names the colours in the middle of the four quarters: red, green,
// blue, white, black as K, yellow.
func letters(m image.Image) string {
	b := m.Bounds()
	var s strings.Builder
	for y := range 2 {
		for x := range 2 {
			c := m.At(b.Min.X+(2*x+1)*b.Dx()/4, b.Min.Y+(2*y+1)*b.Dy()/4)
			letter := byte('?')
			for l, want := range map[byte]color.Color{'R': red, 'G': green, 'B': blue, 'W': white, 'K': black, 'Y': yellow} {
				if near(c, want) {
					letter = l
				}
			}
			s.WriteByte(letter)
		}
	}
	return s.String()
}

// get asks the handler.
func get(d *uploads.Dir, target string, headers ...string) *http.Response {
	return do(d, http.MethodGet, target, headers...)
}

func do(d *uploads.Dir, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://host/", nil)
	r.URL, _ = url.ParseRequestURI(target)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.Handler(nil).ServeHTTP(w, r)
	return w.Result()
}

// removeGrave forgets that a photo was deleted.
func removeGrave(t testing.TB, dir string, id uploads.PhotoID) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "deleted", string(id))); err != nil {
		t.Fatal(err)
	}
}

// removeWidths removes the narrower copies of a photo.
func removeWidths(t testing.TB, dir string, id uploads.PhotoID) {
	t.Helper()
	for _, w := range uploads.Widths() {
		name := filepath.Join(dir, fmt.Sprint("w", w), string(id)+".jpg")
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// until waits for something outside of the program.
func until(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it does not happen")
		}
	}
}
