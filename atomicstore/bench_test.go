package atomicstore

import (
	"fmt"
	"sync"
	"testing"
)

// A durable change of 200 bytes, by the number of writers that share flushes.
// Its allocations are those of an Update, a copy-on-write state included.
func BenchmarkUpdate(b *testing.B) {
	const entries = 1000
	for _, writers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openGallery(b, b.TempDir(), newGallery(entries), nil)
			defer s.Close()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						_, err := s.Update(b.Context(), func(*gallery) ([]*picture, error) { return []*picture{{i % entries, text}}, nil })
						if err != nil {
							b.Error(err)
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
