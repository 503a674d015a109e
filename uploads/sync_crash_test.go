package uploads_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

// folderRemote is a Remote that outlives the process: a folder with the photos
// and a file "log" with every call. step is called before and after each; an
// error before it prevents it, one after it keeps the Syncer from hearing of it.
type folderRemote struct {
	path string
	step func(string) error
}

func alive(string) error { return nil }

func (r folderRemote) Name() string { return "folder" }

func (r folderRemote) Put(_ context.Context, id uploads.PhotoID, photo *os.File) (string, error) {
	b, err := io.ReadAll(photo)
	if err != nil {
		return "", err
	}
	if err := r.step("before put"); err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(filepath.Join(r.path, string(id)), b, 0o600), r.log("put", id)); err != nil {
		return "", err
	}
	return "folder:" + string(id), r.step("after put")
}

func (r folderRemote) Delete(_ context.Context, id uploads.PhotoID) error {
	if err := r.step("before delete"); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(r.path, string(id)))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, r.log("delete", id), r.step("after delete"))
}

func (r folderRemote) moved(_ context.Context, id uploads.PhotoID, url string) error {
	if err := r.step("before report"); err != nil {
		return err
	}
	return errors.Join(r.log("moved", id), r.step("after report"))
}

func (r folderRemote) log(verb string, id uploads.PhotoID) error {
	f, err := os.OpenFile(filepath.Join(r.path, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, verb, id)
	return errors.Join(err, f.Close())
}

// mirror mirrors a folder until nothing is left to do, or ctx ends.
func mirror(ctx context.Context, d *uploads.Dir, r folderRemote) error {
	o := &uploads.SyncOptions{OnMoved: r.moved, Parallel: 1} // one: the steps have an order
	o.WithSettle(time.Nanosecond)
	s := uploads.NewSyncer(d, r, o)
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && !mirrored(filepath.Dir(r.path)) {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	stop()
	return <-ended
}

// mirrored tells whether the notes on disk say that everything is done.
func mirrored(dir string) bool {
	type note struct {
		Reported time.Time
		Deleted  bool
	}
	of := func(id string) (n note) {
		b, _ := os.ReadFile(filepath.Join(dir, "uploads", "mirrored", id))
		json.Unmarshal(b, &n)
		return n
	}
	photos, _ := filepath.Glob(filepath.Join(dir, "uploads", "*.jpg"))
	graves, _ := filepath.Glob(filepath.Join(dir, "uploads", "deleted", "*"))
	for _, p := range photos {
		info, err := os.Stat(p)
		if err != nil || !of(strings.TrimSuffix(filepath.Base(p), ".jpg")).Reported.Equal(info.ModTime()) {
			return false
		}
	}
	for _, g := range graves {
		if !of(filepath.Base(g)).Deleted {
			return false
		}
	}
	return true
}

// TestAKilledSyncerGoesOnWhereItWas ends it before every step on the disk, and
// before and after every call to the remote and to OnMoved: from then on nothing
// that it does has an effect. What a killed process leaves is the same but for
// temporary files, which TestOpenDirRemovesOnlyWhatACrashLeft has.
func TestAKilledSyncerGoesOnWhereItWas(t *testing.T) {
	var names []string
	for killed := true; killed; {
		base := t.TempDir()
		dir, cloud := filepath.Join(base, "uploads"), filepath.Join(base, "cloud")
		if err := os.Mkdir(cloud, 0o700); err != nil {
			t.Fatal(err)
		}
		remote := folderRemote{cloud, alive}
		open := func(o *uploads.Options) *uploads.Dir {
			t.Helper()
			d, err := uploads.OpenDir(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := open(nil)
		gone := accept(t, d, small(1)).ID // there, then deleted
		if err := mirror(t.Context(), d, remote); err != nil {
			t.Fatal(err)
		}
		remove(t, d, gone)
		never := accept(t, d, small(2)).ID // deleted before it was there
		remove(t, d, never)
		fresh := accept(t, d, small(3)).ID
		d.Close()

		ctx, kill := context.WithCancel(t.Context())
		steps := 0
		killed = false
		step := func(name string) error {
			if steps++; steps == len(names)+1 {
				killed = true
				names = append(names, name)
				kill()
			}
			if killed {
				return errors.New("the process is dead")
			}
			return nil
		}
		o := &uploads.Options{}
		o.OnStep(step)
		d = open(o)
		if err := mirror(ctx, d, folderRemote{cloud, step}); err != nil {
			t.Fatal(err)
		}
		kill()
		d.Close()
		at := fmt.Sprintf("killed at step %d, %s", len(names), names[len(names)-1])

		has := func(id uploads.PhotoID) bool { _, err := os.Stat(filepath.Join(cloud, string(id))); return err == nil }
		d = open(nil)
		if _, err := d.Place(fresh); err == nil && !has(fresh) {
			t.Errorf("%s: it was taken for mirrored and is not there", at)
		}
		// Somebody sends the deleted photo again, or not.
		want := []string{string(fresh)}
		back := len(names)%2 == 0
		if back {
			accept(t, d, small(1))
			want = append(want, string(gone))
		}
		if err := mirror(t.Context(), d, remote); err != nil {
			t.Fatal(err)
		}
		d.Close()
		b, err := os.ReadFile(filepath.Join(cloud, "log"))
		if err != nil {
			t.Fatal(err)
		}
		calls := func(verb string, id uploads.PhotoID) int { return strings.Count(string(b), verb+" "+string(id)) }
		got := files(t, cloud)
		got = slices.DeleteFunc(got, func(name string) bool { return name == "log" })
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: in the cloud are %v, want %v", at, got, want)
		}
		if n := calls("put", fresh); n < 1 || n > 2 {
			t.Errorf("%s: it was put %d times", at, n)
		}
		if calls("moved", fresh) < 1 || back && calls("moved", gone) < 2 || calls("moved", never) > 0 {
			t.Errorf("%s: OnMoved heard\n%s", at, b)
		}
		if calls("delete", never) < 1 || !back && calls("delete", gone) < 1 || calls("put", never) > 0 {
			t.Errorf("%s: the remote heard\n%s", at, b)
		}
	}
	for _, name := range []string{"create mark", "rename mark", "sync marks", "before put", "after put", "before delete", "after delete", "before report", "after report"} {
		if !slices.Contains(names, name) {
			t.Errorf("it was never killed at %s: %v", name, names)
		}
	}
	if len(names) < 20 {
		t.Errorf("only %d steps were tried", len(names))
	}
}
