package atomicstore_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// loopDisk is an ext4 of its own, in a file.
type loopDisk struct {
	t       *testing.T
	image   string
	mounted bool
	path    string // where it is mounted
}

// newLoopDisk makes a disk and mounts it, or skips the test where that is not
// possible.
func newLoopDisk(t *testing.T, size string, options ...string) *loopDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a disk")
	}
	dir := t.TempDir()
	d := &loopDisk{t: t, image: filepath.Join(dir, "image"), path: filepath.Join(dir, "mount")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"truncate", "-s", size, d.image},
		{"mkfs.ext4", "-q", "-m", "0", d.image},
		append([]string{"mount", d.image, d.path, "-o"}, strings.Join(append([]string{"loop"}, options...), ",")),
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("cannot mount a disk: %v: %v: %s", command, err, out)
		}
	}
	d.mounted = true
	t.Cleanup(func() {
		d.umount()
		os.Remove(d.image)
	})
	return d
}

func (d *loopDisk) mount() {
	d.t.Helper()
	d.run("mount", "-o", "loop", d.image, d.path)
	d.mounted = true
}

func (d *loopDisk) umount() {
	d.t.Helper()
	if d.mounted {
		d.run("umount", d.path)
		d.mounted = false
	}
}

func (d *loopDisk) run(command ...string) {
	d.t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %v: %s", command, err, out)
	}
}

// device is the name of the block device, and the options that the kernel says
// the disk has.
func (d *loopDisk) device() (name, options string) {
	d.t.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range bytes.Lines(mounts) {
		if fields := strings.Fields(string(line)); len(fields) > 3 && fields[1] == d.path {
			return filepath.Base(fields[0]), fields[3]
		}
	}
	d.t.Fatalf("%s is not mounted", d.path)
	return "", ""
}

// fill takes all that is free but so many bytes, with a file, and returns it.
func (d *loopDisk) fill(but int64) (ballast string) {
	d.t.Helper()
	ballast = filepath.Join(d.path, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 64<<10); len(piece) >= 512; { // ever smaller, to the last block
		if _, err := f.Write(piece); err != nil {
			piece = piece[:len(piece)/2]
		}
	}
	if err := f.Sync(); err != nil {
		d.t.Fatal(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Truncate(max(0, info.Size()-but))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return ballast
}

// check repairs the disk, as a machine does when it starts.
func (d *loopDisk) check() {
	d.t.Helper()
	out, err := exec.Command("e2fsck", "-p", "-f", d.image).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) { // 1: repaired
		d.t.Fatalf("e2fsck: %v: %s", err, out)
	}
}
