package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const maxWriters = 4096

// measure opens a peer in a fresh directory and returns how many commits a
// second it makes for so many writers, each of which waits for its commit.
func measure(p peer, parent string, writers int, warm, length time.Duration) (rate float64, err error) {
	dir, err := os.MkdirTemp(parent, "peerbench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	s, err := p.open(dir)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", p.name, err)
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
	before, start := total(), time.Now()
	time.Sleep(length)
	after, took := total(), time.Since(start)
	stop.Store(true)
	wg.Wait()
	if err := s.Close(); err != nil {
		return 0, fmt.Errorf("close %s: %w", p.name, err)
	}
	if err := failed.Load(); err != nil {
		return 0, fmt.Errorf("write to %s: %w", p.name, *err)
	}
	return float64(after-before) / took.Seconds(), nil
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
