package uploads_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

func remove(t *testing.T, d *uploads.Dir, id uploads.PhotoID) {
	t.Helper()
	if err := d.Delete(id); err != nil {
		t.Fatal(err)
	}
}

func TestADeletionReachesTheRemote(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		s := uploads.NewSyncer(d, c, nil)
		stop := run(t, s)
		p := accept(t, d, small(1))
		after(time.Hour)
		remove(t, d, p.ID)
		after(time.Second)
		if _, err := d.Place(p.ID); len(c.has()) != 0 || !errors.Is(err, uploads.ErrUnknownPhoto) {
			t.Errorf("it is there: %v, %v", c.has(), err)
		}
		if got := s.Stats(); got.Deleted != 1 || got.Pending != 0 {
			t.Errorf("got %+v, want one deleted", got)
		}
		stop()
		run(t, uploads.NewSyncer(d, c, nil))
		after(2 * time.Hour)
		if n := c.deletes[p.ID]; n != 1 {
			t.Errorf("it was deleted %d times", n)
		}
		accept(t, d, small(1)) // somebody sends it again
		after(time.Second)
		if got := c.has(); !slices.Equal(got, []uploads.PhotoID{p.ID}) {
			t.Errorf("sent again, %v is there", got)
		}
	})
}

func TestADeletionThatIsNotConfirmedIsKeptOverRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		stop := run(t, uploads.NewSyncer(d, c, nil))
		p := accept(t, d, small(1))
		after(time.Second)
		c.fails(&uploads.RemoteError{Status: 500})
		remove(t, d, p.ID)
		for range 3 {
			after(2 * time.Hour)
			stop()
			s := uploads.NewSyncer(d, c, nil)
			stop = run(t, s)
			after(time.Second)
			if got := s.Stats(); got.Deletions != 1 || got.Pending != 1 {
				t.Errorf("got %+v, want the deletion pending", got)
			}
			if got := get(d, "/"+string(p.ID)).StatusCode; got != 410 {
				t.Errorf("got status %d, want 410", got)
			}
		}
		c.says(nil)
		after(time.Hour)
		if len(c.has()) != 0 {
			t.Error("the photo is still there")
		}
	})
}

// TestOldGravesAreSweptAtLast sets the time that the file system keeps.
func TestOldGravesAreSweptAtLast(t *testing.T) {
	d, path := given(t, nil)
	c := newCloud()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	old := accept(t, d, small(1)).ID
	young := accept(t, d, small(2)).ID
	remove(t, d, old)
	remove(t, d, young)
	unconfirmed := accept(t, d, small(3)).ID
	remove(t, d, unconfirmed)
	c.fails(&uploads.RemoteError{Status: 500})
	mark := func(id uploads.PhotoID) string { return filepath.Join(path, "mirrored", string(id)) }
	grave := func(id uploads.PhotoID) string { return filepath.Join(path, "deleted", string(id)) }
	for _, id := range []uploads.PhotoID{old, young} {
		if err := os.WriteFile(mark(id), []byte(`{"remote":"cloud","deleted":true}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const day = 24 * time.Hour
	for id, age := range map[uploads.PhotoID]time.Duration{old: 31 * day, unconfirmed: 31 * day, young: 29 * day} {
		at := time.Now().Add(-age)
		if err := os.Chtimes(grave(id), at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := uploads.NewSyncer(d, c, nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	until(t, func() bool {
		_, err := os.Stat(mark(old))
		// The mark goes before the job ends.
		return errors.Is(err, os.ErrNotExist) && len(c.log()) > 0 && s.Stats().Deletions == 1
	})
	if got := s.Stats(); got.Deletions != 1 || got.Oldest < 31*24*time.Hour {
		t.Errorf("got %+v, want the old deletion pending", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{grave(old): false, mark(old): false, grave(young): true, mark(young): true, grave(unconfirmed): true} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("%s: got %v, want it there: %v", name, err, want)
		}
	}
}

// TestKeepDeletedIsAnOption: an hour, not 30 days.
func TestKeepDeletedIsAnOption(t *testing.T) {
	d, path := given(t, nil)
	grave := func(id uploads.PhotoID) string { return filepath.Join(path, "deleted", string(id)) }
	old, young := accept(t, d, small(1)).ID, accept(t, d, small(2)).ID
	for id, age := range map[uploads.PhotoID]time.Duration{old: 2 * time.Hour, young: time.Minute} {
		remove(t, d, id)
		at := time.Now().Add(-age)
		if err := errors.Join(os.Chtimes(grave(id), at, at),
			os.WriteFile(filepath.Join(path, "mirrored", string(id)), []byte(`{"remote":"cloud","deleted":true}`), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	// What a process leaves that ends in the middle of forgetting.
	leftover := filepath.Join(path, "mirrored", strings.Repeat("0", 64))
	if err := os.WriteFile(leftover, []byte(`{"remote":"cloud","deleted":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	last := accept(t, d, small(3)).ID
	stop := run(t, uploads.NewSyncer(d, newCloud(), &uploads.SyncOptions{KeepDeleted: time.Hour}))
	until(t, func() bool {
		_, old := os.Stat(grave(old))
		_, left := os.Stat(leftover)
		_, err := d.Place(last)
		return errors.Is(old, os.ErrNotExist) && errors.Is(left, os.ErrNotExist) && err == nil
	})
	stop()
	if _, err := os.Stat(grave(young)); err != nil {
		t.Errorf("the young one: %v", err)
	}
	for id, want := range map[uploads.PhotoID]int{old: 404, young: 410} {
		if got := get(d, "/"+string(id)).StatusCode; got != want {
			t.Errorf("got status %d, want %d", got, want)
		}
	}
}

// TestATombstoneStaysAsLongAsItsPhoto: a deletion that cannot erase the photo is
// not forgotten, however old it is.
func TestATombstoneStaysAsLongAsItsPhoto(t *testing.T) {
	o := &uploads.Options{}
	o.OnStep(func(name string) error {
		if name == "erase" {
			return errors.New("the disk says no")
		}
		return nil
	})
	d, path := given(t, o)
	id := accept(t, d, small(1)).ID
	if err := d.Delete(id); err == nil {
		t.Fatal("the deletion did not fail")
	}
	grave := filepath.Join(path, "deleted", string(id))
	at := time.Now().Add(-31 * 24 * time.Hour)
	if err := errors.Join(os.Chtimes(grave, at, at),
		os.WriteFile(filepath.Join(path, "mirrored", string(id)), []byte(`{"remote":"cloud","deleted":true}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	last := accept(t, d, small(2)).ID
	s := uploads.NewSyncer(d, newCloud(), nil)
	stop := run(t, s)
	until(t, func() bool { // once one of them is done, all are known
		_, err := d.Place(last)
		return err == nil && s.Stats().Pending == 0
	})
	stop()
	if _, err := os.Stat(grave); err != nil {
		t.Errorf("the photo is back: %v", err)
	}
}

func TestADeletionDuringAnUploadEndsIt(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c, m := newCloud(), &moves{}
		var p uploads.Photo
		late := make(chan struct{})
		c.says(func(ctx context.Context, x call) error {
			if x.verb == "delete" {
				return nil
			}
			<-ctx.Done()
			// The remote has all of it and carries it out, after the deletion.
			time.AfterFunc(time.Minute, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.photos[x.id] = true
				close(late)
			})
			return ctx.Err()
		})
		s := uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on})
		run(t, s)
		p = accept(t, d, small(1))
		after(time.Second)
		start := time.Now()
		remove(t, d, p.ID)
		after(time.Second)
		if got := c.log(); len(got) != 2 || got[1].verb != "delete" || got[1].at.Sub(start) != 0 {
			t.Errorf("got %v, want the deletion at once", got)
		}
		<-late
		if len(c.has()) != 1 || s.Stats().Deletions != 1 {
			t.Fatal("the test is not about what it says")
		}
		after(time.Hour)
		if got := s.Stats(); len(c.has()) != 0 || got.Pending != 0 || got.Failures != 0 || m.of(p.ID) != 0 {
			t.Errorf("it is there: %v; %+v; %d reports", c.has(), got, m.of(p.ID))
		}
	})
}

func TestAPhotoThatIsBackIsNotPutBeforeItsDeletionIsOver(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		stop := run(t, uploads.NewSyncer(d, c, nil))
		p := accept(t, d, small(1))
		after(time.Second)
		c.says(func(ctx context.Context, x call) error {
			if x.verb == "put" {
				return nil
			}
			time.AfterFunc(4*time.Minute, func() { // long after the connection was cut
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.photos, x.id)
			})
			<-ctx.Done()
			return ctx.Err()
		})
		remove(t, d, p.ID)
		after(time.Second)
		accept(t, d, small(1))
		stop() // also over a restart
		run(t, uploads.NewSyncer(d, c, nil))
		after(time.Second)
		if _, err := d.Place(p.ID); err == nil {
			t.Error("what is being deleted counts as mirrored")
		}
		after(time.Hour)
		if len(c.has()) != 1 {
			t.Error("the photo is not there")
		}
	})
}

// TestASuccessThatComesTooLate has a remote that does not look at the context: the
// photo arrives there after it was deleted here, and after the time for a try.
func TestASuccessThatComesTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c, m := newCloud(), &moves{}
		c.says(func(_ context.Context, x call) error {
			if x.verb == "put" {
				time.Sleep(3 * time.Minute)
			}
			return nil
		})
		s := uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on})
		run(t, s)
		late, gone := accept(t, d, small(1)).ID, accept(t, d, small(2)).ID
		after(time.Second)
		remove(t, d, gone)
		if _, err := d.Place(gone); !errors.Is(err, uploads.ErrUnknownPhoto) {
			t.Errorf("got %v, want no place of what is deleted", err)
		}
		after(4 * time.Minute)
		if c.puts[gone] != 1 {
			t.Fatalf("%d puts of the photo that is deleted: this test asks for nothing", c.puts[gone])
		}
		after(30 * time.Minute)
		if got := c.has(); len(got) != 1 || got[0] != late {
			t.Errorf("the remote has %v, want what the folder has", got)
		}
		if m.of(gone) != 0 || m.of(late) != 1 || c.puts[late] != 1 {
			t.Errorf("%d reports of what was deleted, %d of the other in %d puts, want 0, 1 and 1", m.of(gone), m.of(late), c.puts[late])
		}
		if got := s.Stats(); got.Pending != 0 || got.Mirrored != 2 || got.Deleted != 1 {
			t.Errorf("got %+v, want nothing left", got)
		}
	})
}
