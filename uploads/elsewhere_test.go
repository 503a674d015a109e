package uploads_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/contestkit/contestkit/uploads"
)

// inTheCloud sends browsers to the cloud in the width that they ask for.
func inTheCloud(_ uploads.PhotoID, place string, width int) string {
	return fmt.Sprintf("%s?width=%d", place, width)
}

// ask sends a request to a handler that sends photos from elsewhere.
func ask(d *uploads.Dir, elsewhere func(uploads.PhotoID, string, int) string, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://host/", nil)
	r.URL, _ = url.ParseRequestURI(target)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.Handler(&uploads.HandlerOptions{Elsewhere: elsewhere}).ServeHTTP(w, r)
	return w.Result()
}

func TestAPhotoInTheCloudIsHadFromThere(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		p := accept(t, d, small(1))
		id := "/" + string(p.ID)
		run(t, uploads.NewSyncer(d, newCloud(), nil))
		synctest.Wait()
		for name, test := range map[string]struct {
			method, query string
			headers       []string
			want          string
		}{
			"the photo":     {"GET", "", nil, "?width=0"},
			"narrower":      {"GET", "?w=800", nil, "?width=800"},
			"its head":      {"HEAD", "", nil, "?width=0"},
			"a range":       {"GET", "", []string{"Range", "bytes=0-9"}, "?width=0"},
			"head, a range": {"HEAD", "?w=400", []string{"Range", "bytes=0-9"}, "?width=400"},
			"a photo had":   {"GET", "", []string{"If-None-Match", `"` + string(p.ID) + `"`}, "?width=0"},
		} {
			res := ask(d, inTheCloud, test.method, id+test.query, test.headers...)
			body, _ := io.ReadAll(res.Body)
			want := map[string]string{
				"Location":                "https://cloud" + id + test.want,
				"Cache-Control":           "public, max-age=60", // the cloud may go away
				"Etag":                    "",
				"X-Content-Type-Options":  "nosniff",
				"Content-Security-Policy": "sandbox; default-src 'none'",
			}
			for key, want := range want {
				if got := res.Header.Get(key); got != want {
					t.Errorf("%s: got %s %q, want %q", name, key, got, want)
				}
			}
			if res.StatusCode != http.StatusFound || len(body) != 0 {
				t.Errorf("%s: got status %d and %d bytes, want 302 and none", name, res.StatusCode, len(body))
			}
		}
		if got := d.Stats(); got.Redirected != 6 || got.Served != 0 {
			t.Errorf("%d redirected and %d served, want 6 and none", got.Redirected, got.Served)
		}
	})
}

func TestAPhotoIsSentFromHereUnlessTheCloudHasIt(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		there, gone := accept(t, d, small(1)).ID, accept(t, d, small(2)).ID
		run(t, uploads.NewSyncer(d, c, nil))
		synctest.Wait()
		c.fails(&uploads.RemoteError{Status: 503})
		here := accept(t, d, small(3)).ID
		if err := d.Delete(gone); err != nil {
			t.Fatal(err)
		}
		nowhere := func(uploads.PhotoID, string, int) string { return "" }
		for name, test := range map[string]struct {
			elsewhere func(uploads.PhotoID, string, int) string
			target    string
			want      int
		}{
			"not there":             {inTheCloud, "/" + string(here), 200},
			"not there, narrower":   {inTheCloud, "/" + string(here) + "?w=400", 200},
			"there, asked for here": {inTheCloud, "/" + string(there) + "?from=here", 200},
			"there, not wanted":     {nowhere, "/" + string(there), 200},
			"there, no option":      {nil, "/" + string(there), 200},
			"deleted here":          {inTheCloud, "/" + string(gone), 410}, // and not yet there
			"a width of ours not":   {inTheCloud, "/" + string(there) + "?w=401", 400},
			"none":                  {inTheCloud, "/deleted/" + string(there), 404},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				if got := ask(d, test.elsewhere, method, test.target); got.StatusCode != test.want || got.Header.Get("Location") != "" {
					t.Errorf("%s, %s: got status %d to %q, want %d", name, method, got.StatusCode, got.Header.Get("Location"), test.want)
				}
			}
			if test.want != 200 {
				continue
			}
			if got := ask(d, test.elsewhere, "GET", test.target, "Range", "bytes=0-9"); got.StatusCode != 206 {
				t.Errorf("%s: of a range, got status %d, want 206", name, got.StatusCode)
			}
		}
		if c.puts[here] != 0 {
			t.Error("the photo is there: this test asks for nothing")
		}
	})
}
