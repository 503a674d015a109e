package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const testPassword = "correct horse battery"

// server is a contest that runs, in this process or in one of its own.
type server struct {
	t    testing.TB
	dir  string // its state
	port int
	log  *safeBuffer

	stop func() error    // in this process: shuts down in order
	cmd  *exec.Cmd       // of its own
	left func(os.Signal) // of its own: sends a signal and waits for the end
}

// safeBuffer takes what a server logs while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var feedLine = regexp.MustCompile(`feed\s+http://localhost:(\d+)/`)

func args(dir string, port int) []string {
	return []string{"--state-dir", dir, "--port", strconv.Itoa(port), "--admin-password", testPassword}
}

// startServer runs a contest in this process. It is shut down at the end of
// the test, unless the test does it. Port 0 lets the system choose.
func startServer(t testing.TB, dir string, port int) *server {
	t.Helper()
	s := &server{t: t, dir: dir, port: port, log: new(safeBuffer)}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args(dir, port), w, s.log)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return <-ended
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil && !t.Failed() {
			t.Errorf("the server ended with %v", err)
		}
	})
	s.awaitAddress(bufio.NewScanner(r))
	go io.Copy(io.Discard, r)
	return s
}

// startProcess runs a contest in a process of its own, with more variables
// ("NAME=value") in its environment.
func startProcess(t testing.TB, dir string, port int, env ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, port: port, log: new(safeBuffer)}
	s.cmd = exec.Command(os.Args[0], args(dir, port)...)
	s.cmd.Env = append(append(os.Environ(), childVariable+"=1"), env...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	s.left = func(sig os.Signal) {
		once.Do(func() {
			s.cmd.Process.Signal(sig)
			io.Copy(io.Discard, out)
			s.cmd.Wait()
		})
	}
	t.Cleanup(func() { s.left(syscall.SIGKILL) })
	s.awaitAddress(bufio.NewScanner(out))
	return s
}

// awaitAddress reads what the server prints until it has said where it is.
func (s *server) awaitAddress(said *bufio.Scanner) {
	s.t.Helper()
	for said.Scan() {
		if m := feedLine.FindStringSubmatch(said.Text()); m != nil {
			s.port, _ = strconv.Atoi(m[1])
		}
		if strings.HasPrefix(said.Text(), "Ctrl-C") {
			return
		}
	}
	s.t.Fatalf("the server did not start:\n%s", s.log)
}

func (s *server) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path) }

// visitor is a browser without a screen: it keeps cookies.
type visitor struct {
	t testing.TB
	s *server
	http.Client
}

func (s *server) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &visitor{t: s.t, s: s, Client: http.Client{
		Jar:           jar,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// organiser is a visitor who has logged in.
func (s *server) organiser() *visitor {
	s.t.Helper()
	v := s.visitor()
	if a := v.post("/api/login", map[string]any{"password": testPassword}); a.Status != http.StatusOK {
		s.t.Fatalf("login: %s", a)
	}
	return v
}

// answer is what came back.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.Body, &m); err != nil {
		t.Fatalf("not a JSON object: %v: %s", err, a)
	}
	return m
}

// try sends a request and returns what came back, or the error of the network.
func (v *visitor) try(r *http.Request) (answer, error) {
	resp, err := v.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

func (v *visitor) do(method, path, contentType string, body io.Reader, header ...string) answer {
	v.t.Helper()
	r, err := http.NewRequest(method, v.s.url(path), body)
	if err != nil {
		v.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := v.try(r)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (v *visitor) get(path string, header ...string) answer {
	v.t.Helper()
	return v.do("GET", path, "", nil, header...)
}

func (v *visitor) post(path string, body any) answer {
	v.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do("POST", path, "application/json", bytes.NewReader(b))
}

// entry is what a visitor fills in.
type entry map[string]string

func newEntry(caption string) entry {
	return entry{"category": "best", "caption": caption, "name": "Ada Example", "phone": "+49 170 5550100"}
}

// form encodes an entry with its photo, the texts first as the page sends them.
func (e entry) form(photo []byte) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(e)) {
		w.WriteField(name, e[name])
	}
	if photo != nil {
		p, _ := w.CreateFormFile("photo", "tattoo.jpg") // writing to memory does not fail
		p.Write(photo)
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func (v *visitor) submit(e entry, photo []byte, header ...string) answer {
	v.t.Helper()
	contentType, body := e.form(photo)
	return v.do("POST", "/api/submit", contentType, bytes.NewReader(body), header...)
}

// mustSubmit returns the id of the new entry.
func (v *visitor) mustSubmit(e entry, photo []byte) string {
	v.t.Helper()
	a := v.submit(e, photo)
	if a.Status != http.StatusCreated {
		v.t.Fatalf("submit: %s", a)
	}
	id, _ := a.json(v.t)["entry"].(map[string]any)["id"].(string)
	if id == "" {
		v.t.Fatalf("submit: no id in %s", a)
	}
	return id
}

// jpegPhoto returns a real photo, another one for each n.
func jpegPhoto(t testing.TB, n int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 80))
	for y := range 80 {
		for x := range 64 {
			img.Set(x, y, color.RGBA{uint8(x * n), uint8(y * 3), uint8(n * 40), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// feedIDs returns the ids of a category in the public feed, newest first.
func (v *visitor) feedIDs(category string) []string {
	v.t.Helper()
	a := v.get("/api/feed")
	var feed struct {
		Feed map[string][]struct{ ID string }
	}
	if err := json.Unmarshal(a.Body, &feed); err != nil {
		v.t.Fatalf("%v: %s", err, a)
	}
	var ids []string
	for _, e := range feed.Feed[category] {
		ids = append(ids, e.ID)
	}
	return ids
}
