package uploads_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

func TestOpenDirMakesTheFolderAndKeepsThePhotos(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "deep", "uploads")
	d, err := uploads.OpenDir(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	photo := jpegOf(quarters(64, 48))
	p := accept(t, d, photo)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	if d, err = uploads.OpenDir(path, nil); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.Stat(p.ID)
	if err != nil || got.ID != p.ID || got.Width != 64 || got.Height != 48 || got.Bytes != p.Bytes || got.AcceptedAt.IsZero() {
		t.Errorf("got %+v and %v, want %+v", got, err, p)
	}
	if s := d.Stats(); s.Photos != 1 || s.Accepted != 0 || s.FreeBytes == 0 {
		t.Errorf("got %+v, want one photo", s)
	}
	if again := accept(t, d, photo); again.ID != p.ID || d.Stats().Photos != 1 {
		t.Errorf("got %s, want %s once", again.ID, p.ID)
	}
}

func TestOpenDirRemovesOnlyWhatACrashLeft(t *testing.T) {
	path := t.TempDir()
	id := strings.Repeat("ab", 32)
	keep := []string{".gitkeep", "README", id + ".jpg", "w400/" + id + ".jpg"}
	for _, name := range append(keep, ".spool-ABC", "."+id+".jpg123", "w800/"+strings.Repeat("cd", 32)+".jpg") {
		os.MkdirAll(filepath.Join(path, filepath.Dir(name)), 0o700)
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := uploads.OpenDir(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var left []string
	filepath.WalkDir(path, func(name string, e os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(path, name); !e.IsDir() {
			left = append(left, rel)
		}
		return err
	})
	slices.Sort(left)
	slices.Sort(keep)
	if !slices.Equal(left, keep) {
		t.Errorf("got %v, want %v", left, keep)
	}
}

func TestOpenDirFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if d, err := uploads.OpenDir(path, nil); err == nil || !strings.HasPrefix(err.Error(), "uploads: open "+path) {
			t.Errorf("%s: got %v and error %v", path, d, err)
		}
	}
}

func TestNothingOutsideTheFolderIsReached(t *testing.T) {
	d, path := given(t, nil)
	outside := filepath.Join(t.TempDir(), "outside.jpg")
	if err := os.WriteFile(outside, jpegOf(quarters(64, 48)), 0o600); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("0", 64)
	if err := os.Symlink(outside, filepath.Join(path, id+".jpg")); err != nil {
		t.Fatal(err)
	}
	if f, err := d.Open(uploads.PhotoID(id)); err == nil {
		f.Close()
		t.Error("a link leads outside")
	}
	if got := get(d, "/"+id).StatusCode; got == 200 {
		t.Error("a link is served")
	}
	for _, id := range []uploads.PhotoID{"", ".", "..", "../x", uploads.PhotoID(outside), "README"} {
		if _, err := d.Open(id); !errors.Is(err, uploads.ErrUnknownPhoto) {
			t.Errorf("Open %q: got %v, want ErrUnknownPhoto", id, err)
		}
		if err := d.Delete(id); !errors.Is(err, uploads.ErrUnknownPhoto) {
			t.Errorf("Delete %q: got %v, want ErrUnknownPhoto", id, err)
		}
	}
}

func TestWalkGivesEveryPhoto(t *testing.T) {
	d, path := given(t, nil)
	want := map[uploads.PhotoID]bool{}
	for i := range 5 {
		p := accept(t, d, jpegOf(quarters(600+i, 48)))
		get(d, "/"+string(p.ID)+"?w=400")
		want[p.ID] = true
	}
	if err := os.WriteFile(filepath.Join(path, "note.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for id, err := range d.Walk() {
		if err != nil || !want[id] {
			t.Errorf("got %q and %v", id, err)
		}
		n++
	}
	if n != 5 {
		t.Errorf("got %d photos, want 5", n)
	}
	for range d.Walk() {
		break
	}
}

func TestADamagedPhotoIsHealedByTheSameOne(t *testing.T) {
	photo := jpegOf(quarters(640, 480))
	for name, damage := range map[string]func(path string) error{
		"shorter": func(path string) error { return os.Truncate(path, 100) },
		"of the same length": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, path := given(t, nil)
			p := accept(t, d, photo)
			if err := damage(filepath.Join(path, string(p.ID)+".jpg")); err != nil {
				t.Fatal(err)
			}
			narrower := filepath.Join(path, "w400", string(p.ID)+".jpg") // made of the damaged one
			if err := os.WriteFile(narrower, []byte("damaged too"), 0o600); err != nil {
				t.Fatal(err)
			}
			accept(t, d, photo)
			if sum := sha256.Sum256(stored(t, d, p.ID)); hex.EncodeToString(sum[:]) != string(p.ID) {
				t.Error("it is still damaged")
			}
			if _, err := os.Stat(narrower); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the copy of the damaged one: got %v, want it gone", err)
			}
			if s := d.Stats(); s.Photos != 1 || s.Again != 0 {
				t.Errorf("got %+v, want one photo", s)
			}
			accept(t, d, photo)
			if s := d.Stats(); s.Photos != 1 || s.Again != 1 {
				t.Errorf("and again: got %+v, want it stored once", s)
			}
		})
	}
}

func TestAfterCloseEverythingIsErrClosed(t *testing.T) {
	d, err := uploads.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	photo := jpegOf(quarters(64, 48))
	p := accept(t, d, photo)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, acceptErr := d.Accept(t.Context(), bytes.NewReader(photo))
	_, openErr := d.Open(p.ID)
	_, statErr := d.Stat(p.ID)
	_, sweepErr := d.Sweep(t.Context(), 0, func(uploads.PhotoID) bool { return false })
	for name, err := range map[string]error{"Accept": acceptErr, "Open": openErr, "Stat": statErr, "Sweep": sweepErr, "Delete": d.Delete(p.ID)} {
		if !errors.Is(err, uploads.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	for _, err := range d.Walk() {
		if !errors.Is(err, uploads.ErrClosed) {
			t.Errorf("Walk: got %v, want ErrClosed", err)
		}
	}
}

func TestCloseInTheMiddleOfAnAccept(t *testing.T) {
	for _, at := range []string{"receive", "encode"} {
		path := filepath.Join(t.TempDir(), "uploads")
		o, d := &uploads.Options{}, (*uploads.Dir)(nil)
		o.OnStep(func(name string) error {
			if name == at {
				return d.Close()
			}
			return nil
		})
		d, err := uploads.OpenDir(path, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Accept(t.Context(), bytes.NewReader(jpegOf(quarters(64, 48)))); !errors.Is(err, uploads.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", at, err)
		}
		if got := files(t, path); len(got) != 0 {
			t.Errorf("%s: left %v", at, got)
		}
	}
}

func TestPhotosAreReadableByTheirOwnerAlone(t *testing.T) {
	d, path := given(t, nil)
	p := accept(t, d, jpegOf(quarters(900, 600)))
	get(d, "/"+string(p.ID)+"?w=400")
	for _, name := range files(t, path) {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Mode().Perm() != fs.FileMode(0o600) {
			t.Errorf("%s: got %v and %v, want 0600", name, info.Mode(), err)
		}
	}
}
