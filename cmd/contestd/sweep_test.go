package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
)

// has tells whether the photo is on disk.
func (a *app) has(photo contest.Photo) bool {
	_, err := a.photos.Stat(uploads.PhotoID(photo.ID))
	return err == nil
}

// TestNothingIsSweptThatARestoreNeeds goes back behind an entry, sweeps, and goes
// forward again.
func TestNothingIsSweptThatARestoreNeeds(t *testing.T) {
	cfg := &config{StateDir: t.TempDir(), AdminUser: "admin", AdminPassword: testPassword}
	options := &atomicstore.Options{BackupDir: cfg.backupDir()}
	var a *app
	closed := true
	start := func() {
		t.Helper()
		var err error
		if a, err = openApp(t.Context(), cfg, newLogger(cfg, new(safeBuffer))); err != nil {
			t.Fatal(err)
		}
		closed = false
	}
	stop := func() {
		t.Helper()
		closed = true
		if err := a.close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if !closed {
			stop()
		}
	}()
	sweep := func() {
		t.Helper()
		if err := a.sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}

	start()
	first, second, orphan := acceptPhoto(t, a, 1), acceptPhoto(t, a, 2), acceptPhoto(t, a, 3)
	enter(t, a, "one", first)
	enter(t, a, "two", second)
	if err := a.sweep(t.Context(), time.Hour); err != nil || !a.has(orphan) {
		t.Errorf("a photo that has just come is swept: its entry may be on the way (%v)", err)
	}
	sweep()
	if !a.has(first) || !a.has(second) || a.has(orphan) {
		t.Errorf("swept: first %v, second %v, orphan %v; want the orphan alone", !a.has(first), !a.has(second), !a.has(orphan))
	}
	stop()

	if err := atomicstore.RestoreBefore(t.Context(), cfg.dataDir(), 2, options); err != nil {
		t.Fatal(err)
	}
	start()
	state, at := a.store.State()
	if _, there := state.Entry("two"); there || state.Len() != 1 {
		t.Fatal("the restore did not go back behind the second entry")
	}
	orphan = acceptPhoto(t, a, 3)
	sweep()
	if !a.has(first) || !a.has(second) || a.has(orphan) {
		t.Errorf("after a restore, swept: first %v, second %v, orphan %v; want the orphan alone", !a.has(first), !a.has(second), !a.has(orphan))
	}
	stop()

	// Forward again: the backup of the state that the restore replaced.
	backups, err := atomicstore.Backups(cfg.backupDir())
	if err != nil {
		t.Fatal(err)
	}
	newest := slices.IndexFunc(backups, func(b atomicstore.Backup) bool { return b.Seq == 2 && b.Epoch != at.Epoch })
	if newest < 0 {
		t.Fatalf("no backup has the second entry: %+v", backups)
	}
	if err := atomicstore.Restore(t.Context(), cfg.dataDir(), backups[newest].Path, options); err != nil {
		t.Fatal(err)
	}
	start()
	if state, _ := a.store.State(); state.Len() != 2 || !a.has(second) {
		t.Errorf("forward again there are %d entries, the second photo there: %v", state.Len(), a.has(second))
	}
	stop()

	// Back, and nothing leads forward any more.
	names := func(path string, photo contest.Photo) bool {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, []byte(photo.ID))
	}
	older := slices.IndexFunc(backups, func(b atomicstore.Backup) bool { return names(b.Path, first) && !names(b.Path, second) })
	if older < 0 {
		t.Fatalf("no backup has the first entry alone: %+v", backups)
	}
	if err := atomicstore.Restore(t.Context(), cfg.dataDir(), backups[older].Path, options); err != nil {
		t.Fatal(err)
	}
	start()
	files, err := filepath.Glob(filepath.Join(cfg.backupDir(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if names(path, second) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	sweep()
	if !a.has(first) || a.has(second) {
		t.Errorf("with no backup of it, swept: first %v, second %v; want the second alone", !a.has(first), !a.has(second))
	}
}

// TestNothingIsSweptWhenABackupCannotBeRead has a link to itself in place
// of the backups, and then other things.
func TestNothingIsSweptWhenABackupCannotBeRead(t *testing.T) {
	a := openTestApp(t, &config{StateDir: t.TempDir()})
	orphan := acceptPhoto(t, a, 1)
	good := a.cfg.StateDir
	bad := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(filepath.Join(bad, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("backups", filepath.Join(bad, "backups")); err != nil { // of itself
		t.Fatal(err)
	}
	a.cfg.StateDir = bad
	if err := a.sweep(t.Context(), 0); err == nil || !a.has(orphan) {
		t.Errorf("got %v, and the photo is there: %v", err, a.has(orphan))
	}
	if err := os.Remove(filepath.Join(bad, "backups")); err != nil {
		t.Fatal(err)
	}
	if err := a.sweep(t.Context(), 0); err == nil || !a.has(orphan) {
		t.Errorf("without the folder: got %v, and the photo is there: %v", err, a.has(orphan))
	}
	// One that is elsewhere counts.
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "backup"), []byte(orphan.ID), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(bad, "backups")); err != nil {
		t.Fatal(err)
	}
	if err := a.sweep(t.Context(), 0); err != nil || !a.has(orphan) {
		t.Errorf("in a folder that is linked: got %v, and the photo is there: %v", err, a.has(orphan))
	}
	a.cfg.StateDir = good
	if err := a.sweep(t.Context(), 0); err != nil || a.has(orphan) {
		t.Errorf("got %v, and the photo is there: %v", err, a.has(orphan))
	}
}

func TestIDsAreFoundWhereverTheyAre(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 64) }
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"in JSON":                      {`{"photo":{"id":"` + id("a") + `","url":"/uploads/` + id("a") + `"}}`, []string{id("a")}},
		"at both ends":                 {id("a") + "\x00" + id("b"), []string{id("a"), id("b")}},
		"between two reads":            {strings.Repeat("-", 256<<10-30) + id("c") + "-", []string{id("c")}},
		"too short":                    {id("a")[1:] + "-" + id("b")[1:], nil},
		"in upper case, which is none": {strings.ToUpper(id("a")), nil},
		"directly behind other digits": {"7" + id("a"), []string{"7" + id("a")[1:], id("a")}},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := map[uploads.PhotoID]bool{}
		if err := idsIn(path, got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: got %d ids, want %d", name, len(got), len(test.want))
		}
		for _, want := range test.want {
			if !got[uploads.PhotoID(want)] {
				t.Errorf("%s: %s is not found", name, want)
			}
		}
	}
}
