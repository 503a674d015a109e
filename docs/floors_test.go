package docs_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// floors says which modules each package may link. Adding one here is a
// decision: everybody who imports the package downloads it.
var floors = map[string][]string{
	"atomicstore": {
		"github.com/go-json-experiment/json", // encoding/json/v2 before Go 1.27, and an alias of it since
		"github.com/google/renameio/v2",
		"golang.org/x/sys", // renameat2: the syscall package has no number for it
	},
	"atomicstore/storetest": {
		"github.com/go-json-experiment/json", // no more than the store itself
		"github.com/google/renameio/v2",
		"golang.org/x/sys",
	},
	"reliablews": {
		"github.com/cenkalti/backoff/v4",
		"github.com/gorilla/websocket",
	},
	"contest": {
		"github.com/tidwall/btree",
	},
	"uploads": {
		"github.com/bep/imagemeta", // EXIF orientation
		"github.com/cenkalti/backoff/v4",
		"github.com/google/renameio/v2",
		"github.com/sony/gobreaker/v2",
		"golang.org/x/image", // WebP, scaling
		"golang.org/x/text",  // of imagemeta: text in metadata
	},
	"uploads/cloudinarystore": {
		"github.com/bep/imagemeta", // what uploads links, and the SDK
		"github.com/cenkalti/backoff/v4",
		"github.com/cloudinary/cloudinary-go/v2",
		"github.com/creasty/defaults", // of the SDK
		"github.com/google/renameio/v2",
		"github.com/google/uuid",    // of the SDK
		"github.com/gorilla/schema", // of the SDK
		"github.com/sony/gobreaker/v2",
		"golang.org/x/image",
		"golang.org/x/text",
	},
	"uploads/cloudinarytest": nil,
}

func TestPackagesLinkOnlyTheModulesOfTheirList(t *testing.T) {
	for name, allowed := range floors {
		t.Run(name, func(t *testing.T) {
			linked := map[string]bool{}
			for _, m := range goList(t, "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./"+name) {
				linked[m] = true
			}
			got := slices.Sorted(maps.Keys(linked))
			if !slices.Equal(got, allowed) {
				t.Errorf("package %s links %v, its list allows %v", name, got, allowed)
			}
		})
	}
}

func TestPackagesAreIndependent(t *testing.T) {
	for name := range floors {
		t.Run(name, func(t *testing.T) {
			for _, dep := range goList(t, "-deps", "./"+name) {
				if strings.HasPrefix(dep, module+"/") && !mayImport(name, dep) {
					t.Errorf("package %s imports %s; the packages meet in cmd/contestd only", name, dep)
				}
			}
		})
	}
}

// mayImport tells whether a package may import another of the module: the one
// that it is a sub-package of, and what is internal to that.
func mayImport(name, dep string) bool {
	above, _, _ := strings.Cut(name, "/")
	above = module + "/" + above
	return dep == module+"/"+name || dep == above || strings.HasPrefix(dep, above+"/internal/")
}

func TestNobodyImportsCommandsOrExamples(t *testing.T) {
	for _, line := range goList(t, "-f", "{{$p := .ImportPath}}{{range .Imports}}{{$p}}>{{.}} {{end}}", "./...") {
		importer, imported, _ := strings.Cut(line, ">")
		below, inside := strings.CutPrefix(imported, module+"/")
		if !inside || !strings.HasPrefix(below, "cmd/") && !strings.HasPrefix(below, "examples/") {
			continue
		}
		// A command's own sub-packages belong to it.
		command := strings.Join(strings.SplitN(below, "/", 3)[:2], "/")
		if importer != module+"/"+command && !strings.HasPrefix(importer, module+"/"+command+"/") {
			t.Errorf("%s imports %s; nobody imports what composes", importer, imported)
		}
	}
}

// TestOnlyTestsDriveABrowser keeps what drives one away from everybody else. go
// mod tidy asks for what the tests of an imported package need too, so the
// packages that others import test their pages in packages of their own.
func TestOnlyTestsDriveABrowser(t *testing.T) {
	const browser = module + "/internal/browser"
	for _, line := range goList(t, "-f", "{{$p := .ImportPath}}"+
		"{{range .Imports}}{{$p}}>{{.}} {{end}}{{range .TestImports}}{{$p}}>test>{{.}} {{end}}{{range .XTestImports}}{{$p}}>test>{{.}} {{end}}", "./...") {
		importer, imported, _ := strings.Cut(line, ">")
		imported, test := strings.CutPrefix(imported, "test>")
		switch {
		case strings.HasPrefix(imported, "github.com/chromedp/") && importer != browser:
			t.Errorf("%s imports %s; package internal/browser does that", importer, imported)
		case imported == browser && !test:
			t.Errorf("%s imports %s, which is for tests", importer, imported)
		case imported == browser && isFloor(importer):
			t.Errorf("the tests of %s import %s; who imports %s fetches it", importer, imported, importer)
		}
	}
}

func isFloor(path string) bool {
	_, is := floors[strings.TrimPrefix(path, module+"/")]
	return is
}
