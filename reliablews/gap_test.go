package reliablews

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// One who is ahead of a hub that has lost its latest messages, and has no
// snapshots, has seen all that the hub holds: it is told, and gets none again.
func TestOneWhoIsAheadGetsNothingAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		mustPublish(t, topic, 5, 6, 7)
		l := newListener()
		stop := runClient(NewClient("ws://memory/", l.options(n, map[string]Position{"feed": {"e1", 9}})))
		advance(3 * time.Second)
		mustPublish(t, topic, 8)
		synctest.Wait()
		want := []string{"gap feed 9 e1/7 ahead", "message feed e1/8 8"}
		if got := l.all(); !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		stop()
	})
}

// A hello may bring less than the application has by the time it is answered:
// the inbox's position acknowledges, and a WebSocket is tried beside a stream.
// What a gap names that the application has is no gap.
func TestAGapIsToldOnceAndNoFurtherThanItGoes(t *testing.T) {
	at := Position{"e1", 5}
	for _, test := range []struct {
		name string
		at   Position
		gap  serverFrame
		want Event
	}{
		{"behind", at, serverFrame{P: 5, O: 8}, Gap{"feed", 5, Position{"e1", 8}, "slow"}},
		{"has some of it", at, serverFrame{P: 2, O: 8}, Gap{"feed", 5, Position{"e1", 8}, "slow"}},
		{"has all of it", at, serverFrame{P: 2, O: 5}, nil},
		{"has more", at, serverFrame{P: 2, O: 4}, nil},
		{"of a new epoch, told", Position{"e1", 0}, serverFrame{P: 0, O: 0}, nil},
		{"of a new epoch", Position{"e0", 7}, serverFrame{P: 0, O: 3}, Gap{"feed", 0, Position{"e1", 3}, "slow"}},
		{"the server has lost some", at, serverFrame{P: 5, O: 3}, Gap{"feed", 5, Position{"e1", 3}, "slow"}},
	} {
		c := NewClient("ws://memory/", nil)
		c.handed = map[string]Position{"feed": test.at}
		test.gap.T, test.gap.S, test.gap.E, test.gap.Reason = "gap", "feed", "e1", "slow"
		if got := c.accept(nil, test.gap); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}
