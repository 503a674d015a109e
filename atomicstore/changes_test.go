package atomicstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func inBubble(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }

// waitIdle lets the bubble's clock pass what a store does when it is idle.
func waitIdle() { elapse(2 * confirmAfter) }

// elapse lets that much time pass in the bubble.
func elapse(t time.Duration) {
	<-time.After(t)
	synctest.Wait()
}

// follow collects changes until there are n.
func follow(t testing.TB, s *ledgerStore, after Position, n int) []Change[entry] {
	t.Helper()
	var got []Change[entry]
	for c, err := range s.Changes(t.Context(), after) {
		if err != nil {
			t.Errorf("after %d changes: %v", len(got), err)
			return got
		}
		if got = append(got, c); len(got) == n {
			break
		}
	}
	return got
}

func TestChangesReplayAndThenFollow(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	ctx := WithRequestID(t.Context(), "request 7")
	at, err := s.Update(ctx, func(*ledger) ([]entry, error) { return []entry{add("one"), add("two")}, nil })
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, dir, nil)
	defer mustClose(t, s)

	var got []Change[entry]
	var wg sync.WaitGroup
	wg.Go(func() { got = follow(t, s, Position{}, 3) })
	mustWrite(t, s, "three", "four")
	wg.Wait()
	if len(got) != 3 || len(got[0].Events) != 2 || got[0].Position != at || got[0].RequestID != "request 7" || got[0].Time.IsZero() {
		t.Fatalf("got %+v", got)
	}
	ids := map[[16]byte]bool{}
	for i, c := range got {
		if c.Seq != uint64(i+1) || ids[c.ID] {
			t.Errorf("change %d is %+v", i+1, c)
		}
		ids[c.ID] = true
	}
	if got := follow(t, s, at, 2); got[0].Seq != 2 || got[1].Events[0].Added.Line != "four" {
		t.Errorf("after %s came %+v", at, got)
	}
}

// TestManyFollowersOfDifferentSpeed checks that each sees every change once
// and in order, though most are long gone from memory for the slow ones.
func TestManyFollowersOfDifferentSpeed(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{SegmentBytes: 16 << 10, KeepModifications: 1 << 20})
	defer mustClose(t, s)
	const n = 3 * tailChanges
	var wg sync.WaitGroup
	for speed := range 4 {
		wg.Go(func() {
			expect := uint64(1)
			for c, err := range s.Changes(t.Context(), Position{}) {
				if err != nil || c.Seq != expect || c.Events[0].Added.Line != fmt.Sprint(expect) {
					t.Errorf("follower %d: got %+v, %v, want change %d", speed, c, err, expect)
					return
				}
				if expect == n {
					return
				}
				expect++
				if speed > 0 && expect%500 == uint64(speed) {
					// Falls behind by a batch or more, not by a time.
					waitFor(s, min(n, expect+uint64(speed)*800))
				}
			}
		})
	}
	var writers sync.WaitGroup
	var next = make(chan struct{}, 64)
	for range n {
		next <- struct{}{}
		writers.Go(func() {
			defer func() { <-next }()
			_, err := s.Update(t.Context(), func(l *ledger) ([]entry, error) { return []entry{add(fmt.Sprint(len(l.Lines) + 1))}, nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	wg.Wait()
	if held := len(s.tail.changes) - s.tail.start; held > tailChanges || cap(s.tail.changes) > 8*tailChanges {
		t.Errorf("memory holds %d changes and room for %d", held, cap(s.tail.changes))
	}
}

// waitFor returns when the store has reached a seq.
func waitFor(s *ledgerStore, seq uint64) {
	for {
		_, _, more, closed := s.tail.since(seq, seq)
		if _, at := s.State(); at.Seq >= seq || closed != nil {
			return
		}
		<-more
	}
}

func TestChangesEndWithAnError(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{SegmentBytes: 512, KeepModifications: 5})
	at := mustWrite(t, s, numbered("line ", 50)...)
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.tail.mu.Lock()
	s.tail.changes, s.tail.sizes, s.tail.start, s.tail.bytes = nil, nil, 0, 0 // as after an open
	s.tail.mu.Unlock()
	last := func(ctx context.Context, after Position) error {
		var last error
		for _, err := range s.Changes(ctx, after) {
			last = err
		}
		return last
	}
	var gone *TruncatedError
	if err := last(t.Context(), Position{}); !errors.As(err, &gone) || gone.First != s.Stats().First || gone.First < 2 {
		t.Errorf("from the beginning: got %v, want *TruncatedError of %d", err, s.Stats().First)
	}
	if err := last(t.Context(), Position{"0123456789abcdef", 3}); !errors.Is(err, ErrEpoch) {
		t.Errorf("from another epoch: got %v", err)
	}
	if err := last(t.Context(), Position{at.Epoch, 51}); !errors.Is(err, ErrAhead) {
		t.Errorf("from ahead: got %v, want ErrAhead", err)
	}
	if _, err := s.At(t.Context(), 51); !errors.Is(err, ErrAhead) {
		t.Errorf("At ahead: got %v, want ErrAhead", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := last(ctx, at); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	ended := make(chan error)
	go func() { ended <- last(t.Context(), at) }()
	mustClose(t, s)
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

func TestAtGivesEveryEarlierState(t *testing.T) {
	dir := t.TempDir()
	o := &Options{BackupDir: dir + "/backups", SegmentBytes: 1024}
	s := mustOpen(t, dir+"/data", o)
	want := numbered("line ", 30)
	for i, line := range want {
		mustWrite(t, s, line)
		if i%10 == 9 {
			if err := s.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, s)
	s = mustOpen(t, dir+"/data", o)
	defer mustClose(t, s)
	for seq := range uint64(31) {
		old, err := s.At(t.Context(), seq)
		if err != nil || !slices.Equal(old.Lines, want[:seq]) && seq > 0 {
			t.Errorf("At(%d) gives %v, %v", seq, old, err)
		}
	}
	if _, err := s.At(t.Context(), 31); err == nil {
		t.Error("At gives a state that is still to come")
	}
}

// TestSlowFollowersCostNoMemory has very many followers that stop in the
// middle of the log, each at a place of its own.
func TestSlowFollowersCostNoMemory(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{KeepModifications: 1 << 20})
	defer mustClose(t, s)
	line := strings.Repeat("x", 1000)
	group := make([]entry, 20) // a change is 20 kB, a batch up to a megabyte
	for i := range group {
		group[i] = add(line)
	}
	const changes = 200
	var writers sync.WaitGroup
	for range changes {
		writers.Go(func() {
			if _, err := s.Update(t.Context(), func(*ledger) ([]entry, error) { return group, nil }); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	s.tail.mu.Lock()
	s.tail.changes, s.tail.sizes, s.tail.start, s.tail.bytes = nil, nil, 0, 0 // as after an open
	s.tail.mu.Unlock()

	const followers = 100
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	var stopped, done sync.WaitGroup
	stopped.Add(followers)
	for i := range followers {
		done.Go(func() {
			var once sync.Once
			defer once.Do(stopped.Done)
			for c, err := range s.Changes(ctx, Position{}) {
				if err != nil {
					return
				}
				if c.Seq == uint64(1+i%50) {
					once.Do(stopped.Done)
					<-ctx.Done()
				}
			}
		})
	}
	stopped.Wait()
	each := (heap() - before) / followers
	cancel()
	done.Wait()
	// The few changes it has at hand, and its stack.
	if limit := int64(3 * followBytes); each > limit {
		t.Errorf("a slow follower costs %d bytes, want %d at most", each, limit)
	} else {
		t.Logf("a slow follower costs %d bytes", each)
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools hold survives one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestAtUsesNoSnapshotThatIsDamaged flips a letter of a state in a backup: it
// parses, and is not what was written.
func TestAtUsesNoSnapshotThatIsDamaged(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	defer mustClose(t, s)
	mustWrite(t, s, "one", "two")
	checkpoint(t, s)
	mustWrite(t, s, "three")
	checkpoint(t, s) // data.json of change 2 becomes a backup
	list, err := s.Backups()
	if err != nil || list[len(list)-1].Seq != 2 {
		t.Fatalf("backups %v, %v", list, err)
	}
	path := list[len(list)-1].Path
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte(`"one"`), []byte(`"ore"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := s.At(t.Context(), 2)
	if err != nil || !slices.Equal(old.Lines, []string{"one", "two"}) {
		t.Errorf("got %v, %v; want the state as an older backup and the log give it", old, err)
	}
}
