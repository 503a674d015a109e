package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

const (
	cloudKey    = "314159265358979"
	cloudSecret = "s3cret-of-the-operator"
)

// startCloud runs an image cloud until the test ends.
func startCloud(t testing.TB) (cloud *cloudinarytest.Server, account string) {
	t.Helper()
	cloud = cloudinarytest.New("demo", cloudKey, cloudSecret)
	server := httptest.NewServer(cloud)
	t.Cleanup(func() {
		server.CloseClientConnections() // also of those that hang
		server.Close()
	})
	return cloud, cloud.CloudinaryURL(server.URL)
}

// eventually waits for something that comes by itself.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	limit := time.NewTimer(2 * time.Minute) // far beyond a slow machine
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("it never came to: %s", what)
		}
	}
}

// staffPhotos returns the storage method of every entry by its address.
func (v *visitor) staffPhotos() map[string]string {
	v.t.Helper()
	var all struct {
		Submissions map[string][]struct{ ImageURL, StorageMethod string }
	}
	a := v.get("/api/submissions")
	if err := json.Unmarshal(a.Body, &all); err != nil {
		v.t.Fatalf("%v: %s", err, a)
	}
	methods := map[string]string{}
	for _, list := range all.Submissions {
		for _, e := range list {
			methods[e.ImageURL] = e.StorageMethod
		}
	}
	return methods
}

// gallery is a browser that has the feed open and loads its pictures.
type gallery struct {
	server    *server
	client    *http.Client // follows redirects, as a browser does
	loaded    atomic.Int64 // pictures
	fromCloud atomic.Int64 // of them, from the cloud
}

// look loads one picture of n in the feed, every one if n is 1, and tells of the
// first that is broken.
func (p *gallery) look(ctx context.Context, n int) error {
	body, _, err := p.load(ctx, p.server.url("/api/feed"))
	if err != nil {
		return err
	}
	var feed struct {
		Feed map[string][]struct{ ImageURL string }
	}
	if err := json.Unmarshal(body, &feed); err != nil {
		return err
	}
	for _, list := range feed.Feed {
		for _, e := range list {
			if rand.IntN(n) > 0 {
				continue
			}
			picture, from, err := p.load(ctx, p.server.url(e.ImageURL))
			if err != nil {
				return err
			}
			if !strings.HasPrefix(string(picture), "\xff\xd8\xff") {
				return fmt.Errorf("%s is no picture", e.ImageURL)
			}
			p.loaded.Add(1)
			if from != p.server.url(e.ImageURL) {
				p.fromCloud.Add(1)
			}
		}
	}
	return nil
}

// load returns what is at an address, and at which it was in the end.
func (p *gallery) load(ctx context.Context, url string) (body []byte, from string, err error) {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d", url, resp.StatusCode)
	}
	return body, resp.Request.URL.String(), err
}

// watch looks at some of the pictures again and again until stop is called. A
// picture that is broken in between fails the test.
func (p *gallery) watch(t testing.TB) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := p.look(ctx, 20); err != nil && ctx.Err() == nil {
				t.Errorf("an open page: %v", err)
				return
			}
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// TestTheOutageStory is the promise of the cloud, on the real process: 200
// photos while the cloud hangs, a kill, the cloud comes back, and then it lies.
func TestTheOutageStory(t *testing.T) {
	const photos = 200
	cloud, account := startCloud(t)
	dir := t.TempDir()
	env := []string{"CLOUDINARY_URL=" + account, "PHOTOS_FROM_CLOUD=true"}
	browser := &http.Client{Transport: new(http.Transport), Timeout: time.Minute}
	defer browser.CloseIdleConnections()

	// A cloud that never answers: whoever waits for it is not done before the end.
	cloud.Fail(cloudinarytest.Hang, -1)
	s := startProcess(t, dir, 0, env...)
	open := &gallery{server: s, client: browser}
	stop := open.watch(t)
	defer stop()
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			v := s.visitor()
			defer v.CloseIdleConnections()
			for i := range photos / 4 {
				n := 1 + sender*photos/4 + i
				contentType, body := newEntry(fmt.Sprint("photo ", n)).form(jpegPhoto(t, n))
				r, _ := http.NewRequest("POST", s.url("/api/submit"), strings.NewReader(string(body))) // a constant that parses
				r.Header.Set("Content-Type", contentType)
				if a, err := v.try(r); err != nil || a.Status != http.StatusCreated {
					t.Errorf("photo %d: %v, %s", n, err, a)
					return
				}
			}
		})
	}
	senders.Wait()
	eventually(t, "calls that hang", func() bool { return cloud.Requests() > 0 })
	if got := len(cloud.Photos()); got != 0 {
		t.Fatalf("%d photos are in a cloud that does not answer", got)
	}
	if err := open.look(t.Context(), 1); err != nil {
		t.Error(err)
	}
	stop()
	if open.loaded.Load() < photos || open.fromCloud.Load() != 0 {
		t.Errorf("%d pictures loaded, %d of them from a cloud that does not answer", open.loaded.Load(), open.fromCloud.Load())
	}
	s.left(syscall.SIGKILL)

	cloud.Recover()
	s = startProcess(t, dir, s.port, env...)
	open.server = s
	stop = open.watch(t)
	defer stop()
	organiser := s.organiser()
	defer organiser.CloseIdleConnections()
	eventually(t, "every photo in the cloud", func() bool { return len(cloud.Photos()) == photos })
	eventually(t, "every entry knows", func() bool {
		inCloud := 0
		for _, method := range organiser.staffPhotos() {
			if method == storageCloud {
				inCloud++
			}
		}
		return inCloud == photos
	})
	if err := open.look(t.Context(), 1); err != nil {
		t.Error(err)
	}
	stop()
	if got := open.fromCloud.Load(); got < photos {
		t.Errorf("%d pictures came from the cloud, want all %d in the end", got, photos)
	}
	for _, id := range cloud.Photos() {
		if n := cloud.Uploads(id); n != 1 {
			t.Errorf("photo %s was sent %d times", id, n)
		}
	}

	// It says 200, and means no.
	cloud.Fail(cloudinarytest.ErrorInside, -1)
	before := cloud.Requests()
	for n := range 5 {
		organiser.mustSubmit(newEntry("late"), jpegPhoto(t, photos+1+n))
	}
	eventually(t, "five refusals", func() bool { return cloud.Requests() >= before+5 })
	eventually(t, "degraded, and ready", func() bool {
		a := organiser.get("/ready")
		return a.Status == http.StatusOK && strings.Contains(string(a.Body), `"degraded":["cloud"]`)
	})
	here := 0
	for image, method := range organiser.staffPhotos() {
		if method == storageCloud {
			continue
		}
		here++
		if a := organiser.get(image); a.Status != http.StatusOK {
			t.Errorf("a photo that is here alone answers %d", a.Status)
		}
	}
	if here != 5 || len(cloud.Photos()) != photos {
		t.Errorf("%d photos are here alone and %d in the cloud, want 5 and %d", here, len(cloud.Photos()), photos)
	}
	if err := open.look(t.Context(), 1); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{cloudKey, cloudSecret, "s3cret"} {
		for _, path := range []string{"/ready", "/health", "/api/metrics", "/api/feed", "/"} {
			if strings.Contains(string(organiser.get(path).Body), secret) {
				t.Errorf("%s shows a secret of the account", path)
			}
		}
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log shows a secret of the account:\n%s", s.log)
		}
	}
}
