package uploads_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

func TestDeleteRemovesAPhotoAndItsCopies(t *testing.T) {
	d, path := given(t, nil)
	photo := jpegOf(quarters(900, 600))
	p := accept(t, d, photo)
	get(d, "/"+string(p.ID)+"?w=400")
	if err := d.Delete(p.ID); err != nil {
		t.Fatal(err)
	}
	if got := files(t, path); len(got) != 1 || got[0] != "deleted/"+string(p.ID) {
		t.Errorf("got %v, want the tombstone alone", got)
	}
	if _, err := d.Stat(p.ID); !errors.Is(err, uploads.ErrUnknownPhoto) {
		t.Errorf("got %v, want ErrUnknownPhoto", err)
	}
	if err := d.Delete(p.ID); !errors.Is(err, uploads.ErrUnknownPhoto) {
		t.Errorf("again: got %v, want ErrUnknownPhoto", err)
	}
	if s := d.Stats(); s.Photos != 0 || s.Deleted != 1 {
		t.Errorf("got %+v, want one deleted", s)
	}

	accept(t, d, photo) // somebody sends it again
	if got := files(t, path); len(got) != 1 || got[0] != string(p.ID)+".jpg" {
		t.Errorf("got %v, want the photo alone", got)
	}
	if got := get(d, "/"+string(p.ID)).StatusCode; got != 200 {
		t.Errorf("got status %d, want 200", got)
	}
}

func TestSweepDeletesWhatNothingNames(t *testing.T) {
	d, path := given(t, nil)
	age := func(p uploads.Photo, by time.Duration) {
		t.Helper()
		at := time.Now().Add(-by)
		if err := os.Chtimes(filepath.Join(path, string(p.ID)+".jpg"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	held := accept(t, d, jpegOf(quarters(61, 48)))
	orphan := accept(t, d, jpegOf(quarters(62, 48)))
	young := accept(t, d, jpegOf(quarters(63, 48)))
	again := accept(t, d, jpegOf(quarters(64, 48)))
	meanwhile := accept(t, d, jpegOf(quarters(65, 48)))
	for _, p := range []uploads.Photo{held, orphan, again, meanwhile} {
		age(p, 2*time.Hour)
	}
	age(young, 30*time.Minute)
	accept(t, d, jpegOf(quarters(64, 48))) // its grace starts anew

	n, err := d.Sweep(t.Context(), time.Hour, func(id uploads.PhotoID) bool {
		if id == meanwhile.ID {
			accept(t, d, jpegOf(quarters(65, 48))) // just after it was looked up
			return false
		}
		return id == held.ID
	})
	if n != 1 || err != nil {
		t.Errorf("got %d and %v, want 1", n, err)
	}
	for name, p := range map[string]uploads.Photo{"held": held, "young": young, "accepted again": again, "accepted meanwhile": meanwhile} {
		if _, err := d.Stat(p.ID); err != nil {
			t.Errorf("%s: got %v, want it kept", name, err)
		}
	}
	if _, err := d.Stat(orphan.ID); !errors.Is(err, uploads.ErrUnknownPhoto) {
		t.Errorf("orphan: got %v, want it deleted", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Sweep(ctx, 0, func(uploads.PhotoID) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
