package atomicstore

import (
	"strings"
	"testing"
	"time"
)

// A segment that only confirms the one before it goes when a new one begins
// with the same change: the new one must not go on from what went.
func TestASegmentThatOnlyConfirmsIsSuperseded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		o := &Options{SegmentBytes: 4 << 10, MaxAge: 5 * time.Minute} // a segment takes changes for ten seconds
		s := mustOpen(t, dir, o)
		large := strings.Repeat("x", 8<<10)
		mustWrite(t, s, large)             // fills a segment to its last byte
		elapse(confirmAfter + time.Second) // the confirmation needs another
		elapse(time.Minute)                // which is too old for a change
		mustWrite(t, s, "two")
		if _, err := Verify(t.Context(), dir, toVerify(o)); err != nil {
			t.Errorf("beside the store: %v", err)
		}
		seen := 0
		for _, err := range Records(t.Context(), dir, Position{}, nil) {
			if err != nil {
				t.Errorf("beside the store: %v", err)
			}
			seen++
		}
		if seen != 2 {
			t.Errorf("Records gives %d changes, want 2", seen)
		}
		mustClose(t, s)
		s = mustOpen(t, dir, o)
		defer mustClose(t, s)
		wantLines(t, s, large, "two")
	})
}
