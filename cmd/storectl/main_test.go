package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is another program when one of these is set: storectl, or a
// program with a store.
const (
	mainVariable  = "STORECTL_TEST_MAIN"
	childVariable = "STORECTL_TEST_CHILD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(mainVariable) != "":
		main()
	case os.Getenv(childVariable) != "":
		keepOpen(os.Getenv(childVariable))
	default:
		goleak.VerifyTestMain(m)
	}
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

func storectl(t testing.TB, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := run(t.Context(), args, &console{in: strings.NewReader(""), out: &out, err: &err})
	return result{code, out.String(), err.String()}
}

// mustRun returns what a command printed that must go well.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	r := storectl(t, args...)
	if r.code != 0 || r.err != "" {
		t.Fatalf("storectl %s: exit code %d, %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// wantFailure checks an exit code and what the error says.
func wantFailure(t testing.TB, r result, code int, says ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s", r.code, code, r.err)
	}
	for _, s := range says {
		if !strings.Contains(r.err, s) {
			t.Errorf("the error does not say %q: %s", s, r.err)
		}
	}
}

// constant replaces what differs from run to run: the folder, times, epochs,
// ids, and sizes, as checksums have more digits or fewer.
func (h home) constant(text string) string {
	text = strings.ReplaceAll(text, h.folder, "HOME")
	for pattern, name := range map[string]string{
		`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z`: "TIME",
		`\d{8}T\d{6}\.\d{3}Z`:                        "STAMP",
		`\b[0-9a-f]{32}\b`:                           "ID",
		`\b[0-9a-f]{16}\b`:                           "EPOCH",
		`\b\d+ B\b`:                                  "SIZE",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, name)
	}
	return text
}

// wantText compares what was printed, without the spaces that make columns
// and differ with the length of what is replaced.
func (h home) wantText(t testing.TB, got, want string) {
	t.Helper()
	got = regexp.MustCompile(` {2,}`).ReplaceAllString(h.constant(got), "  ")
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// fingerprint is the whole of a folder: names, times and contents.
func fingerprint(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.ModTime(), info.Mode())
		if e.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}

// lineWriter passes on each line that is written to it.
type lineWriter struct {
	mu    sync.Mutex // guards rest
	rest  string
	lines chan string
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest += string(b)
	for {
		line, rest, whole := strings.Cut(w.rest, "\n")
		if !whole {
			return len(b), nil
		}
		w.rest = rest
		w.lines <- line
	}
}

// start runs a command in the background, which does not wait until its lines
// are read. ended gives the result.
func start(ctx context.Context, args ...string) (lines chan string, ended chan result) {
	lines, ended = make(chan string, 1000), make(chan result, 1)
	go func() {
		var err bytes.Buffer
		code := run(ctx, args, &console{in: strings.NewReader(""), out: &lineWriter{lines: lines}, err: &err})
		ended <- result{code: code, err: err.String()}
	}()
	return lines, ended
}
