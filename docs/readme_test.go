package docs_test

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmePackages are shown in the README with the body of their Example.
var readmePackages = []string{"atomicstore", "reliablews", "contest", "uploads"}

func TestREADMEShowsTheExamples(t *testing.T) {
	readme := read(t, "../README.md")
	for _, name := range readmePackages {
		t.Run(name, func(t *testing.T) {
			example := exampleBody(t, "../"+name+"/example_test.go")
			if !strings.Contains(readme, "```go\n"+example+"```") {
				t.Errorf("README.md does not show the Example of %s as it is; put this in a go block:\n%s", name, example)
			}
		})
	}
}

// exampleBody returns the body of func Example, moved out to the margin,
// without the output comment, which says nothing to a reader of the README.
func exampleBody(t *testing.T, path string) string {
	t.Helper()
	src := read(t, path)
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "Example" {
			continue
		}
		body := src[fset.Position(fn.Body.Lbrace).Offset+1 : fset.Position(fn.Body.Rbrace).Offset]
		body = regexp.MustCompile(`(?s)\n\s*// Output:.*`).ReplaceAllString(body, "\n")
		return strings.TrimSpace(strings.ReplaceAll(body, "\n\t", "\n")) + "\n"
	}
	t.Fatalf("%s has no func Example", path)
	return ""
}

// TestOutsideModule follows the README as an importer does while the module is
// not yet published: go mod init, the replace line, a program, go build.
func TestOutsideModule(t *testing.T) {
	readme := read(t, "../README.md")
	const replaceLine = "go mod edit -replace " + module + "=../contestkit"
	if !strings.Contains(readme, replaceLine) {
		t.Fatalf("README.md does not show the line %q", replaceLine)
	}
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), `package main

import (
	"fmt"

	"`+module+`/atomicstore"
	"`+module+`/contest"
	"`+module+`/reliablews"
	"`+module+`/uploads"
)

func main() {
	fmt.Println(contest.NewState().Len(), atomicstore.ErrFailed, reliablews.NewHub(nil) != nil, uploads.ErrTooLarge)
}
`)
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	// The live page of the README, whole as it is there.
	if err := os.Mkdir(filepath.Join(dir, "live"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "live", "main.go"), wholeProgram(t, readme))
	run("go", "mod", "init", "example.com/outside")
	run("go", "mod", "edit", "-replace", module+"="+checkout)
	run("go", "mod", "tidy")
	if out := run("go", "run", "."); !strings.HasPrefix(out, "0 ") {
		t.Errorf("the outside program printed %q", out)
	}
	run("go", "vet", "./live")
	// Nobody pays for what only the server or the tests use.
	linked := run("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	for _, heavy := range []string{"kong", "chromedp", "scs", "argon2id", "rapid", "goleak", "jsondiff", "progressbar", "humanize", "cloudinary"} {
		if strings.Contains(linked, heavy) {
			t.Errorf("an importer links %s", heavy)
		}
	}
}

// wholeProgram returns the one block of the README that begins a package.
func wholeProgram(t *testing.T, readme string) string {
	t.Helper()
	blocks := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) != 1 {
		t.Fatalf("README.md has %d whole programs, want 1", len(blocks))
	}
	formatted, err := format.Source([]byte(blocks[0][1]))
	if err != nil || string(formatted) != blocks[0][1] {
		t.Errorf("the program in README.md is not as gofmt writes it: %v", err)
	}
	return blocks[0][1]
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
