package reliablews

import (
	"net/http"
	"net/http/httptest"
	"os"
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
