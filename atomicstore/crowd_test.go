package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// refusal is an error of decide that tells what decide saw.
type refusal struct{ saw []string }

func (r refusal) Error() string { return fmt.Sprintf("refused after %d lines", len(r.saw)) }

// observed collects everything that was shown to anyone: each is a list of
// lines that must still be there, at the same places, after any crash.
type observed struct {
	mu    sync.Mutex
	lists [][]string
}

func (o *observed) add(list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lists = append(o.lists, slices.Clone(list))
}

// crowd opens a store and lets several writers loose on it, who share batches,
// with refusals between. It records all that they are told, and all that
// readers see meanwhile.
func crowd(t *testing.T, dir string, d *crashfs.Disk, seen *observed) {
	s, err := openLedger(dir, simOptions(d))
	if err != nil {
		return
	}
	defer s.Close()
	var wg sync.WaitGroup
	for w := range 5 {
		wg.Go(func() {
			for i := range 6 {
				line := fmt.Sprintf("%d.%d", w, i)
				var saw []string
				_, err := s.Update(t.Context(), func(l *ledger) ([]entry, error) {
					saw = slices.Clone(l.Lines)
					if (w+i)%4 == 0 {
						return nil, refusal{saw}
					}
					return []entry{add(line)}, nil
				})
				var refused refusal
				switch {
				case errors.As(err, &refused):
					seen.add(refused.saw)
				case err == nil:
					seen.add(append(saw, line))
				case errors.Is(err, ErrFailed):
					return
				default:
					t.Errorf("update %s: %v", line, err)
				}
				seen.add(lines(s))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var follower sync.WaitGroup
	follower.Go(func() {
		var list []string
		for c, err := range s.Changes(ctx, Position{}) {
			if err != nil {
				return
			}
			list = append(list, c.Events[0].Added.Line)
			seen.add(list)
		}
	})
	wg.Go(func() {
		for range 4 {
			s.Checkpoint(t.Context())
		}
	})
	wg.Wait()
	cancel()
	follower.Wait()
}

// TestPowerCutUnderACrowd cuts the power at every operation: whatever anyone was
// shown, a refusal included, is there afterwards.
func TestPowerCutUnderACrowd(t *testing.T) {
	dir := t.TempDir()
	total := 0
	synctest.Test(t, func(t *testing.T) {
		d := crashfs.New()
		crowd(t, dir, d, new(observed))
		total = d.Ops
	})
	if total < 40 {
		t.Fatalf("the crowd takes %d operations: too few to mean anything", total)
	}
	for n := 1; n <= total+10; n++ { // how batches form is up to the scheduler
		for kind := range 3 { // of failure
			synctest.Test(t, func(t *testing.T) {
				d, seen := crashfs.New(), new(observed)
				switch kind {
				case 0:
					d.CrashAt = n
				case 1:
					d.FailAt, d.FailErr = n, syscall.EIO
				case 2:
					d.FailAt, d.FailErr = n, crashfs.ErrShortWrite
				}
				crowd(t, dir, d, seen)
				for _, keep := range []func() bool{crashfs.KeepNone, crashfs.KeepAll, crashfs.KeepSome(uint64(n))} {
					s := mustOpen(t, dir, simOptions(d.AfterCrash(keep)))
					got := lines(s)
					for _, list := range seen.lists {
						if len(list) > len(got) || !slices.Equal(list, got[:len(list)]) {
							t.Fatalf("failure %d at operation %d: someone was shown %q, the ledger has %q", kind, n, list, got)
						}
					}
					if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != len(got) {
						t.Fatalf("failure %d at operation %d: a line is there twice: %q", kind, n, got)
					}
					mustWrite(t, s, "after")
					mustClose(t, s)
				}
			})
		}
	}
}

func TestLargeChangesDoNotShareOneFlush(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	release := hold(t, s)
	const n = 8
	large := strings.Repeat("x", batchBytes/2)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := write(s, large); err != nil {
				t.Error(err)
			}
		})
	}
	waiting(t, s, n)
	release()
	wg.Wait()
	if st := s.Stats(); st.LargestBatch > 3 || st.Changes != n+1 || st.Waiting != 0 {
		t.Errorf("%d changes of half a batch each: %+v", n, st)
	}
	mustClose(t, s)
}
