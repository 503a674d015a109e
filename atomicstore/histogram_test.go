package atomicstore

import (
	"math"
	"testing"
)

func TestTheHistogramIsOneEighthTooHighAtMost(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 7, 15, 16, 17, 31, 32, 100, 1000, 123_456, 1 << 40, 1<<63 - 1, 1 << 63, math.MaxUint64} {
		i := bucketOf(v)
		if end := bucketEnd(i); i < last || end < v || end-v > v/8 {
			t.Errorf("%d is in bucket %d, after %d, and the bucket ends at %d", v, i, last, end)
		}
		last = i
	}
	if last >= len(histogram{}.buckets) {
		t.Errorf("the largest value is in bucket %d of %d", last, len(histogram{}.buckets))
	}
	var h histogram
	if got := h.quantile(0.99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
	for v := range uint64(1001) {
		h.add(v)
	}
	for q, want := range map[float64]uint64{0: 0, 0.5: 500, 0.99: 990, 1: 1000} {
		if got := h.quantile(q); got < want || got > want+want/8 {
			t.Errorf("quantile %g is %d, want %d or somewhat more", q, got, want)
		}
	}
}
