package uploads_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/uploads"
)

// moves collects what OnMoved hears.
type moves struct {
	mu   sync.Mutex // guards seen
	seen map[uploads.PhotoID]int
}

func (m *moves) on(_ context.Context, id uploads.PhotoID, url string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[uploads.PhotoID]int{}
	}
	if !strings.HasSuffix(url, string(id)) {
		return fmt.Errorf("%s is not the place of %s", url, id)
	}
	m.seen[id]++
	return nil
}

func (m *moves) of(id uploads.PhotoID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[id]
}

func TestPhotosAreMirroredOnce(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c, m := newCloud(), &moves{}
		before := accept(t, d, small(1)) // the Syncer does not run yet
		s := uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on})
		stop := run(t, s)
		during := accept(t, d, small(2))
		after(0)
		for _, p := range []uploads.Photo{before, during} {
			if c.puts[p.ID] != 1 || m.of(p.ID) != 1 {
				t.Errorf("%s: %d puts, %d reports, want 1 and 1", p.ID, c.puts[p.ID], m.of(p.ID))
			}
			if url, err := d.Place(p.ID); url != "https://cloud/"+string(p.ID) || err != nil {
				t.Errorf("it is at %q, %v", url, err)
			}
		}
		if got := s.Stats(); got.Mirrored != 2 || got.Pending != 0 || got.Breaker != "closed" || got.Failures != 0 {
			t.Errorf("got %+v, want two mirrored", got)
		}

		stop() // and a new one finds nothing to do
		run(t, uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on}))
		after(2 * time.Hour)
		if got := len(c.log()); got != 2 {
			t.Errorf("got %d calls, want 2", got)
		}

		// Somebody else's entry shows the same photo: the server hears of its place.
		accept(t, d, small(1))
		after(0)
		if c.puts[before.ID] != 1 || m.of(before.ID) != 2 {
			t.Errorf("sent again: %d puts, %d reports, want 1 and 2", c.puts[before.ID], m.of(before.ID))
		}
	})
}

// TestEveryFailureAndWhatTheSyncerDoes goes through what a remote can do wrong.
// The photo is in the cloud in the end, or parked; it is never taken for
// mirrored before.
func TestEveryFailureAndWhatTheSyncerDoes(t *testing.T) {
	status := func(n int) error { return &uploads.RemoteError{Status: n, Message: "no"} }
	later := func(n int, d time.Duration) error { return &uploads.RemoteError{Status: n, RetryAfter: d} }
	hang, panics := errors.New("hang"), errors.New("panics")
	tests := []struct {
		name   string
		err    error
		parked bool
		wait   time.Duration // no second try before
		opens  bool          // the breaker, after five
	}{
		{"400", status(400), true, 0, false},
		{"401", status(401), true, 0, false},
		{"403", status(403), true, 0, false},
		{"413", status(413), true, 0, false},
		{"420", status(420), false, 0, true},
		{"420 with Retry-After", later(420, 90*time.Second), false, 90 * time.Second, false},
		{"423", status(423), false, 0, false},
		{"429", status(429), false, 0, true},
		{"429 with Retry-After", later(429, 20*time.Minute), false, 20 * time.Minute, false},
		{"429 with an absurd Retry-After", later(429, 1000*time.Hour), false, time.Hour, false},
		{"500", status(500), false, 0, true},
		{"502", status(502), false, 0, true},
		{"503", status(503), false, 0, true},
		{"503 with Retry-After", later(503, 10*time.Minute), false, 10 * time.Minute, true},
		{"an error inside a 200", status(200), false, 0, true},
		{"cut connection", &uploads.RemoteError{Err: errors.New("unexpected EOF")}, false, 0, true},
		{"an error without a type", errors.New("something"), false, 0, true},
		{"hang", hang, false, 2 * time.Minute, true},
		{"panic", panics, false, 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *uploads.Dir) {
				c := newCloud()
				c.says(func(ctx context.Context, _ call) error {
					if test.err == hang {
						<-ctx.Done()
						return ctx.Err()
					}
					if test.err == panics {
						panic("no")
					}
					return test.err
				})
				m := &moves{}
				s := uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on})
				run(t, s)
				after(0) // its first look at the folder takes ages from files, whose time is not the bubble's
				start := time.Now()
				p := accept(t, d, small(1))
				after(24 * time.Hour)
				got, calls := s.Stats(), c.log()
				if _, err := d.Place(p.ID); !errors.Is(err, uploads.ErrUnknownPhoto) || m.of(p.ID) > 0 {
					t.Errorf("it was taken for mirrored: %v, %d reports", err, m.of(p.ID))
				}
				if got.LastError == "" || got.LastAt.Before(start) || got.Mirrored != 0 {
					t.Errorf("got %+v, want an error", got)
				}
				if test.parked {
					parked := s.Parked()
					if len(calls) != 1 || got.Pending != 0 || len(parked) != 1 || parked[0].ID != p.ID || parked[0].Err != test.err {
						t.Errorf("got %d calls, %+v and %v, want it parked", len(calls), got, parked)
					}
				} else {
					if got.Pending != 1 || got.Parked != 0 || got.Oldest != 24*time.Hour {
						t.Errorf("got %+v, want it pending", got)
					}
					// It never gives up; a day has 288 times the longest wait, which is halved
					// on average.
					if want := int((24 * time.Hour) / max(5*time.Minute, test.wait+5*time.Minute)); len(calls) < want/2 {
						t.Errorf("only %d tries in a day, want about %d", len(calls), want)
					}
					for i := range calls[1:] {
						if wait := calls[i+1].at.Sub(calls[i].at); wait < test.wait || wait > max(test.wait, 30*time.Second)+5*time.Minute+time.Second {
							t.Errorf("try %d comes %v after the one before, want %v at least", i+2, wait, test.wait)
						}
					}
				}
				if opened := got.Breaker != "closed"; opened != test.opens {
					t.Errorf("the breaker is %s, want it open: %v", got.Breaker, test.opens)
				}

				c.says(nil)
				if test.parked {
					s.Retry()
				}
				after(2 * time.Hour)
				if c.puts[p.ID] != 1 || m.of(p.ID) != 1 {
					t.Errorf("when all is well: %d puts, %d reports, want 1 and 1", c.puts[p.ID], m.of(p.ID))
				}
				if got := s.Stats(); got.Pending != 0 || got.Parked != 0 || got.LastError != "" || got.Breaker != "closed" {
					t.Errorf("when all is well: got %+v", got)
				}
			})
		})
	}
}

func TestWaitsDoubleWithFullJitter(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		c.fails(&uploads.RemoteError{Status: 423}) // the breaker keeps out of it
		run(t, uploads.NewSyncer(d, c, &uploads.SyncOptions{Parallel: 200}))
		var photos []uploads.PhotoID
		for i := range 60 {
			photos = append(photos, accept(t, d, small(i)).ID)
		}
		after(time.Hour)
		at := map[uploads.PhotoID][]time.Time{}
		for _, x := range c.log() {
			at[x.id] = append(at[x.id], x.at)
		}
		for n := range 8 {
			longest := min(time.Second<<n, 5*time.Minute)
			var lowest, highest time.Duration = longest, 0
			for _, id := range photos {
				wait := at[id][n+1].Sub(at[id][n])
				lowest, highest = min(lowest, wait), max(highest, wait)
			}
			if highest > longest+time.Millisecond || highest < longest/2 || lowest > longest/4 {
				t.Errorf("wait %d is from %v to %v, want it anywhere up to %v", n+1, lowest, highest, longest)
			}
		}
	})
}

func TestABrokenRemoteIsLeftAloneAndTriedWithOnePhoto(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		c.fails(&uploads.RemoteError{Status: 500})
		s := uploads.NewSyncer(d, c, nil)
		run(t, s)
		for i := range 50 {
			accept(t, d, small(i))
		}
		after(time.Second)
		before := len(c.log())
		if s.Working() {
			t.Error("the remote is said to work")
		}
		if got := s.Stats(); got.Breaker != "open" || before > 8 {
			t.Fatalf("the breaker is %s after %d calls", got.Breaker, before)
		}
		after(28 * time.Second)
		if got := len(c.log()); got != before {
			t.Errorf("%d calls to a remote that does not work", got-before)
		}
		after(10 * time.Minute)
		if got := len(c.log()) - before; got < 15 || got > 20 {
			t.Errorf("%d calls in ten minutes, want one each 30 s", got)
		}
		c.says(nil)
		after(31 * time.Second)
		if got := c.has(); !slices.Equal(got, ids(t, d)) {
			t.Errorf("%d photos are there half a minute after the outage, want 50", len(got))
		}
		if !s.Working() {
			t.Error("the remote is not said to work")
		}
	})
}

func TestNoMoreThanParallelAreOnTheirWay(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		flying, most := 0, 0
		c.says(func(context.Context, call) error {
			c.mu.Lock()
			flying++
			most = max(most, flying)
			c.mu.Unlock()
			time.Sleep(time.Second)
			c.mu.Lock()
			flying--
			c.mu.Unlock()
			return nil
		})
		run(t, uploads.NewSyncer(d, c, &uploads.SyncOptions{Parallel: 3}))
		for i := range 10 {
			accept(t, d, small(i))
		}
		after(4 * time.Second)
		if most != 3 || len(c.has()) != 10 {
			t.Errorf("%d at once and %d done after 4 s, want 3 and 10", most, len(c.has()))
		}
	})
}

// TestAHangingRemoteDelaysNobody: time stands still in the bubble unless
// somebody waits.
func TestAHangingRemoteDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		c.says(func(ctx context.Context, _ call) error { <-ctx.Done(); return ctx.Err() })
		s := uploads.NewSyncer(d, c, nil)
		stop := run(t, s)
		start := time.Now()
		for i := range 20 {
			p := accept(t, d, small(i))
			if i%2 == 0 {
				if err := d.Delete(p.ID); err != nil {
					t.Fatal(err)
				}
			}
			s.Stats()
			synctest.Wait()
		}
		stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestARefusedAccountIsTriedAgainWhenAnythingSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		c.fails(&uploads.RemoteError{Status: 401})
		s := uploads.NewSyncer(d, c, nil)
		stop := run(t, s)
		accept(t, d, small(1))
		accept(t, d, small(2))
		after(time.Hour)
		if got := s.Stats(); got.Parked != 2 || len(c.log()) != 2 {
			t.Fatalf("got %+v and %d calls, want two parked", got, len(c.log()))
		}
		c.says(nil)
		accept(t, d, small(3))
		after(time.Second)
		if got := s.Stats(); got.Parked != 0 || len(c.has()) != 3 {
			t.Errorf("got %+v, want all there", got)
		}

		// A restart tries it too: the operator has given new credentials.
		c.fails(&uploads.RemoteError{Status: 401})
		accept(t, d, small(4))
		after(time.Second)
		stop()
		c.says(nil)
		run(t, uploads.NewSyncer(d, c, nil))
		after(time.Second)
		if len(c.has()) != 4 {
			t.Errorf("%d are there, want 4", len(c.has()))
		}
	})
}

func TestOnMovedIsCalledUntilItTakesIt(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c, calls := newCloud(), 0
		on := func(context.Context, uploads.PhotoID, string) error {
			switch calls++; calls {
			case 1, 2:
				return errors.New("no entry names it yet")
			case 3:
				panic("no state")
			}
			return nil
		}
		s := uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: on})
		stop := run(t, s)
		p := accept(t, d, small(1))
		synctest.Wait()
		stop() // also over a restart
		run(t, uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: on}))
		after(10 * time.Minute)
		if calls != 4 || c.puts[p.ID] != 1 {
			t.Errorf("%d reports and %d puts, want 4 and 1", calls, c.puts[p.ID])
		}
	})
}

func TestAnotherRemoteGetsEverything(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		a, b := newCloud(), newCloud()
		b.name = "another"
		p := accept(t, d, small(1))
		stop := run(t, uploads.NewSyncer(d, a, nil))
		after(time.Second)
		stop()
		run(t, uploads.NewSyncer(d, b, nil))
		after(time.Second)
		if url, err := d.Place(p.ID); len(b.has()) != 1 || url != "https://another/"+string(p.ID) || err != nil {
			t.Errorf("it is at %q, %v", url, err)
		}
	})
}

func TestRunEnds(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		s := uploads.NewSyncer(d, newCloud(), nil)
		stop := run(t, s)
		after(time.Second)
		if err := uploads.NewSyncer(d, newCloud(), nil).Run(t.Context()); err == nil {
			t.Error("a folder took a second Syncer")
		}
		stop()

		path := filepath.Join(t.TempDir(), "uploads")
		closing, err := uploads.OpenDir(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := newCloud()
		c.says(func(context.Context, call) error { return closing.Close() })
		accept(t, closing, small(1))
		if err := uploads.NewSyncer(closing, c, nil).Run(t.Context()); !errors.Is(err, uploads.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if err := uploads.NewSyncer(closing, c, nil).Run(t.Context()); !errors.Is(err, uploads.ErrClosed) {
			t.Errorf("closed before: got %v, want ErrClosed", err)
		}
	})
}

// TestAnyHistoryEndsWithFolderAndRemoteAlike sends, deletes, sends again, breaks
// the remote, answers too late and restarts at random, with seeds.
func TestAnyHistoryEndsWithFolderAndRemoteAlike(t *testing.T) {
	photos := make([][]byte, 6)
	for i := range photos {
		photos[i] = small(i)
	}
	for seed := range uint64(8) {
		bubble(t, func(t *testing.T, d *uploads.Dir) {
			rng := rand.New(rand.NewPCG(seed, 1))
			c, m := newCloud(), &moves{}
			var errs sync.Mutex // guards the second generator, used by the remote
			chance := rand.New(rand.NewPCG(seed, 2))
			var lateness sync.WaitGroup
			misbehave := func(ctx context.Context, x call) error {
				errs.Lock()
				kind, wait := chance.IntN(6), time.Duration(chance.IntN(int(5*time.Minute)))
				errs.Unlock()
				switch kind {
				case 0:
					return &uploads.RemoteError{Status: 500}
				case 1:
					return &uploads.RemoteError{Status: 429, RetryAfter: wait}
				case 2:
					return &uploads.RemoteError{Status: 401}
				case 3: // it takes its time, but does it all the same, even if nobody waits
					lateness.Go(func() {
						time.Sleep(wait)
						c.mu.Lock()
						defer c.mu.Unlock()
						if c.photos[x.id] = x.verb == "put"; x.verb == "delete" {
							delete(c.photos, x.id)
						}
					})
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(wait / 2):
						return &uploads.RemoteError{Status: 504}
					}
				}
				return nil
			}
			c.says(misbehave)
			start := func() func() { return run(t, uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on})) }
			stop := start()
			for range 40 {
				switch rng.IntN(8) {
				case 0, 1, 2:
					accept(t, d, photos[rng.IntN(len(photos))])
				case 3, 4:
					if all := ids(t, d); len(all) > 0 {
						if err := d.Delete(all[rng.IntN(len(all))]); err != nil {
							t.Fatal(err)
						}
					}
				case 5:
					stop()
					stop = start()
				default:
					after(time.Duration(rng.IntN(int(2 * time.Minute))))
				}
			}
			c.says(nil)
			after(3 * time.Hour)
			lateness.Wait()
			stop()
			stop = start()
			after(3 * time.Hour)
			if got, want := c.has(), ids(t, d); !slices.Equal(got, want) {
				t.Errorf("seed %d: in the cloud are %v, in the folder %v", seed, got, want)
			}
			for _, id := range ids(t, d) {
				if m.of(id) == 0 {
					t.Errorf("seed %d: nobody heard that %s has moved", seed, id)
				}
			}
			stop()
		})
	}
}

// TestTheOutageStory is the promise as a whole, with a remote in memory.
func TestTheOutageStory(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c, m := newCloud(), &moves{}
		c.fails(&uploads.RemoteError{Status: 503})
		stop := run(t, uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on}))
		start := time.Now()
		for i := range 200 {
			p := accept(t, d, small(i))
			if got := get(d, "/"+string(p.ID)).StatusCode; got != 200 {
				t.Errorf("the page sees %d", got)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the uploads waited %v for the cloud", took)
		}
		after(6 * time.Hour)
		stop()
		c.says(nil)
		s := uploads.NewSyncer(d, c, &uploads.SyncOptions{OnMoved: m.on})
		stop = run(t, s)
		after(time.Minute)
		if got, want := c.has(), ids(t, d); !slices.Equal(got, want) {
			t.Errorf("%d of %d are there", len(got), len(want))
		}
		for id, n := range maps.All(c.puts) {
			if n != 1 || m.of(id) != 1 {
				t.Errorf("%s: %d puts, %d reports", id, n, m.of(id))
			}
		}
		c.fails(&uploads.RemoteError{Status: 200, Message: "but no"})
		p := accept(t, d, small(200))
		after(time.Hour)
		if _, err := d.Place(p.ID); err == nil || s.Stats().Pending != 1 {
			t.Errorf("an error inside a 200 was taken for success")
		}
		stop()
	})
}

// TestTheEndOfAnOutageEndsTheWaits: after a day they are minutes long.
func TestTheEndOfAnOutageEndsTheWaits(t *testing.T) {
	bubble(t, func(t *testing.T, d *uploads.Dir) {
		c := newCloud()
		c.fails(&uploads.RemoteError{Status: 500})
		run(t, uploads.NewSyncer(d, c, nil))
		for i := range 10 {
			accept(t, d, small(i))
		}
		after(24 * time.Hour)
		c.says(nil)
		for range 600 {
			if len(c.has()) > 0 {
				break
			}
			after(time.Second)
		}
		after(time.Second)
		if got := len(c.has()); got != 10 {
			t.Errorf("%d are there a second after the first one, want all", got)
		}
	})
}
