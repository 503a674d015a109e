package atomicstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// slowDisk takes some time for each sync of a file.
type slowDisk struct {
	*crashfs.Disk
	mu    sync.Mutex
	takes time.Duration
}

func (d *slowDisk) set(takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takes = takes
}

func (d *slowDisk) Create(path string) (vfs.Appender, error) {
	f, err := d.Disk.Create(path)
	return slowFile{f, d}, err
}

type slowFile struct {
	vfs.Appender
	disk *slowDisk
}

func (f slowFile) Sync() error {
	f.disk.mu.Lock()
	takes := f.disk.takes
	f.disk.mu.Unlock()
	<-time.After(takes)
	return f.Appender.Sync()
}

// logOf returns a logger and what it has written.
func logOf() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var b bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	})
	return slog.New(slog.NewTextHandler(w, nil)), func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestReadersAndStatsGoOnWhileTheDiskHangs(t *testing.T) {
	dir, d := t.TempDir(), &slowDisk{Disk: crashfs.New()}
	synctest.Test(t, func(t *testing.T) {
		logger, logged := logOf()
		s := mustOpen(t, dir, &Options{seam: seam{FS: d}, Logger: logger})
		at := mustWrite(t, s, "one")
		waitIdle() // its snapshot and confirmation are written
		d.set(2 * time.Second)

		results := make(chan error, 8)
		for _, line := range []string{"two", "three", "four", "five"} {
			go func() { _, err := write(s, line); results <- err }()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := s.Update(ctx, func(*ledger) ([]entry, error) { return []entry{add("given up")}, nil }); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a caller who gives up meanwhile gets %v", err)
		}
		<-time.After(time.Second)
		synctest.Wait()
		start := time.Now()
		wantLines(t, s, "one")
		if got := follow(t, s, Position{}, 1); len(got) != 1 || got[0].Position != at {
			t.Errorf("Changes gives %v", got)
		}
		if _, err := s.At(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if err := s.WaitFor(t.Context(), at); err != nil {
			t.Error(err)
		}
		st := s.Stats()
		if st.Seq != 1 || st.Flushing != 1500*time.Millisecond || st.Stalls != 1 || st.Failed || st.Waiting != 3 {
			t.Errorf("the numbers are %+v", st)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("reading waited %s", took)
		}
		if got := strings.Count(logged(), "the disk has not finished"); got != 1 || !strings.Contains(logged(), "slowFile") {
			t.Errorf("the stall was logged %d times, want once with the stacks:\n%s", got, logged())
		}
		d.set(0)
		for range 4 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if st := s.Stats(); st.Flushing != 0 || st.SlowestFlush < 2*time.Second || st.FlushP99 < 2*time.Second || st.FlushP50 > 2*time.Second+time.Second/4 || st.LogBytes == 0 {
			t.Errorf("afterwards the numbers are %+v", st)
		}
		mustClose(t, s)
	})
}

func TestAnUpdateInsideAnUpdateIsRefused(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	synctest.Test(t, func(t *testing.T) {
		logger, logged := logOf()
		var s *ledgerStore
		apply := func(l *ledger, e entry) error {
			if e.Added.Line == "apply updates" {
				_, err := write(s, "inner")
				return err
			}
			return applyEntry(l, e)
		}
		s, err := Open(dir, &ledger{}, apply, &Options{seam: seam{FS: d}, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		at := mustWrite(t, s, "one")
		inside := map[string]func() error{
			"Update":  func() error { _, err := write(s, "inner"); return err },
			"Close":   s.Close,
			"WaitFor": func() error { return s.WaitFor(t.Context(), Position{at.Epoch, at.Seq + 1}) },
		}
		for name, call := range inside {
			// One that is not inside waits meanwhile, and is not concerned.
			outside := make(chan error, 1)
			_, err := s.Update(t.Context(), func(*ledger) ([]entry, error) {
				go func() {
					_, err := s.Update(t.Context(), func(*ledger) ([]entry, error) { return nil, nil })
					outside <- err
				}()
				return nil, call()
			})
			if err != ErrInside {
				t.Errorf("%s in decide gives %v, want ErrInside", name, err)
			}
			if err := <-outside; err != nil {
				t.Errorf("an update beside %s: %v", name, err)
			}
		}
		if _, err := write(s, "apply updates"); err != ErrInside {
			t.Errorf("Update in apply gives %v, want ErrInside", err)
		}
		synctest.Wait()
		if got := strings.Count(logged(), "has been deciding"); got != 3 || !strings.Contains(logged(), "TestAnUpdateInside") {
			t.Errorf("the stalls were logged %d times, want 3 with stacks", got)
		}
		mustWrite(t, s, "two")
		wantLines(t, s, "one", "two")
		mustClose(t, s)
	})
}

func TestWaitForAPosition(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir, &Options{seam: seam{FS: d}})
		at := mustWrite(t, s, "one")
		waits := func(ctx context.Context, at Position) chan error {
			done := make(chan error, 1)
			go func() { done <- s.WaitFor(ctx, at) }()
			synctest.Wait()
			return done
		}
		for _, there := range []Position{{}, at} {
			if err := s.WaitFor(t.Context(), there); err != nil {
				t.Errorf("%s: %v", there, err)
			}
		}
		if err := s.WaitFor(t.Context(), Position{"0123456789abcdef", 1}); !errors.Is(err, ErrEpoch) {
			t.Errorf("of another epoch: %v", err)
		}
		third := waits(t.Context(), Position{at.Epoch, 3})
		mustWrite(t, s, "two")
		synctest.Wait()
		if len(third) > 0 {
			t.Errorf("two changes are enough for the third: %v", <-third)
		}
		mustWrite(t, s, "three")
		if err := <-third; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		never := waits(ctx, Position{at.Epoch, 9})
		cancel()
		if err := <-never; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		closed := waits(t.Context(), Position{at.Epoch, 9})
		mustClose(t, s)
		if err := <-closed; !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}

		s = mustOpen(t, dir, &Options{seam: seam{FS: d}})
		ahead := waits(t.Context(), Position{at.Epoch, 4})
		d.Put(filepath.Join(dir, snapshotName), true, `{"lines": ["his"]}`)
		elapse(2 * watchEvery)
		select {
		case err := <-ahead:
			if !errors.Is(err, ErrReplaced) {
				t.Errorf("after another data.json: %v", err)
			}
		default:
			t.Error("WaitFor waits for what will not come any more")
		}
		mustClose(t, s)

		s = mustOpen(t, dir, &Options{seam: seam{FS: d}})
		_, at = s.State()
		failed := waits(t.Context(), Position{at.Epoch, at.Seq + 1})
		d.Lock()
		d.FailAt, d.FailErr = d.Ops+1, errors.New("broken")
		d.Unlock()
		write(s, "four")
		if err := <-failed; !errors.Is(err, ErrFailed) {
			t.Errorf("after a failure: %v", err)
		}
		s.Close()
	})
}

func TestAnUpdateThatIsGivenUpLeavesItsPlace(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{QueueLimit: 2})
	defer mustClose(t, s)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	for range 2 {
		go func() {
			_, err := s.Update(ctx, func(*ledger) ([]entry, error) { return []entry{add("given up")}, nil })
			gone <- err
		}()
	}
	waiting(t, s, 2)
	cancel()
	for range 2 {
		if err := <-gone; err != context.Canceled {
			t.Errorf("got %v, want context.Canceled alone", err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := write(s, "fits"); err != nil {
			t.Error(err)
		}
	})
	waiting(t, s, 1)
	release()
	wg.Wait()
	wantLines(t, s, "held", "fits")
}
