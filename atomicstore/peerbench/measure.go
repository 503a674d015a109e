package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const maxWriters = 4096

// measure opens a peer in a fresh directory and returns how many commits a
// second it makes for so many writers, each of which waits for its commit.
func measure(p peer, parent string, writers int, warm, length time.Duration) (r rates, err error) {
	dir, err := os.MkdirTemp(parent, "peerbench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	s, err := p.open(dir)
	if err != nil {
		return r, fmt.Errorf("open %s: %w", p.name, err)
	}
	runtime.GC() // of what the peer before it left

	var stop atomic.Bool
	var failed atomic.Pointer[error]
	counts := make([]struct { // a cache line each
		n atomic.Int64
		_ [56]byte
	}, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w * 31; !stop.Load(); i++ {
				if err := s.put(w, events[i%keyCount]); err != nil {
					failed.Store(&err)
					return
				}
				counts[w].n.Add(1)
			}
		})
	}
	total := func() (n int64) {
		for w := range counts {
			n += counts[w].n.Load()
		}
		return n
	}
	time.Sleep(warm)
	before, start, spent := total(), time.Now(), cpu()
	time.Sleep(length)
	after, took, used := total(), time.Since(start), cpu()-spent
	stop.Store(true)
	wg.Wait()
	if err := s.Close(); err != nil {
		return r, fmt.Errorf("close %s: %w", p.name, err)
	}
	if err := failed.Load(); err != nil {
		return r, fmt.Errorf("write to %s: %w", p.name, *err)
	}
	commits := float64(after - before)
	return rates{commits: commits / took.Seconds(), cpu: float64(used.Microseconds()) / max(1, commits)}, nil
}

// rates is what one measurement gives.
type rates struct {
	commits float64 // per second
	cpu     float64 // microseconds of processor time per commit, of the whole program
}

// cpu returns the processor time of this program so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
