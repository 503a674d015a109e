package reliablews

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the script
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed js/reliablews.js
var script []byte

// ScriptHandler serves the JavaScript client, one ES module, of the version
// that belongs to this server.
func ScriptHandler() http.Handler {
	sum := sha256.Sum256(script)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache") // asked for again each time, answered with 304
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(script))
	})
}
