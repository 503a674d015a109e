package uploads_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

func TestHandlerServesAPhotoAndNothingElse(t *testing.T) {
	d, _ := given(t, nil)
	p := accept(t, d, jpegOf(quarters(500, 300)))
	gone := accept(t, d, jpegOf(quarters(64, 64)))
	if err := d.Delete(gone.ID); err != nil {
		t.Fatal(err)
	}
	id, all := string(p.ID), stored(t, d, p.ID)
	tag := `"` + id + `"`
	tests := map[string]struct {
		method, target string
		headers        []string
		status         int
		body           string // when it is a photo
	}{
		"the photo":              {"GET", "/" + id, nil, 200, string(all)},
		"other queries":          {"GET", "/" + id + "?v=2", nil, 200, string(all)},
		"its head":               {"HEAD", "/" + id, nil, 200, ""},
		"the first bytes":        {"GET", "/" + id, []string{"Range", "bytes=0-9"}, 206, string(all[:10])},
		"the last bytes":         {"GET", "/" + id, []string{"Range", "bytes=-5"}, 206, string(all[len(all)-5:])},
		"a range behind the end": {"GET", "/" + id, []string{"Range", "bytes=99999999-"}, 416, ""},
		"a range of this tag":    {"GET", "/" + id, []string{"Range", "bytes=0-9", "If-Range", tag}, 206, string(all[:10])},
		"a range of another tag": {"GET", "/" + id, []string{"Range", "bytes=0-9", "If-Range", `"x"`}, 200, string(all)},
		"nothing new":            {"GET", "/" + id, []string{"If-None-Match", tag}, 304, ""},
		"nothing new, in a list": {"GET", "/" + id, []string{"If-None-Match", `"x", W/` + tag}, 304, ""},
		"another tag":            {"GET", "/" + id, []string{"If-None-Match", `"x"`}, 200, string(all)},
		"a width it has not":     {"GET", "/" + id + "?w=800", nil, 200, string(all)},

		"deleted":             {"GET", "/" + string(gone.ID), nil, 410, ""},
		"deleted, narrower":   {"GET", "/" + string(gone.ID) + "?w=400", nil, 410, ""},
		"unknown":             {"GET", "/" + strings.Repeat("0", 64), nil, 404, ""},
		"unknown, narrower":   {"GET", "/" + strings.Repeat("0", 64) + "?w=400", nil, 404, ""},
		"the folder":          {"GET", "/", nil, 404, ""},
		"nothing":             {"GET", "*", nil, 404, ""},
		"upper case":          {"GET", "/" + strings.ToUpper(id), nil, 404, ""},
		"with extension":      {"GET", "/" + id + ".jpg", nil, 404, ""},
		"a copy by its path":  {"GET", "/w400/" + id + ".jpg", nil, 404, ""},
		"a tombstone":         {"GET", "/deleted/" + string(gone.ID), nil, 404, ""},
		"a dot":               {"GET", "/.", nil, 404, ""},
		"up":                  {"GET", "/../" + id, nil, 404, ""},
		"up, escaped":         {"GET", "/%2e%2e%2f%2e%2e%2fetc%2fpasswd", nil, 404, ""},
		"backslash":           {"GET", `/..\` + id, nil, 404, ""},
		"null":                {"GET", "/" + id[:63] + "%00", nil, 404, ""},
		"a width of ours not": {"GET", "/" + id + "?w=401", nil, 400, ""},
		"a width of letters":  {"GET", "/" + id + "?w=wide", nil, 400, ""},
		"a negative width":    {"GET", "/" + id + "?w=-400", nil, 400, ""},
		"writing":             {"POST", "/" + id, nil, 405, ""},
		"deleting":            {"DELETE", "/" + id, nil, 405, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			res := do(d, test.method, test.target, test.headers...)
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status {
				t.Fatalf("got status %d, error %v, want status %d", res.StatusCode, err, test.status)
			}
			if h := res.Header; h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" {
				t.Errorf("got headers %v, want nosniff and the sandbox on every answer", h)
			}
			switch cache := res.Header.Get("Cache-Control"); {
			case test.status < 400 && cache != "public, max-age=31536000, immutable":
				t.Errorf("got Cache-Control %q, want it kept for ever", cache)
			case test.status >= 400 && test.status != 416 && cache != "no-store":
				t.Errorf("got Cache-Control %q on an error", cache)
			}
			if test.status < 300 {
				want := map[string]string{
					"Content-Type":        "image/jpeg",
					"Etag":                tag,
					"Content-Disposition": `inline; filename="photo-` + id[:12] + `.jpg"`,
					"Accept-Ranges":       "bytes",
				}
				for key, want := range want {
					if got := res.Header.Get(key); got != want {
						t.Errorf("got %s %q, want %q", key, got, want)
					}
				}
				if string(body) != test.body {
					t.Errorf("got %d bytes, want %d that are the photo's", len(body), len(test.body))
				}
			} else if bytes.Contains(body, []byte("\xff\xd8")) {
				t.Error("an error carries a photo")
			}
		})
	}
	if allow := do(d, "PUT", "/"+id).Header.Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("got Allow %q", allow)
	}
}

func TestHandlerUnderAPrefixOverHTTP(t *testing.T) {
	d, _ := given(t, nil)
	p := accept(t, d, jpegOf(quarters(500, 300)))
	mux := http.NewServeMux()
	mux.Handle("GET /uploads/{photo}", http.StripPrefix("/uploads", d.Handler(nil)))
	server := httptest.NewServer(mux)
	defer server.Close()
	for target, status := range map[string]int{
		"/uploads/" + string(p.ID):            200,
		"/uploads/" + string(p.ID) + "?w=400": 200,
		"/uploads/x":                          404,
		"/uploads/..%2fdir.go":                404,
	} {
		res, err := server.Client().Get(server.URL + target)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: got status %d, want %d", target, res.StatusCode, status)
		}
	}
}

func TestHandlerAfterClose(t *testing.T) {
	d, err := uploads.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := accept(t, d, jpegOf(quarters(500, 300)))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?w=400"} {
		if got := get(d, "/"+string(p.ID)+query).StatusCode; got != http.StatusServiceUnavailable {
			t.Errorf("%q: got status %d, want 503", query, got)
		}
	}
}
