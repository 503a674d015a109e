package cloudinarystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/contestkit/contestkit/uploads"
	"github.com/contestkit/contestkit/uploads/cloudinarystore"
	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key    = "314159265358979"
	secret = "s3cret-&%/of-the-operator"
)

// given starts a cloud and opens it.
func given(t *testing.T) (*cloudinarytest.Server, *cloudinarystore.Store) {
	t.Helper()
	cloud := cloudinarytest.New("demo", key, secret)
	server := httptest.NewServer(cloud)
	store, err := cloudinarystore.New(cloud.CloudinaryURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		server.CloseClientConnections() // also of those that hang
		server.Close()
	})
	return cloud, store
}

func folder(t *testing.T) *uploads.Dir {
	t.Helper()
	d, err := uploads.OpenDir(filepath.Join(t.TempDir(), "uploads"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// photo stores one of many photos.
func photo(t *testing.T, d *uploads.Dir, n int) uploads.PhotoID {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 8+n, 8))
	m.SetGray(1, 1, color.Gray{Y: 200})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	p, err := d.Accept(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// noise stores a photo of a megabyte.
func noise(t *testing.T, d *uploads.Dir) uploads.PhotoID {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 1200, 1200))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32())
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	p, err := d.Accept(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return p.ID
}

func open(t *testing.T, d *uploads.Dir, id uploads.PhotoID) *os.File {
	t.Helper()
	f, err := d.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAPhotoGoesThereAndBack(t *testing.T) {
	cloud, store := given(t)
	d := folder(t)
	id := photo(t, d, 0)
	for range 2 { // again changes nothing
		place, err := store.Put(t.Context(), id, open(t, d, id))
		if err != nil || !strings.HasSuffix(place, "/demo/image/upload/v1795500000/"+string(id)+".jpg") {
			t.Fatalf("got %q and %v", place, err)
		}
	}
	want, err := io.ReadAll(open(t, d, id))
	if err != nil || !bytes.Equal(cloud.Photo(string(id)), want) {
		t.Errorf("it is another photo there, %v", err)
	}
	for range 2 { // what is not there is deleted
		if err := store.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if got := cloud.Photos(); len(got) != 0 {
		t.Errorf("left %v", got)
	}
	if store.Name() != "cloudinary:demo" {
		t.Errorf("the name is %q", store.Name())
	}
}

func TestEveryFailureIsOneAndHasItsStatus(t *testing.T) {
	var logged lines
	log.SetOutput(&logged) // the SDK's way
	defer log.SetOutput(os.Stderr)
	defer func() {
		if logged.String() != "" {
			t.Errorf("the program's log got %s", logged.String())
		}
	}()
	d := folder(t)
	id := noise(t, d) // more than the buffers of a connection take
	status := map[cloudinarytest.Failure]int{
		cloudinarytest.BadRequest: 400, cloudinarytest.Unauthorized: 401, cloudinarytest.TooLarge: 413,
		cloudinarytest.EnhanceYourCalm: 420, cloudinarytest.Locked: 423, cloudinarytest.TooMany: 429,
		cloudinarytest.InternalError: 500, cloudinarytest.BadGateway: 502, cloudinarytest.Unavailable: 503,
		cloudinarytest.Hang: 0, cloudinarytest.SlowBody: 200, cloudinarytest.Cut: 200, cloudinarytest.ErrorInside: 200,
		cloudinarytest.Empty: 200, cloudinarytest.SaysNothing: 200, cloudinarytest.Redirect: 302,
	}
	for _, f := range cloudinarytest.Failures() {
		want, known := status[f]
		if !known {
			t.Errorf("%s is not in the table", f)
		}
		for _, verb := range []string{"put", "delete"} {
			t.Run(string(f)+"/"+verb, func(t *testing.T) {
				cloud, store := given(t)
				cloud.Fail(f, -1)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if f == cloudinarytest.Hang || f == cloudinarytest.SlowBody {
					ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
					defer cancel()
				}
				var err error
				if verb == "put" {
					_, err = store.Put(ctx, id, open(t, d, id))
				} else {
					err = store.Delete(ctx, id)
				}
				var e *uploads.RemoteError
				if !errors.As(err, &e) || e.Status != want && f != cloudinarytest.SlowBody { // which a slow machine may not see begin
					t.Fatalf("got %v, want status %d", err, want)
				}
				if permanent := want == 400 || want == 401 || want == 413; e.Permanent() != permanent {
					t.Errorf("%v: permanent is %v", err, e.Permanent())
				}
				if f == cloudinarytest.TooMany && e.RetryAfter != cloudinarytest.RetryAfter {
					t.Errorf("Retry-After is %v, want %v", e.RetryAfter, cloudinarytest.RetryAfter)
				}
				if ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want it to be the deadline's", err)
				}
				clean(t, err.Error())
			})
		}
	}
}

// TestASuccessForSomethingElseIsNone has answers with status 200 that are no news
// of the photo that was sent.
func TestASuccessForSomethingElseIsNone(t *testing.T) {
	d := folder(t)
	id := photo(t, d, 0)
	other := strings.Repeat("0", 64)
	var answer atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, answer.Load().(string))
	}))
	defer server.Close()
	store, err := cloudinarystore.New(cloudinarytest.New("demo", key, secret).CloudinaryURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	put := func(public, place string) error {
		answer.Store(fmt.Sprintf(`{"public_id":%q,"secure_url":%q}`, public, place))
		_, err := store.Put(t.Context(), id, open(t, d, id))
		return err
	}
	good := "https://res.cloudinary.com/demo/image/upload/v1/" + string(id) + ".jpg"
	if err := put(string(id), good); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ public, place string }{
		"another photo":              {other, strings.Replace(good, string(id), other, 1)},
		"another id":                 {other, good},
		"the address of another":     {string(id), strings.Replace(good, string(id), other, 1)},
		"no id":                      {"", good},
		"no address":                 {string(id), ""},
		"an address that runs":       {string(id), "javascript:alert(1)//" + string(id)},
		"an address of another kind": {string(id), strings.Replace(good, "https", "ftp", 1)},
		"an address without a host":  {string(id), "/demo/image/upload/" + string(id) + ".jpg"},
		"an address with a password": {string(id), strings.Replace(good, "//", "//me:pass@", 1)},
		"an address without an end":  {string(id), good + strings.Repeat("x", 3000)},
		"two lines":                  {string(id), good + "\r\nX: y"},
	} {
		var e *uploads.RemoteError
		if err := put(test.public, test.place); !errors.As(err, &e) || e.Permanent() {
			t.Errorf("%s: got %v, want a failure that is tried again", name, err)
		}
	}
	for _, text := range []string{`{"public_id":"` + other + `"}`, `{"result":"pending"}`, `{"result":["ok"]}`, `{"error":null}`,
		`{"error":[]}`, `{"error":"x"}`, `null`, `[]`, `0`, `"ok"`, `<html>`} {
		answer.Store(text)
		var e *uploads.RemoteError
		if err := store.Delete(t.Context(), id); !errors.As(err, &e) || e.Permanent() {
			t.Errorf("delete, %s: got %v, want a failure that is tried again", text, err)
		}
		if _, err := store.Put(t.Context(), id, open(t, d, id)); !errors.As(err, &e) || e.Permanent() {
			t.Errorf("put, %s: got %v, want a failure that is tried again", text, err)
		}
	}
}

// clean checks that a text for people holds nothing secret.
func clean(t *testing.T, text string) {
	t.Helper()
	for _, s := range []string{secret, key, "s3cret", "0123456789abcdef0123456789abcdef01234567", "String to sign", "\n"} {
		if strings.Contains(text, s) {
			t.Errorf("%q contains %q", text, s)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	store, err := cloudinarystore.New("cloudinary://" + key + ":s3cret@demo?upload_prefix=" + server.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := folder(t)
	id := photo(t, d, 0)
	var e *uploads.RemoteError
	if _, err := store.Put(t.Context(), id, open(t, d, id)); !errors.As(err, &e) || e.Status != 0 {
		t.Errorf("got %v", err)
	}
}

func TestConfiguration(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	three := []string{"CLOUDINARY_CLOUD_NAME", "demo", "CLOUDINARY_API_KEY", key, "CLOUDINARY_API_SECRET", secret}
	for _, vars := range [][]string{three, {"CLOUDINARY_URL", "cloudinary://1:2@demo"}} {
		store, err := cloudinarystore.FromEnvironment(env(vars...))
		if err != nil || store.Name() != "cloudinary:demo" {
			t.Errorf("%v: got %v", vars, err)
		}
	}
	if _, err := cloudinarystore.FromEnvironment(env()); !errors.Is(err, cloudinarystore.ErrNotConfigured) {
		t.Errorf("got %v, want ErrNotConfigured", err)
	}
	for _, vars := range [][]string{
		three[:4], three[2:],
		{"CLOUDINARY_URL", "cloudinary://" + key + ":s3cret@de mo"},
		{"CLOUDINARY_URL", "cloudinary://" + key + ":s3cret%zz@demo"},
		{"CLOUDINARY_URL", "https://" + key + ":s3cret@demo"},
		{"CLOUDINARY_URL", "cloudinary://" + key + ":s3cret@"},
		{"CLOUDINARY_URL", "cloudinary://s3cret@demo"},
		{"CLOUDINARY_URL", "cloudinary://<your_api_key>:<your_api_secret>@demo"},
		{"CLOUDINARY_CLOUD_NAME", "s3cret!", "CLOUDINARY_API_KEY", key, "CLOUDINARY_API_SECRET", secret},
		{"CLOUDINARY_URL", "cloudinary://" + key + ":s3cret@demo?timeout=s3cret"},
	} {
		_, err := cloudinarystore.FromEnvironment(env(vars...))
		if err == nil || errors.Is(err, cloudinarystore.ErrNotConfigured) {
			t.Errorf("%v: got %v", vars, err)
			continue
		}
		clean(t, err.Error())
	}
}

func TestOrigins(t *testing.T) {
	const shared = "https://res.cloudinary.com"
	for query, want := range map[string][]string{
		"":                                     {shared},
		"?private_cdn=true":                    {shared, "https://demo-res.cloudinary.com"},
		"?secure_cname=img.example.com":        {shared, "https://img.example.com"},
		"?upload_prefix=http://127.0.0.1:4000": {shared, "http://127.0.0.1:4000"},
		"?upload_prefix=https://api-eu.cloudinary.com": {shared},
	} {
		store, err := cloudinarystore.New("cloudinary://1:2@demo" + query)
		if err != nil {
			t.Fatal(err)
		}
		if got := store.Origins(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestSized(t *testing.T) {
	const place = "https://res.cloudinary.com/demo/image/upload/v1/ab.jpg"
	for width, want := range map[int]string{
		0:   "https://res.cloudinary.com/demo/image/upload/f_auto,q_auto/v1/ab.jpg",
		800: "https://res.cloudinary.com/demo/image/upload/c_limit,f_auto,q_auto,w_800/v1/ab.jpg",
	} {
		if got := cloudinarystore.Sized(place, width); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := cloudinarystore.Sized("/elsewhere", 800); got != "/elsewhere" {
		t.Errorf("got %s", got)
	}
}

// lines is a log that may be written from anywhere.
type lines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestTheOutageOverRealConnections sends photos through every failure to a cloud
// that is well in the end, with a restart in the middle. Everything that is
// logged or shown on the way is searched for secrets.
func TestTheOutageOverRealConnections(t *testing.T) {
	cloud, store := given(t)
	d := folder(t)
	var logged lines
	log.SetOutput(&logged) // the SDK's way
	defer log.SetOutput(os.Stderr)
	options := &uploads.SyncOptions{
		Logger:     slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Timeout:    300 * time.Millisecond,
		RetryStart: time.Millisecond, RetryMax: 20 * time.Millisecond,
		BreakFor: 10 * time.Millisecond,
	}
	for _, f := range cloudinarytest.Failures() {
		if f != cloudinarytest.TooMany { // it would be obeyed for seven seconds
			cloud.Fail(f, 2)
		}
	}
	var said []string
	mirror := func(until func(uploads.SyncStats) bool) {
		t.Helper()
		s := uploads.NewSyncer(d, store, options)
		ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for stats := s.Stats(); !until(stats); stats = s.Stats() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("it does not come to an end: %+v", stats)
			}
			said = append(said, stats.LastError, fmt.Sprint(s.Parked()))
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	var photos []uploads.PhotoID
	for i := range 40 {
		photos = append(photos, photo(t, d, i))
	}
	// 30 calls fail; with those on their way at the end, none of them succeeds yet.
	mirror(func(s uploads.SyncStats) bool { return s.Failures > 25 })
	cloud.Recover()
	options.Timeout = 30 * time.Second // a slow machine is no failure
	mirror(func(s uploads.SyncStats) bool { return len(cloud.Photos()) == 40 && s.Pending == 0 && s.Parked == 0 })
	again := 0
	for _, id := range photos {
		place, err := d.Place(id)
		if err != nil || !strings.Contains(place, string(id)) {
			t.Errorf("%s is at %q, %v", id, place, err)
		}
		again += cloud.Uploads(string(id)) - 1
	}
	if again != 0 {
		t.Errorf("%d were uploaded again", again)
	}
	for _, text := range append(said, strings.ReplaceAll(logged.String(), "\n", " ")) {
		clean(t, text)
	}
	if !strings.Contains(logged.String(), `not mirrored at the moment" remote=cloudinary:demo error="the remote`) {
		t.Errorf("why there is an outage was not logged:\n%s", logged.String())
	}
	if !strings.Contains(logged.String(), "Invalid Signature") {
		t.Errorf("the refusal was not logged:\n%s", logged.String())
	}
}
