package atomicstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A durable change of 200 bytes, by the number of writers that share flushes.
func BenchmarkUpdate(b *testing.B) {
	line := strings.Repeat("x", 200)
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), nil)
			defer s.Close()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						if _, err := s.Update(context.Background(), func(*ledger) ([]entry, error) { return []entry{add(line)}, nil }); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}
