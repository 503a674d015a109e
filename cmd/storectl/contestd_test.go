package main

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// contestd is the server, started in a folder of its own without any
// configuration.
type contestd struct {
	t      *testing.T
	binary string
	folder string
	stop   func()
	url    string
}

func (d *contestd) start() {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), d.binary, "--port", "0")
	cmd.Dir = d.folder
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.stop = func() {
		d.t.Helper()
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			d.t.Errorf("contestd: %v\n%s", err, log.String())
		}
	}
	d.url = ""
	said := bufio.NewScanner(out)
	for said.Scan() {
		if m := regexp.MustCompile(`http://localhost:\d+`).FindString(said.Text()); m != "" {
			d.url = m
		}
		if strings.HasPrefix(said.Text(), "Ctrl-C") && d.url != "" {
			return
		}
	}
	cmd.Wait()
	d.t.Fatalf("contestd did not start:\n%s", log.String())
}

// submit sends an entry with a photo.
func (d *contestd) submit(n int) {
	d.t.Helper()
	photo := image.NewRGBA(image.Rect(0, 0, 200, 200))
	for i := range 200 {
		photo.Set(i, i*n%200, color.White)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"category": "best", "caption": fmt.Sprint("entry ", n), "name": "Ada Example", "phone": "+49 170 5550100"} {
		form.WriteField(name, value)
	}
	part, _ := form.CreateFormFile("photo", "tattoo.jpg") // writing to memory does not fail
	jpeg.Encode(part, photo, nil)
	form.Close()
	r, err := http.Post(d.url+"/api/submit", form.FormDataContentType(), &body)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(r.Body)
		d.t.Fatalf("submit: %s %s", r.Status, answer)
	}
}

// TestAnOperatorOfContestdFindsAndRestoresWhatIsThere goes through an
// operator's day with the folder that contestd makes.
func TestAnOperatorOfContestdFindsAndRestoresWhatIsThere(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds contestd")
	}
	folder := t.TempDir()
	d := &contestd{t: t, folder: folder, binary: filepath.Join(folder, "contestd")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", d.binary, "../contestd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	defer http.DefaultClient.CloseIdleConnections()
	d.start()
	for n := range 3 {
		d.submit(n + 1)
	}
	state := filepath.Join(folder, "state")
	data := filepath.Join(state, "data")
	for _, dir := range []string{data, state} {
		o := decode[overview](t, mustRun(t, "stat", "--json", dir))
		if o.Dir != data || !o.InUse || o.Last == nil || *o.Last != 3 || o.Undoable != 1 || o.Backups.Dir != filepath.Join(state, "backups") || o.Backups.Count == 0 {
			t.Errorf("stat %s: got %+v", dir, o)
		}
		mustRun(t, "verify", dir)
	}
	if out := mustRun(t, "tail", "-n", "1", state); !strings.Contains(out, "submitted") || !strings.Contains(out, "entry 3") {
		t.Errorf("tail prints %s", out)
	}
	wantFailure(t, storectl(t, "restore", data, "--before", "2", "--yes"), 1, "stop it")
	d.stop()

	mustRun(t, "restore", data, "--before", "2", "--yes")
	d.start()
	d.submit(4)
	d.stop()
	line := decode[stateLine](t, mustRun(t, "dump", data, "--state"))
	if got := regexp.MustCompile(`entry \d`).FindAllString(string(line.State), -1); fmt.Sprint(got) != "[entry 1 entry 4]" || line.Seq < 4 {
		t.Errorf("after the restore there is %q at %d", got, line.Seq)
	}
	mustRun(t, "verify", state)
	if _, err := os.Stat(filepath.Join(data, "backups")); err == nil {
		t.Error("backups are in two places")
	}
}
