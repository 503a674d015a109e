package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// childMain runs a process that is to be killed: it opens the folder of
// UPLOADS_CHILD, accepts one photo or deletes another, and tells when that is
// done. Before the step UPLOADS_KILL it kills itself.
func childMain() bool {
	dir, verb := os.Getenv("UPLOADS_CHILD"), os.Getenv("UPLOADS_VERB")
	if dir == "" {
		return false
	}
	if verb == "crowd" {
		crowd(dir, os.Getenv("UPLOADS_PHOTOS"))
		return true
	}
	o := &uploads.Options{}
	o.OnStep(func(name string) error {
		if name == os.Getenv("UPLOADS_KILL") {
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

// kill runs childMain until it dies before a step, and returns what it said.
func kill(t *testing.T, dir, verb, step string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "UPLOADS_CHILD="+dir, "UPLOADS_VERB="+verb, "UPLOADS_KILL="+step)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
	return string(out)
}

// TestAKilledProcess is about a real one; what is on disk before each of the
// other steps is looked at below, without a process for each.
func TestAKilledProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	if said := kill(t, dir, "accept", "sync folder"); said != "" {
		t.Errorf("it said %q before the photo was durable", said)
	}
	wholeOrNothing(t, "accept: sync folder", dir)
	if len(files(t, dir)) != 1 {
		t.Fatalf("got %v, want the photo, which was renamed", files(t, dir))
	}
	if said := kill(t, dir, "delete", "erase"); said != "" {
		t.Errorf("it said %q before the photo was gone", said)
	}
	finished(t, "delete: erase", dir)
	if left := files(t, dir); len(left) != 1 || !strings.HasPrefix(left[0], "deleted/") {
		t.Errorf("got %v, want the tombstone alone", left)
	}
}

// moment is a folder as it was before a step. It is what a process leaves that is
// killed there: what has been written is the kernel's, and files without a name
// are gone.
type moment struct{ step, dir string }

// moments returns all that f goes through, from a folder that before has filled.
func moments(t *testing.T, before, f func(d *uploads.Dir)) []moment {
	t.Helper()
	var all []moment
	on := false
	path := ""
	o := &uploads.Options{}
	o.OnStep(func(name string) error {
		if on {
			to := filepath.Join(t.TempDir(), "uploads")
			if err := os.CopyFS(to, os.DirFS(path)); err != nil {
				t.Error(err)
			}
			all = append(all, moment{name, to})
		}
		return nil
	})
	d, path := given(t, o)
	before(d)
	on = true
	f(d)
	on = false
	return all
}

// steps checks which ones there were.
func steps(t *testing.T, all []moment, want ...string) {
	t.Helper()
	var got []string
	for _, m := range all {
		got = append(got, m.step)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the steps %v, want %v", got, want)
	}
}

// wholeOrNothing opens the folder that a killed Accept has left.
func wholeOrNothing(t *testing.T, at, dir string) {
	t.Helper()
	d, err := uploads.OpenDir(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	left := files(t, dir) // whose names are checked
	if len(left) > 1 || len(left) == 1 && !strings.HasSuffix(left[0], ".jpg") {
		t.Errorf("%s: %v is left", at, left)
		return
	}
	for _, id := range ids(t, d) {
		if got := letters(shown(t, d, id)); got != "RGBW" {
			t.Errorf("%s: the photo shows %s", at, got)
		}
	}
}

func nothingBefore(*uploads.Dir) {}

func TestAKilledAcceptLeavesAllOrNothing(t *testing.T) {
	all := moments(t, nothingBefore, func(d *uploads.Dir) { accept(t, d, jpegOf(quarters(640, 480))) })
	for _, m := range all {
		wholeOrNothing(t, m.step, m.dir)
	}
	steps(t, all, "spool", "unlink", "receive", "spool", "unlink", "encode", "create", "write", "sync", "rename", "sync folder")
}

func TestAKilledRefusalLeavesNothing(t *testing.T) {
	photo := jpegOf(noise(200, 200))
	all := moments(t, nothingBefore, func(d *uploads.Dir) {
		if _, err := d.Accept(t.Context(), bytes.NewReader(photo[:len(photo)/2])); !errors.Is(err, uploads.ErrNotAnImage) {
			t.Errorf("got %v, want ErrNotAnImage", err)
		}
	})
	for _, m := range all {
		d, err := uploads.OpenDir(m.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if left := files(t, m.dir); len(left) != 0 {
			t.Errorf("%s: %v is left", m.step, left)
		}
		d.Close()
	}
	steps(t, all, "spool", "unlink", "receive", "spool", "unlink")
}

func TestKilledCopiesAreMadeAgain(t *testing.T) {
	var p uploads.Photo
	all := moments(t,
		func(d *uploads.Dir) { p = accept(t, d, jpegOf(quarters(900, 600))) },
		func(d *uploads.Dir) { get(d, "/"+string(p.ID)+"?w=400") })
	for _, m := range all {
		d, err := uploads.OpenDir(m.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range []int{400, 800} {
			got, err := jpeg.Decode(get(d, fmt.Sprint("/", p.ID, "?w=", w)).Body)
			if err != nil || got.Bounds().Dx() != w || letters(got) != "RGBW" {
				t.Errorf("%s: the copy of %d is %v", m.step, w, err)
			}
		}
		var left []string
		filepath.WalkDir(m.dir, func(path string, e fs.DirEntry, err error) error {
			if !e.IsDir() {
				left = append(left, e.Name())
			}
			return err
		})
		if len(left) != 3 || strings.Count(strings.Join(left, " "), string(p.ID)+".jpg") != 3 || strings.Contains(strings.Join(left, " "), " .") {
			t.Errorf("%s: got the files %v, want the photo and two copies", m.step, left)
		}
		d.Close()
	}
	steps(t, all, "create copy", "write copy", "sync copy", "rename copy", "create copy", "write copy", "sync copy", "rename copy")
}

// TestACopyThatFailsAtAnyStep costs nobody the photo.
func TestACopyThatFailsAtAnyStep(t *testing.T) {
	for _, at := range []string{"create copy", "write copy", "sync copy", "rename copy"} {
		o := &uploads.Options{}
		broken := true
		o.OnStep(func(name string) error {
			if broken && name == at {
				return errors.New("the disk is on fire")
			}
			return nil
		})
		d, path := given(t, o)
		p := accept(t, d, jpegOf(quarters(500, 300)))
		m, err := jpeg.Decode(get(d, "/"+string(p.ID)+"?w=400").Body)
		if err != nil || m.Bounds().Dx() != 500 {
			t.Errorf("%s: got %v, want the photo", at, err)
		}
		if got, err := filepath.Glob(filepath.Join(path, "w*", "*")); err != nil || len(got) != 0 || len(files(t, path)) != 1 {
			t.Errorf("%s: left %v", at, got)
		}
		broken = false
		m, err = jpeg.Decode(get(d, "/"+string(p.ID)+"?w=400").Body)
		if err != nil || m.Bounds().Dx() != 400 {
			t.Errorf("%s: got %v, want the copy when the disk is well", at, err)
		}
	}
}

// finished opens the folder that a killed Delete has left: once there is a
// tombstone, everything else goes.
func finished(t *testing.T, at, dir string) {
	t.Helper()
	d, err := uploads.OpenDir(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	left := files(t, dir)
	begun := strings.HasPrefix(left[0], "deleted/")
	if begun && (len(left) != 1 || len(ids(t, d)) != 0) {
		t.Errorf("%s: %v is left", at, left)
	}
	if !begun && len(ids(t, d)) != 1 {
		t.Errorf("%s: the photo is gone without a tombstone", at)
	}
}

func TestAKilledDeleteIsFinishedAtOpening(t *testing.T) {
	var p uploads.Photo
	all := moments(t,
		func(d *uploads.Dir) {
			p = accept(t, d, jpegOf(quarters(900, 600)))
			get(d, "/"+string(p.ID)+"?w=400")
		},
		func(d *uploads.Dir) { remove(t, d, p.ID) })
	for _, m := range all {
		finished(t, m.step, m.dir)
	}
	steps(t, all, "bury", "erase", "erase", "erase", "erase")
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
	want := []string{"spool", "unlink", "receive", "spool", "unlink", "encode", "create", "write", "sync", "rename", "sync folder"}
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
