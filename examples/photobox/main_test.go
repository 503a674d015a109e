package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

// start runs the program until the test ends or stop is called.
func start(t *testing.T, dir string) (url string, stop func()) {
	t.Helper()
	t.Setenv("CLOUDINARY_URL", "")
	t.Setenv("CLOUDINARY_CLOUD_NAME", "")
	t.Setenv("CLOUDINARY_API_KEY", "")
	t.Setenv("CLOUDINARY_API_SECRET", "")
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, in, "127.0.0.1:0", dir) }()
	b := make([]byte, 100)
	n, err := out.Read(b)
	url, found := strings.CutPrefix(strings.TrimSpace(string(b[:n])), "open ")
	if err != nil || !found {
		t.Fatalf("it says %q, %v", b[:n], err)
	}
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
	}
	t.Cleanup(stop)
	return url, stop
}

func call(t *testing.T, method, url, kind string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

type shownState struct {
	Photos []item
	Sync   uploads.SyncStats
	Off    bool
}

// until waits for a state of the page.
func until(t *testing.T, url string, done func(shownState) bool) (s shownState) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for {
		_, body := call(t, "GET", url+"/state", "", nil)
		s = shownState{}
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if done(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it does not happen: %+v", s)
		}
	}
}

func TestPhotosGoToTheCloudWhenThatIsOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "photos")
	url, stop := start(t, dir)
	send := func(width int) string {
		t.Helper()
		var b bytes.Buffer
		if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, 40)), nil); err != nil {
			t.Fatal(err)
		}
		status, id := call(t, "POST", url+"/upload", "image/jpeg", &b)
		if status != http.StatusCreated {
			t.Fatalf("got %d %s", status, id)
		}
		return id
	}
	form := "application/x-www-form-urlencoded"
	first := send(50)
	s := until(t, url, func(s shownState) bool { return len(s.Photos) == 1 && s.Photos[0].Place != "" })
	if status, _ := call(t, "GET", s.Photos[0].Place, "", nil); status != http.StatusOK {
		t.Errorf("the cloud answers %d", status)
	}
	if status, _ := call(t, "POST", url+"/cloud", form, strings.NewReader("off=true")); status != http.StatusNoContent {
		t.Errorf("switching off: %d", status)
	}
	second := send(60)
	s = until(t, url, func(s shownState) bool { return s.Sync.LastError != "" && s.Off })
	if len(s.Photos) != 2 || string(s.Photos[0].ID) != second || s.Photos[0].Place != "" {
		t.Errorf("got %+v, want the second on top, here only", s.Photos)
	}
	if status, _ := call(t, "GET", url+"/photos/"+second, "", nil); status != http.StatusOK {
		t.Errorf("the page gets %d", status)
	}
	call(t, "POST", url+"/cloud", form, strings.NewReader("off=false"))
	call(t, "DELETE", url+"/photos/"+first, "", nil)
	until(t, url, func(s shownState) bool { return s.Sync.Pending <= 1 && len(s.Photos) == 1 && s.Photos[0].Place != "" })

	if status, says := call(t, "POST", url+"/upload", "image/jpeg", strings.NewReader("text")); status != 415 || !strings.Contains(says, "not a photo") {
		t.Errorf("got %d %s", status, says)
	}
	stop() // a new run has a new cloud
	url, _ = start(t, dir)
	until(t, url, func(s shownState) bool { return len(s.Photos) == 1 && s.Photos[0].Place != "" })
}

func TestPage(t *testing.T) {
	url, _ := start(t, filepath.Join(t.TempDir(), "photos"))
	for path, kind := range map[string]string{"/": "text/html", "/page.js": "text/javascript", "/style.css": "text/css"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("%s: %v", path, resp.Header)
		}
		if path == "/" && regexp.MustCompile(`<script[^>]*>[^<]|<style| style=| on[a-z]+=`).Match(b) {
			t.Error("the page has scripts or styles inside, which its policy forbids")
		}
	}
}
