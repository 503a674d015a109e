package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkCommit is one durable commit, by peer and number of writers, for
// benchstat and profiles. The command interleaves the peers instead.
func BenchmarkCommit(b *testing.B) {
	for _, p := range peers {
		for _, writers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("peer=%s/writers=%d", p.name, writers), func(b *testing.B) {
				s, err := p.open(b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for w := range writers {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if err := s.put(w, events[i%keyCount]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			})
		}
	}
}

// TestEveryPeerTakesWhatItIsGiven keeps the command working. It waits for
// commits, not for time: a slow disk makes it slow, and no more.
func TestEveryPeerTakesWhatItIsGiven(t *testing.T) {
	for _, p := range peers {
		s, err := p.open(t.TempDir())
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			continue
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 2 {
					if err := s.put(w, events[2*w+i]); err != nil {
						t.Errorf("%s: %v", p.name, err)
					}
				}
			})
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}
