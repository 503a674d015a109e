// Package web is the pages of contestd: templates, and the scripts and styles
// that they load.
//
// Everything is embedded in the program. Nothing is inline and nothing comes
// from another host, so that the strictest content policy holds.
package web

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed templates static
var embedded embed.FS

// layout is the template that every page is put into.
const layout = "layout.html"

// Pages renders the pages and serves their static files. It is safe for
// concurrent use.
type Pages struct {
	disk    fs.FS // not nil: read at each request, for work on the pages
	version string
	pages   map[string]*template.Template
	assets  map[string]*asset
}

// Load reads the pages. With dev they are read from the checkout that the
// program is started in, again at each request; otherwise they are those of the
// program itself.
func Load(dev bool) (*Pages, error) {
	if !dev {
		return parse(embedded)
	}
	dir, err := checkout()
	if err != nil {
		return nil, err
	}
	p, err := parse(os.DirFS(dir))
	if err != nil {
		return nil, err
	}
	p.disk = os.DirFS(dir)
	return p, nil
}

// checkout finds the folder of this package at or above the working folder.
func checkout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("web: find the checkout: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		pages := filepath.Join(dir, "cmd", "contestd", "web")
		if _, err := os.Stat(filepath.Join(pages, "templates", layout)); err == nil {
			return pages, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("web: no checkout at or above %s: start with --dev inside one", start)
		}
	}
}

func parse(files fs.FS) (*Pages, error) {
	assets, version, err := readAssets(files)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	p := &Pages{version: version, assets: assets, pages: map[string]*template.Template{}}
	base, err := template.New(layout).Funcs(p.funcs()).ParseFS(files, "templates/"+layout, "templates/parts/*.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	for _, name := range names {
		page := strings.TrimSuffix(filepath.Base(name), ".html")
		if page+".html" == layout {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			_, err = t.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("web: page %q: %w", page, err)
		}
		p.pages[page] = t
	}
	return p, nil
}

// Render writes a page: "feed", "winners", "login" or "admin", each with the
// data made by the function of that name.
func (p *Pages) Render(w io.Writer, name string, data any) error {
	if p.disk != nil {
		fresh, err := parse(p.disk)
		if err != nil {
			return err
		}
		p = fresh
	}
	page, ok := p.pages[name]
	if !ok {
		return fmt.Errorf("web: no page %q", name)
	}
	if err := page.ExecuteTemplate(w, layout, data); err != nil {
		return fmt.Errorf("web: page %q: %w", name, err)
	}
	return nil
}
