package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// childMain runs a process that is to be killed: it opens the folder of
// UPLOADS_CHILD, accepts one photo or deletes another, and tells when that is
// done. Before step UPLOADS_KILL it kills itself.
func childMain() bool {
	dir, verb := os.Getenv("UPLOADS_CHILD"), os.Getenv("UPLOADS_VERB")
	if dir == "" {
		return false
	}
	if verb == "crowd" {
		crowd(dir, os.Getenv("UPLOADS_PHOTOS"))
		return true
	}
	kill, _ := strconv.Atoi(os.Getenv("UPLOADS_KILL"))
	o, step := &uploads.Options{}, 0
	o.OnStep(func(string) error {
		if step++; step == kill {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	})
	d, err := uploads.OpenDir(dir, o)
	must(err)
	switch verb {
	case "accept":
		p, err := d.Accept(context.Background(), bytes.NewReader(jpegOf(quarters(640, 480))))
		must(err)
		fmt.Println("done", p.ID)
	case "delete":
		for id, err := range d.Walk() {
			must(err)
			must(d.Delete(id))
			fmt.Println("done", id)
		}
	}
	return true
}

// child runs childMain and returns the id that it acknowledged, and whether it
// was killed.
func child(t *testing.T, dir, verb string, kill int) (id uploads.PhotoID, killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "UPLOADS_CHILD="+dir, "UPLOADS_VERB="+verb, fmt.Sprint("UPLOADS_KILL=", kill))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		killed = true
	} else if err != nil {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	_, s, _ := strings.Cut(strings.TrimSpace(string(out)), "done ")
	return uploads.PhotoID(s), killed
}

func TestAKilledAcceptLeavesAllOrNothing(t *testing.T) {
	steps := 0
	for killed := true; killed; steps++ {
		dir := filepath.Join(t.TempDir(), "uploads")
		var id uploads.PhotoID
		id, killed = child(t, dir, "accept", steps+1)
		d, err := uploads.OpenDir(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch left := files(t, dir); { // whose names are checked
		case len(left) > 1 || len(left) == 1 && !strings.HasSuffix(left[0], ".jpg"):
			t.Errorf("killed before step %d: %v is left", steps+1, left)
		case id != "" && (len(left) != 1 || left[0] != string(id)+".jpg"):
			t.Errorf("killed before step %d: %s was acknowledged, %v is there", steps+1, id, left)
		case len(left) == 1:
			if got := letters(shown(t, d, uploads.PhotoID(strings.TrimSuffix(left[0], ".jpg")))); got != "RGBW" {
				t.Errorf("killed before step %d: the photo shows %s", steps+1, got)
			}
		}
		d.Close()
	}
	if steps < 9 {
		t.Errorf("only %d steps were tried", steps)
	}
}

func TestAKilledDeleteIsFinishedAtOpening(t *testing.T) {
	steps := 0
	for killed := true; killed; steps++ {
		dir := filepath.Join(t.TempDir(), "uploads")
		d, err := uploads.OpenDir(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := accept(t, d, jpegOf(quarters(900, 600)))
		get(d, "/"+string(p.ID)+"?w=400")
		d.Close()

		var id uploads.PhotoID
		id, killed = child(t, dir, "delete", steps+1)
		if d, err = uploads.OpenDir(dir, nil); err != nil {
			t.Fatal(err)
		}
		_, err = d.Stat(p.ID)
		left := files(t, dir)
		begun := slices.Contains(left, "deleted/"+string(p.ID))
		switch {
		case id != "" && !begun:
			t.Errorf("killed before step %d: there is no tombstone for what was acknowledged", steps+1)
		case begun && (!errors.Is(err, uploads.ErrUnknownPhoto) || len(left) != 1):
			t.Errorf("killed before step %d: %v is left", steps+1, left)
		case !begun && err != nil:
			t.Errorf("killed before step %d: the photo is gone without a tombstone", steps+1)
		}
		d.Close()
	}
	if steps < 6 {
		t.Errorf("only %d steps were tried", steps)
	}
}

func TestAFailureAtAnyStepLeavesNothing(t *testing.T) {
	fault := errors.New("the disk is on fire")
	photo := jpegOf(quarters(64, 48))
	var steps []string
	for fail := 1; ; fail++ {
		n, tried := 0, ""
		o := &uploads.Options{}
		o.OnStep(func(name string) error {
			if n++; n == fail {
				tried = name
				return fault
			}
			return nil
		})
		d, path := given(t, o)
		p, err := d.Accept(t.Context(), bytes.NewReader(photo))
		if tried == "" {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		steps = append(steps, tried)
		if !errors.Is(err, fault) || p != (uploads.Photo{}) {
			t.Errorf("%s: got %v and error %v, want %v", tried, p, err, fault)
		}
		if got := files(t, path); len(got) != 0 {
			t.Errorf("%s: left %v", tried, got)
		}
		accept(t, d, photo) // the next one is not concerned
	}
	want := []string{"spool", "receive", "spool", "encode", "create", "write", "sync", "rename", "sync folder"}
	if !slices.Equal(steps, want) {
		t.Errorf("got the steps %v, want %v", steps, want)
	}
}

func TestAFullDiskIsARefusal(t *testing.T) {
	for _, at := range []string{"write", "encode"} {
		o := &uploads.Options{}
		o.OnStep(func(name string) error {
			if name == at {
				return &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
			}
			return nil
		})
		d, path := given(t, o)
		_, err := d.Accept(t.Context(), bytes.NewReader(jpegOf(quarters(64, 48))))
		if !errors.Is(err, uploads.ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v, want ErrDiskFull", at, err)
		}
		if got := files(t, path); len(got) != 0 {
			t.Errorf("%s: left %v", at, got)
		}
	}
}

// TestTheOrderOnDisk asks the kernel: contents are synced before the rename, and
// the folder after it, before the answer.
func TestTheOrderOnDisk(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	dir := filepath.Join(t.TempDir(), "uploads")
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,renameat,renameat2,rename,write", os.Args[0])
	cmd.Env = append(os.Environ(), "UPLOADS_CHILD="+dir, "UPLOADS_VERB=accept")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace does not run here: %v\n%s", err, out)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	root := regexp.QuoteMeta(dir)
	order := []string{
		`fsync\(\d+<` + root + `/\.[0-9a-f]{64}\.jpg\d+>`,
		`renameat2?\(.*"\.[0-9a-f]{64}\.jpg\d+", .*"[0-9a-f]{64}\.jpg"`,
		`fsync\(\d+<` + root + `>\)`,
		`write\(1<.*"done `,
	}
	rest := string(b)
	for _, want := range order {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("%s does not come in its order in\n%s", want, b)
		}
		rest = rest[at[1]:]
	}
}

// TestAPhotoSentAgainAfterADeletionThatFailedStays: the tombstone of the
// deletion must not take it at the next start.
func TestAPhotoSentAgainAfterADeletionThatFailedStays(t *testing.T) {
	o := &uploads.Options{}
	broken := false
	o.OnStep(func(name string) error {
		if broken && name == "erase" {
			return errors.New("the disk says no")
		}
		return nil
	})
	path := filepath.Join(t.TempDir(), "uploads")
	d, err := uploads.OpenDir(path, o)
	if err != nil {
		t.Fatal(err)
	}
	photo := jpegOf(quarters(64, 48))
	p := accept(t, d, photo)
	broken = true
	if err := d.Delete(p.ID); err == nil {
		t.Fatal("the deletion did not fail")
	}
	broken = false
	accept(t, d, photo)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = uploads.OpenDir(path, nil); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Stat(p.ID); err != nil {
		t.Errorf("the photo that was accepted again: %v", err)
	}
}
