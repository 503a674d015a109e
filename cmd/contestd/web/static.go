package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// asset is one static file, ready to be sent.
type asset struct {
	kind   string // media type
	tag    string // ETag
	plain  []byte
	zipped []byte // gzip
}

// kinds is what may be served. Its types are fixed here because those of the
// system differ from machine to machine.
func kind(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return ""
}

// readAssets returns the static files and a version that changes with any of
// them.
func readAssets(files fs.FS) (map[string]*asset, string, error) {
	assets := map[string]*asset{}
	all := sha256.New()
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		a := &asset{kind: kind(name)}
		if a.kind == "" {
			return fmt.Errorf("%s: no media type for this kind of file", name)
		}
		if a.plain, err = fs.ReadFile(files, name); err != nil {
			return err
		}
		sum := sha256.Sum256(a.plain)
		a.tag = hex.EncodeToString(sum[:8])
		var zipped bytes.Buffer
		zip, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is valid
		zip.Write(a.plain)                                           // a buffer takes everything
		zip.Close()
		a.zipped = zipped.Bytes()
		assets[strings.TrimPrefix(name, "static/")] = a
		fmt.Fprintf(all, "%s %x\n", name, sum)
		return nil
	})
	return assets, hex.EncodeToString(all.Sum(nil)[:6]), err
}

// Static serves the files under /static/. A page names them under the version
// of the whole set, /static/<version>/feed.js, where they may be kept for ever:
// modules that import each other by relative name stay in one set. Without the
// version, or with one that is gone, the present file is sent and asked for
// again each time.
func (p *Pages) Static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := p
		if p.disk != nil {
			fresh, err := parse(p.disk)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			set = fresh
		}
		name := strings.TrimPrefix(r.URL.Path, "/static/")
		cache := "no-cache"
		if version, rest, ok := strings.Cut(name, "/"); ok {
			name = rest
			if version == set.version && p.disk == nil {
				cache = "public, max-age=31536000, immutable"
			}
		}
		a, ok := set.assets[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		a.serve(w, r, cache)
	})
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cache)
	h.Set("Vary", "Accept-Encoding")
	body := a.plain
	if acceptsGzip(r) && len(a.zipped) < len(a.plain) && r.Header.Get("Range") == "" {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+a.tag+`-gzip"`)
		body = a.zipped
	} else {
		h.Set("ETag", `"`+a.tag+`"`)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func acceptsGzip(r *http.Request) bool {
	for _, list := range r.Header.Values("Accept-Encoding") {
		if slices.ContainsFunc(strings.Split(list, ","), func(one string) bool {
			name, quality, _ := strings.Cut(one, ";")
			return strings.TrimSpace(name) == "gzip" && strings.TrimSpace(quality) != "q=0"
		}) {
			return true
		}
	}
	return false
}

// url is the address of a static file in this version.
func (p *Pages) url(name string) (string, error) {
	if _, ok := p.assets[name]; !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return "/static/" + p.version + "/" + name, nil
}
