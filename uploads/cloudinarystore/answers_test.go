package cloudinarystore_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads"
	"github.com/contestkit/contestkit/uploads/cloudinarystore"
)

// answering opens a cloud that notes what it is asked and says one thing.
func answering(t *testing.T, status int, header http.Header, body string) (*cloudinarystore.Store, *url.Values) {
	t.Helper()
	asked := &url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.ParseMultipartForm(1 << 20)
		*asked = r.PostForm
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	u := url.URL{Scheme: "cloudinary", User: url.UserPassword(key, secret), Host: "demo", RawQuery: "upload_prefix=" + server.URL}
	store, err := cloudinarystore.New(u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close(); server.Close() })
	return store, asked
}

func TestWhatIsAsked(t *testing.T) {
	d := folder(t)
	id := photo(t, d, 0)
	store, asked := answering(t, 200, nil, fmt.Sprintf(`{"public_id":%q,"secure_url":"https://c/%s.jpg","result":"ok"}`, id, id))
	if _, err := store.Put(t.Context(), id, open(t, d, id)); err != nil {
		t.Fatal(err)
	}
	if asked.Get("public_id") != string(id) || asked.Get("overwrite") != "false" {
		t.Errorf("Put asks for %v, want its id, and what is there to be left", asked)
	}
	if err := store.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if asked.Get("public_id") != string(id) || asked.Get("invalidate") != "true" {
		t.Errorf("Delete asks for %v, want its id, and copies to go too", asked)
	}
}

// TestAnswersThatDoNotFit are no success, whatever their status.
func TestAnswersThatDoNotFit(t *testing.T) {
	d := folder(t)
	id := photo(t, d, 0)
	other := photo(t, d, 1)
	for name, body := range map[string]string{
		"of another photo":   fmt.Sprintf(`{"public_id":%q,"secure_url":"https://c/%s.jpg"}`, other, id),
		"at another place":   fmt.Sprintf(`{"public_id":%q,"secure_url":"https://c/%s.jpg"}`, id, other),
		"at no place":        fmt.Sprintf(`{"public_id":%q}`, id),
		"at a path":          fmt.Sprintf(`{"public_id":%q,"secure_url":"/%s.jpg"}`, id, id),
		"that is too long":   fmt.Sprintf(`{"x":"%s","public_id":%q,"secure_url":"https://c/%s.jpg","result":"ok"}`, strings.Repeat("x", 1<<20), id, id),
		"that is half right": fmt.Sprintf(`{"public_id":%q,"secure_url":"https://c/%s.jpg","result":"error"}`[:60], id, id),
	} {
		store, _ := answering(t, 200, nil, body)
		var e *uploads.RemoteError
		if place, err := store.Put(t.Context(), id, open(t, d, id)); !errors.As(err, &e) || e.Permanent() {
			t.Errorf("Put, %s: got %q and %v, want to try again", name, place, err)
		}
		if err := store.Delete(t.Context(), id); !errors.As(err, &e) || e.Permanent() {
			t.Errorf("Delete, %s: got %v, want to try again", name, err)
		}
	}
}

// TestOnlyStatus200IsASuccess, however well the rest of the answer looks.
func TestOnlyStatus200IsASuccess(t *testing.T) {
	d := folder(t)
	id := photo(t, d, 0)
	for _, status := range []int{202, 302, 503} {
		store, _ := answering(t, status, nil, fmt.Sprintf(`{"public_id":%q,"secure_url":"https://c/%s.jpg","result":"ok"}`, id, id))
		var e *uploads.RemoteError
		if place, err := store.Put(t.Context(), id, open(t, d, id)); !errors.As(err, &e) || e.Status != status {
			t.Errorf("Put: got %q and %v, want status %d", place, err, status)
		}
		if err := store.Delete(t.Context(), id); !errors.As(err, &e) || e.Status != status {
			t.Errorf("Delete: got %v, want status %d", err, status)
		}
	}
}

func TestHowLongToWait(t *testing.T) {
	d := folder(t)
	id := photo(t, d, 0)
	soon := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	past := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	const hour = time.Hour
	for name, test := range map[string]struct {
		header http.Header
		want   time.Duration // at most, and more than half an hour less
	}{
		"seconds":            {http.Header{"Retry-After": {"3600"}}, hour},
		"a time":             {http.Header{"Retry-After": {soon}}, hour},
		"a time in the past": {http.Header{"Retry-After": {past}}, 0},
		"less than nothing":  {http.Header{"Retry-After": {"-5"}}, 0},
		"nonsense":           {http.Header{"Retry-After": {"soon"}}, 0},
		"nothing":            {nil, 0},
		"Cloudinary's own":   {http.Header{"X-Featureratelimit-Remaining": {"0"}, "X-Featureratelimit-Reset": {soon}}, hour},
		"its own, past":      {http.Header{"X-Featureratelimit-Remaining": {"0"}, "X-Featureratelimit-Reset": {past}}, 0},
		"some remain":        {http.Header{"X-Featureratelimit-Remaining": {"1"}, "X-Featureratelimit-Reset": {soon}}, 0},
	} {
		for _, body := range []string{"", `{"error":{"message":"Rate Limit Exceeded"}}`} {
			store, _ := answering(t, 429, test.header, body)
			_, err := store.Put(t.Context(), id, open(t, d, id))
			var e *uploads.RemoteError
			if !errors.As(err, &e) || e.RetryAfter > test.want || e.RetryAfter < max(0, test.want-hour/2) {
				t.Errorf("%s: got %v, which waits %v, want %v", name, err, e.RetryAfter, test.want)
			}
		}
	}
}

// TestWhatTheCloudSaysIsFitToBeShown also when it shows what it was sent.
func TestWhatTheCloudSaysIsFitToBeShown(t *testing.T) {
	d := folder(t)
	id := photo(t, d, 0)
	for _, said := range []string{
		"no: " + secret, "no: " + url.QueryEscape(secret), "no: " + key, `no:\nnever`, `no\tat\u0007all`,
		"no " + strings.Repeat("ä", 1000),
	} {
		store, _ := answering(t, 400, nil, `{"error":{"message":"`+said+`"}}`)
		_, err := store.Put(t.Context(), id, open(t, d, id))
		var e *uploads.RemoteError
		if !errors.As(err, &e) || !strings.HasPrefix(e.Message, "no") {
			t.Fatalf("got %v, want what was said", err)
		}
		clean(t, err.Error())
		if strings.ContainsAny(e.Message, "\t\a") || strings.Contains(e.Message, url.QueryEscape(secret)) || len([]rune(e.Message)) > 201 {
			t.Errorf("got %q", e.Message)
		}
	}
}
