//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const nobody = 65534

// stranger closes a folder of the store, and runs storectl as a user who may
// not look into it. Root may look into everything, so root becomes somebody
// else, in a process of its own.
func (h home) stranger(t testing.TB, closed string) func(args ...string) result {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(closed, 0o700) })
	if os.Geteuid() != 0 {
		must(os.Chmod(closed, 0))
		return func(args ...string) result { return storectl(t, args...) }
	}
	// go test keeps its programs where root alone may go.
	program := filepath.Join(h.folder, "storectl.test")
	from, err := os.ReadFile(os.Args[0])
	must(err)
	must(os.WriteFile(program, from, 0o700))
	must(filepath.WalkDir(h.folder, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	}))
	must(os.Chmod(filepath.Dir(h.folder), 0o755))
	must(os.Chmod(closed, 0))
	return func(args ...string) result {
		t.Helper()
		var out, err bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), mainVariable+"=1")
		cmd.Dir = h.folder
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Stdout, cmd.Stderr = &out, &err
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return result{cmd.ProcessState.ExitCode(), out.String(), err.String()}
	}
}
