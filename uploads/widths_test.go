package uploads_test

import (
	"bytes"
	"context"
	"image/jpeg"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

func TestNarrowerCopies(t *testing.T) {
	d, path := given(t, nil)
	tests := map[string]struct {
		w, h   int
		query  string
		gw, gh int
		suffix string // of the ETag
	}{
		"400 of 1700":       {1700, 1020, "?w=400", 400, 240, "-400"},
		"800 of 1700":       {1700, 1020, "?w=800", 800, 480, "-800"},
		"1600 of 1700":      {1700, 1020, "?w=1600", 1600, 960, "-1600"},
		"400 of 401":        {401, 301, "?w=400", 400, 300, "-400"},
		"400 of 400":        {400, 300, "?w=400", 400, 300, ""},
		"800 of 500":        {500, 400, "?w=800", 500, 400, ""},
		"400 of a tall one": {600, 1800, "?w=400", 400, 1200, "-400"},
		"400 of a line":     {3000, 2, "?w=400", 400, 1, "-400"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := accept(t, d, jpegOf(quarters(test.w, test.h)))
			for range 2 { // made, then kept
				res := get(d, "/"+string(p.ID)+test.query)
				m, err := jpeg.Decode(res.Body)
				if err != nil || res.StatusCode != 200 {
					t.Fatalf("got status %d and %v", res.StatusCode, err)
				}
				if got := m.Bounds().Size(); got.X != test.gw || got.Y != test.gh {
					t.Errorf("got %v, want %d x %d", got, test.gw, test.gh)
				}
				if got := letters(m); test.h > 2 && got != "RGBW" {
					t.Errorf("got %s, want RGBW", got)
				}
				if got, want := res.Header.Get("ETag"), `"`+string(p.ID)+test.suffix+`"`; got != want {
					t.Errorf("got ETag %s, want %s", got, want)
				}
			}
		})
	}
	if info, err := os.ReadDir(filepath.Join(path, "w1600")); err != nil || len(info) != 2 {
		t.Errorf("got %v and %v in w1600, want the two photos that are wider", info, err)
	}
}

func TestCopiesAreMadeOnceHoweverManyAsk(t *testing.T) {
	d, _ := given(t, nil)
	p := accept(t, d, jpegOf(quarters(1700, 900)))
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			query := []string{"?w=400", "?w=800", "?w=1600"}[i%3]
			if got := get(d, "/"+string(p.ID)+query).StatusCode; got != 200 {
				t.Errorf("%s: got status %d", query, got)
			}
		})
	}
	wg.Wait()
	if got := d.Stats().Scaled; got != 1 {
		t.Errorf("scaled %d times, want once", got)
	}
}

// TestAnImpatientVisitorDoesNotSpoilTheCopy lets the visitor whose request makes
// the copies go away.
func TestAnImpatientVisitorDoesNotSpoilTheCopy(t *testing.T) {
	d, _ := given(t, nil)
	p := accept(t, d, jpegOf(quarters(1700, 900)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/"+string(p.ID)+"?w=400", nil)
	d.Handler(nil).ServeHTTP(httptest.NewRecorder(), r)
	if got := d.Stats().Scaled; got != 0 {
		t.Errorf("scaled %d times for nobody", got)
	}
	if got := get(d, "/"+string(p.ID)+"?w=400").StatusCode; got != 200 {
		t.Errorf("got status %d, want 200", got)
	}
}

func TestWithoutACopyThePhotoIsSent(t *testing.T) {
	free := int64(1 << 40)
	o := &uploads.Options{}
	o.WithFree(func() int64 { return free })
	d, path := given(t, o)
	p := accept(t, d, jpegOf(quarters(900, 600)))
	free = 0
	res := get(d, "/"+string(p.ID)+"?w=400")
	m, err := jpeg.Decode(res.Body)
	if err != nil || m.Bounds().Dx() != 900 {
		t.Errorf("got %v and %v, want the photo", res, err)
	}
	if h := res.Header; h.Get("Cache-Control") != "no-store" || h.Get("ETag") != "" {
		t.Errorf("got %v, want nothing that lasts", h)
	}
	if s := d.Stats(); s.ScaleFailed != 1 || s.Scaled != 0 {
		t.Errorf("got %+v, want one failure", s)
	}
	if got := files(t, path); len(got) != 1 {
		t.Errorf("left %v", got)
	}
	free = 1 << 40
	if got := get(d, "/"+string(p.ID)+"?w=400").Header.Get("ETag"); got == "" {
		t.Error("the copy is not made when there is room again")
	}
}

func TestSrcSet(t *testing.T) {
	for width, want := range map[int]string{
		4000: "/p?w=400 400w, /p?w=800 800w, /p?w=1600 1600w, /p 4000w",
		800:  "/p?w=400 400w, /p 800w",
		400:  "/p 400w",
		0:    "/p?w=400 400w, /p?w=800 800w, /p?w=1600 1600w",
	} {
		if got := uploads.SrcSet("/p", width); got != want {
			t.Errorf("%d: got %q, want %q", width, got, want)
		}
	}
}

func TestACopyIsNotMadeOfAPhotoThatIsDeletedMeanwhile(t *testing.T) {
	d, path := given(t, nil)
	p := accept(t, d, jpegOf(quarters(1700, 900)))
	var wg sync.WaitGroup
	wg.Go(func() { get(d, "/"+string(p.ID)+"?w=400") })
	wg.Go(func() {
		if err := d.Delete(p.ID); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	if got := files(t, path); len(got) != 1 || got[0] != "deleted/"+string(p.ID) {
		t.Errorf("got %v, want the tombstone alone", got)
	}
	if bytes.Contains([]byte(get(d, "/"+string(p.ID)).Status), []byte("200")) {
		t.Error("it is still served")
	}
}
