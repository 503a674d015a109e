package uploads_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

// cloud is a Remote in memory that does as it is told.
type cloud struct {
	name string

	mu      sync.Mutex // guards the fields below
	photos  map[uploads.PhotoID]bool
	puts    map[uploads.PhotoID]int // that came to the cloud
	deletes map[uploads.PhotoID]int
	calls   []call
	answer  func(ctx context.Context, c call) error // nil is well
}

// call is one that came to the cloud.
type call struct {
	verb string // put, delete
	id   uploads.PhotoID
	at   time.Time
}

func newCloud() *cloud {
	return &cloud{
		name:    "cloud",
		photos:  map[uploads.PhotoID]bool{},
		puts:    map[uploads.PhotoID]int{},
		deletes: map[uploads.PhotoID]int{},
	}
}

func (c *cloud) Name() string { return c.name }

func (c *cloud) Put(ctx context.Context, id uploads.PhotoID, photo *os.File) (string, error) {
	if err := c.called(ctx, "put", id); err != nil {
		return "", err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, photo); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.photos[uploads.PhotoID(hex.EncodeToString(hash.Sum(nil)))] = true
	c.puts[id]++
	return "https://" + c.name + "/" + string(id), nil
}

func (c *cloud) Delete(ctx context.Context, id uploads.PhotoID) error {
	if err := c.called(ctx, "delete", id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.photos, id)
	c.deletes[id]++
	return nil
}

func (c *cloud) called(ctx context.Context, verb string, id uploads.PhotoID) error {
	c.mu.Lock()
	x := call{verb, id, time.Now()}
	c.calls = append(c.calls, x)
	answer := c.answer
	c.mu.Unlock()
	if answer == nil {
		return ctx.Err()
	}
	return answer(ctx, x)
}

// says makes the cloud answer so from now on.
func (c *cloud) says(answer func(ctx context.Context, c call) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func (c *cloud) fails(err error) {
	c.says(func(context.Context, call) error { return err })
}

// log returns the calls so far.
func (c *cloud) log() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// has returns what is in the cloud.
func (c *cloud) has() []uploads.PhotoID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.photos))
}

// ids returns what is in the folder.
func ids(t testing.TB, d *uploads.Dir) []uploads.PhotoID {
	t.Helper()
	var all []uploads.PhotoID
	for id, err := range d.Walk() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

// run runs a Syncer until the test ends or stop is called, which returns when
// nothing of it is left.
func run(t testing.TB, s *uploads.Syncer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ends with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// bubble runs a test in fake time with an open folder.
func bubble(t *testing.T, f func(t *testing.T, d *uploads.Dir)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, _ := given(t, nil)
		f(t, d)
	})
}

// after lets time pass and everything that happens in it happen.
func after(d time.Duration) {
	time.Sleep(d) // fake time: it is a synctest bubble
	synctest.Wait()
}

// small returns one of many small photos.
func small(n int) []byte { return jpegOf(quarters(16+n, 16)) }
