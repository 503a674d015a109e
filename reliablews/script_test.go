package reliablews

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestScriptHandlerServesTheModule(t *testing.T) {
	file, err := os.ReadFile("js/reliablews.js")
	if err != nil {
		t.Fatal(err)
	}
	get := func(etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/reliablews.js", nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		ScriptHandler().ServeHTTP(w, r)
		return w
	}
	w := get("")
	if w.Code != http.StatusOK || w.Body.String() != string(file) || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d, %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
	if w := get(w.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("asked again: %d, want 304", w.Code)
	}
}

// A page must load fast in a hall: the file itself, as a server that
// compresses sends it.
func TestScriptIsSmall(t *testing.T) {
	const limit = 6144 // bytes
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(script)
	z.Close()
	if b.Len() > limit {
		t.Errorf("js/reliablews.js has %d bytes after gzip, at most %d are allowed", b.Len(), limit)
	}
	t.Logf("%d bytes, %d after gzip", len(script), b.Len())
}

// needNode skips without Node, but not in CI, where a skipped test would go
// unnoticed.
func needNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return node
}

func TestJavaScript(t *testing.T) {
	node := needNode(t)
	files, err := filepath.Glob("js/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
}
