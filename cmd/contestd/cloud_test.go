package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

// openTestApp opens an app that does not listen, and closes it with the test.
func openTestApp(t *testing.T, cfg *config) *app {
	t.Helper()
	cfg.AdminUser, cfg.AdminPassword = "admin", testPassword
	a, err := openApp(t.Context(), cfg, newLogger(cfg, new(safeBuffer)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

// acceptPhoto puts a photo on disk that no entry names.
func acceptPhoto(t *testing.T, a *app, n int) contest.Photo {
	t.Helper()
	p, err := a.photos.Accept(t.Context(), strings.NewReader(string(jpegPhoto(t, n))))
	if err != nil {
		t.Fatal(err)
	}
	return photoOf(p)
}

// enter enters a photo.
func enter(t *testing.T, a *app, id contest.EntryID, photo contest.Photo) {
	t.Helper()
	cmd := contest.Submit{
		Meta: contest.Meta{By: "visitor", At: time.Now(), Request: contest.RequestID(id)}, ID: id, Category: "best", Caption: string(id), Name: "Ada", Phone: "1", Photo: photo, Fingerprint: string(id),
	}
	if _, err := a.store.Update(t.Context(), func(s *contest.State) ([]contest.Event, error) { return s.Submit(cmd) }); err != nil {
		t.Fatal(err)
	}
}

// storageOf returns the storage method of an entry.
func storageOf(a *app, id contest.EntryID) string {
	state, _ := a.store.State()
	e, _ := state.Entry(id)
	return e.Photo.Storage
}

func TestAPhotoInTheCloudIsNotedOnce(t *testing.T) {
	a := openTestApp(t, &config{StateDir: t.TempDir()})
	photo := acceptPhoto(t, a, 1)
	const place = "https://res.cloudinary.com/demo/image/upload/v1/a.jpg"
	if err := a.photoMoved(t.Context(), uploads.PhotoID(photo.ID), place); !errors.Is(err, contest.ErrUnknownPhoto) {
		t.Errorf("before the entry: got %v, want ErrUnknownPhoto, so that it is tried again", err)
	}
	enter(t, a, "one", photo)
	for range 2 {
		if err := a.photoMoved(t.Context(), uploads.PhotoID(photo.ID), place); err != nil {
			t.Error(err)
		}
	}
	if got := storageOf(a, "one"); got != storageCloud {
		t.Errorf("the storage method is %q", got)
	}
	if _, at := a.store.State(); at.Seq != 2 {
		t.Errorf("the store is at %d, want one entry and one place", at.Seq)
	}
}

func TestPhotosGoToTheCloudAndDeletionsToo(t *testing.T) {
	cloud, account := startCloud(t)
	a := openTestApp(t, &config{StateDir: t.TempDir(), CloudinaryURL: account, PhotosFromCloud: true})
	photo, orphan := acceptPhoto(t, a, 1), acceptPhoto(t, a, 2)
	// In the cloud before any entry: it is told of again.
	eventually(t, "both in the cloud", func() bool { return len(cloud.Photos()) == 2 })
	enter(t, a, "one", photo)
	eventually(t, "the entry knows", func() bool { return storageOf(a, "one") == storageCloud })

	w := ask(a, "GET", photo.URL+"?w=400")
	if at := w.Header().Get("Location"); w.Code != http.StatusFound || !strings.Contains(at, "/demo/image/upload/c_limit,f_auto,q_auto,w_400/") {
		t.Errorf("the photo answers %d to %q", w.Code, at)
	}
	origin, _, _ := strings.Cut(strings.TrimPrefix(w.Header().Get("Location"), "http://"), "/")
	if policy := ask(a, "GET", "/").Header().Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self' https://res.cloudinary.com http://"+origin+" blob:") {
		t.Errorf("pages may not load it: %q", policy)
	}

	if err := a.sweep(t.Context(), 0); err != nil {
		t.Error(err)
	}
	eventually(t, "what nobody entered is deleted", func() bool { return len(cloud.Photos()) == 1 })
	if cloud.Photo(string(photo.ID)) == nil || cloud.Photo(string(orphan.ID)) != nil {
		t.Errorf("left is %v, want the photo of the entry", cloud.Photos())
	}
}

// TestOnlyTheOperatorSendsBrowsersToTheCloud has a cloud for safety alone.
func TestOnlyTheOperatorSendsBrowsersToTheCloud(t *testing.T) {
	cloud, account := startCloud(t)
	a := openTestApp(t, &config{StateDir: t.TempDir(), CloudinaryURL: account})
	photo := acceptPhoto(t, a, 1)
	enter(t, a, "one", photo)
	eventually(t, "in the cloud", func() bool { return len(cloud.Photos()) == 1 && storageOf(a, "one") == storageCloud })
	if w := ask(a, "GET", photo.URL); w.Code != http.StatusOK {
		t.Errorf("the photo answers %d", w.Code)
	}
}

// TestAnEarlierStateLearnsAgainWhereItsPhotosAre is about a restore: the mirror
// has told of the photo, and the state has forgotten.
func TestAnEarlierStateLearnsAgainWhereItsPhotosAre(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	s.visitor().mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	if err := s.stop(); err != nil { // saves
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data", "data.json")
	before, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	cloud, account := startCloud(t)
	t.Setenv("CLOUDINARY_URL", account)
	for range 2 {
		s = startServer(t, dir, 0)
		organiser := s.organiser()
		eventually(t, "the entry knows", func() bool {
			for _, method := range organiser.staffPhotos() {
				return method == storageCloud
			}
			return false
		})
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(data, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if id := cloud.Photos()[0]; cloud.Uploads(id) != 1 {
		t.Errorf("it was sent %d times", cloud.Uploads(id))
	}
}

func TestACloudThatDoesNotWorkIsDegradedAndReady(t *testing.T) {
	cloud, account := startCloud(t)
	a := openTestApp(t, &config{StateDir: t.TempDir(), CloudinaryURL: account})
	type answer struct {
		Ready    bool
		Degraded []string
		Reason   string
		Cloud    *struct {
			Working         bool
			Pending, Parked int
		}
	}
	get := func(path string) (x answer) {
		w := ask(a, "GET", path)
		if w.Code != http.StatusOK {
			t.Errorf("%s answers %d", path, w.Code)
		}
		text := w.Body.String()
		if err := json.Unmarshal([]byte(text), &x); err != nil {
			t.Fatal(err)
		}
		for _, private := range []string{cloudKey, cloudSecret, "s3cret", "demo", a.cfg.StateDir, "127.0.0.1", "Signature"} {
			if strings.Contains(text, private) {
				t.Errorf("%s shows %q: %s", path, private, text)
			}
		}
		return x
	}
	for _, path := range []string{"/ready", "/health", "/api/metrics"} {
		if got := get(path); got.Cloud == nil || !got.Cloud.Working || got.Degraded != nil {
			t.Errorf("%s says %+v of a cloud that works", path, got)
		}
	}

	cloud.Fail(cloudinarytest.Unauthorized, -1)
	enter(t, a, "one", acceptPhoto(t, a, 1))
	eventually(t, "parked", func() bool { return get("/ready").Cloud.Parked == 1 })
	if got := get("/ready"); !got.Ready || len(got.Degraded) != 1 || got.Degraded[0] != "cloud" || !strings.Contains(got.Reason, "the log says why") {
		t.Errorf("refused, /ready says %+v", got)
	}

	cloud.Recover()
	cloud.Fail(cloudinarytest.Unavailable, -1)
	for n := range 5 {
		acceptPhoto(t, a, 2+n)
	}
	eventually(t, "an outage", func() bool { return !get("/ready").Cloud.Working })
	if got := get("/ready"); !got.Ready || len(got.Degraded) != 1 || !strings.Contains(got.Reason, "does not work") {
		t.Errorf("in an outage /ready says %+v", got)
	}
	for _, path := range []string{"/health", "/api/metrics"} {
		if got := get(path); got.Cloud.Working || got.Cloud.Pending != 5 || got.Cloud.Parked != 1 {
			t.Errorf("in an outage %s says %+v", path, *got.Cloud)
		}
	}
}

func TestWithoutACloudNothingIsSaidOfIt(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	v := s.visitor()
	v.mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	for _, path := range []string{"/ready", "/health", "/api/metrics"} {
		if a := v.get(path); a.json(t)["cloud"] != nil || a.json(t)["degraded"] != nil {
			t.Errorf("%s answers %s", path, a)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if log := s.log.String(); strings.Contains(log, "cloud") || strings.Contains(log, "level=WARN") {
		t.Errorf("the log has\n%s", log)
	}
}

// TestShutdownDoesNotWaitForTheCloud ends a server whose photos hang on their way.
func TestShutdownDoesNotWaitForTheCloud(t *testing.T) {
	cloud, account := startCloud(t)
	cloud.Fail(cloudinarytest.Hang, -1)
	t.Setenv("CLOUDINARY_URL", account)
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	s.visitor().mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	eventually(t, "a call that hangs", func() bool { return cloud.Requests() > 0 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if log := s.log.String(); !strings.Contains(log, "Application shutdown complete") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has\n%s", log)
	}
	cloud.Recover()
	startServer(t, dir, 0)
	eventually(t, "the photo in the cloud after the next start", func() bool { return len(cloud.Photos()) == 1 })
}

// TestShutdownDoesNotWaitForADeletion ends a server whose deletion hangs in the cloud.
func TestShutdownDoesNotWaitForADeletion(t *testing.T) {
	cloud, account := startCloud(t)
	dir := t.TempDir()
	a := openTestApp(t, &config{StateDir: dir, CloudinaryURL: account})
	orphan := acceptPhoto(t, a, 1)
	eventually(t, "the photo in the cloud", func() bool { return len(cloud.Photos()) == 1 })
	cloud.Fail(cloudinarytest.Hang, -1)
	before := cloud.Requests()
	if err := a.sweep(t.Context(), 0); err != nil || a.has(orphan) {
		t.Fatalf("the photo that nobody entered is not swept: %v", err)
	}
	eventually(t, "a deletion that hangs", func() bool { return cloud.Requests() > before })
	if err := a.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	cloud.Recover()
	openTestApp(t, &config{StateDir: dir, CloudinaryURL: account})
	eventually(t, "the photo deleted after the next start", func() bool { return len(cloud.Photos()) == 0 })
}
