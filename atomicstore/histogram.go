package atomicstore

import (
	"math"
	"math/bits"
)

// histogram counts values in a fixed amount of memory: each power of two is
// divided into eight, so a quantile is at most an eighth too high.
type histogram struct {
	buckets [62 * 8]uint64
	count   uint64
}

func (h *histogram) add(v uint64) {
	h.buckets[bucketOf(v)]++
	h.count++
}

// bucketOf keeps the four highest bits of a value.
func bucketOf(v uint64) int {
	if v < 16 {
		return int(v)
	}
	shift := bits.Len64(v) - 4
	return shift<<3 + int(v>>shift)
}

// bucketEnd is the largest value of a bucket.
func bucketEnd(i int) uint64 {
	if i < 16 {
		return uint64(i)
	}
	shift := i>>3 - 1
	return uint64(i-shift<<3+1)<<shift - 1
}

// quantile returns a value that the given part of all values does not exceed,
// 0 when there are none.
func (h *histogram) quantile(q float64) uint64 {
	rank, seen := uint64(math.Ceil(q*float64(h.count))), uint64(0)
	for i, n := range h.buckets {
		if seen += n; n > 0 && seen >= rank {
			return bucketEnd(i)
		}
	}
	return 0
}
