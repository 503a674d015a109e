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
