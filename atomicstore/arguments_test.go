package atomicstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// hidden keeps nothing that encoding/json writes.
type hidden struct{ lines []string }

func (h *hidden) Clone() *hidden { return &hidden{h.lines[:len(h.lines):len(h.lines)]} }

func TestOpenFindsMistakesInItsArguments(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct {
		open func() (any, error)
		want string
	}{
		"no directory":  {func() (any, error) { return Open("", &ledger{}, applyEntry, nil) }, "no name"},
		"no apply":      {func() (any, error) { return Open[*ledger, entry](dir, &ledger{}, nil, nil) }, "apply is nil"},
		"no state":      {func() (any, error) { return Open(dir, nil, applyEntry, nil) }, "is nil"},
		"nothing keeps": {func() (any, error) { return Open(dir, &hidden{}, func(*hidden, entry) error { return nil }, nil) }, "MarshalJSON"},
	}
	for name, test := range tests {
		if _, err := test.open(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("the directory has %v, %v; nothing should be made", names, err)
	}
}

// A backup is a link to a data.json: elsewhere there would never be one.
func TestBackupsMustBeOnTheSameFileSystem(t *testing.T) {
	elsewhere, err := os.MkdirTemp("/dev/shm", "backups")
	if err != nil {
		t.Skip("there is no second file system to try: ", err)
	}
	defer os.RemoveAll(elsewhere)
	dir := t.TempDir()
	if same, err := (vfs.Disk{}).SameDevice(dir, elsewhere); err != nil || same {
		t.Skip("there is no second file system to try: ", err)
	}
	if _, err := openLedger(dir, &Options{BackupDir: elsewhere}); err == nil || !strings.Contains(err.Error(), "same file system") {
		t.Errorf("got %v", err)
	}
	mustClose(t, mustOpen(t, dir, nil)) // the lock is free again
}

// TestAPanicOfApplyOnTheLogIsAnError of Open and of At, which names the change.
func TestAPanicOfApplyOnTheLogIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, &Options{BackupDir: filepath.Join(dir, "backups")})
	checkpoint(t, s)
	s.checkpoints.stop() // the next one comes too late
	mustWrite(t, s, "one", "two")
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s.apply = func(*ledger, entry) error { panic("not again") }
	wants := func(err error) {
		t.Helper()
		var p *PanicError
		if !errors.As(err, &p) || !strings.Contains(err.Error(), "change 1") {
			t.Errorf("got %v, want *PanicError of change 1", err)
		}
	}
	_, err := s.At(t.Context(), 1)
	wants(err)
	_, err = Open(crashed, &ledger{}, s.apply, nil)
	wants(err)
	again := mustOpen(t, crashed, nil) // the lock is free
	wantLines(t, again, "one", "two")
	mustClose(t, again)
	s.Close()
}
