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

// TestEveryPeerKeepsWhatItIsGiven keeps the command working.
func TestEveryPeerKeepsWhatItIsGiven(t *testing.T) {
	for _, p := range peers {
		r, err := measure(p, t.TempDir(), 4, 0, 20_000_000)
		if err != nil || r.commits <= 0 {
			t.Errorf("%s: %g commits/s, %v", p.name, r.commits, err)
		}
	}
}
