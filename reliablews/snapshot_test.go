package reliablews

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// publishing publishes a message every 100 ms until stop.
func publishing(t *testing.T, topic *Topic) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for o := topic.Position().Offset + 1; ; o++ {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				mustPublish(t, topic, o)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// snapshotIn is a snapshot of its first moment that takes a while, and more than
// one write.
func snapshotIn(d time.Duration, topic **Topic, made *atomic.Int64) func(context.Context) (Position, any, error) {
	return func(context.Context) (Position, any, error) {
		at := (*topic).Position()
		advance(d)
		made.Add(1)
		return at, strings.Repeat("x", writeLimit), nil
	}
}

// What comes while a snapshot is made is held until those who waited have it,
// though the history is shorter.
func TestASnapshotIsNotOvertakenByTheHistory(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		var topic *Topic
		var made atomic.Int64
		topic = mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{HistoryMessages: 4, Snapshot: snapshotIn(5*time.Second, &topic, &made)})
		stop := publishing(t, topic)
		defer stop()
		var clients []*rawClient
		for range 3 {
			c := n.connect(t)
			c.hello(map[string]*Position{"feed": nil})
			clients = append(clients, c)
			advance(time.Second)
		}
		for _, c := range clients {
			at := c.want("snap").O
			for range 60 {
				f := c.want("msg")
				if f.P != at {
					t.Fatalf("after %d came %+v", at, f)
				}
				at = f.O
			}
		}
		if got := made.Load(); got != 1 {
			t.Errorf("%d snapshots were made, want 1", got)
		}
		if s := h.Stats(); s.Gaps != 0 {
			t.Errorf("%d gaps", s.Gaps)
		}
		advance(time.Second)
		topic.mu.Lock()
		defer topic.mu.Unlock()
		if held := len(topic.replay.messages); held != 4 || len(topic.holds) != 0 {
			t.Errorf("%d messages are held for %d snapshots, with nobody to read them", held, len(topic.holds))
		}
	})
}

// One who has got a snapshot and does not read holds what comes for a moment
// only, and so does one who has gone.
func TestWhoDoesNotReadASnapshotHoldsNothingForLong(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		var topic *Topic
		var made atomic.Int64
		topic = mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{HistoryMessages: 4, Snapshot: snapshotIn(time.Second, &topic, &made)})
		stop := publishing(t, topic)
		defer stop()
		n.connect(t).hello(map[string]*Position{"feed": nil})
		gone := n.connect(t)
		gone.hello(map[string]*Position{"feed": nil})
		gone.ws.Close()
		held := func() int {
			synctest.Wait()
			topic.mu.Lock()
			defer topic.mu.Unlock()
			return len(topic.replay.messages)
		}
		advance(snapshotHold)
		if got := held(); got < 90 {
			t.Errorf("%d messages are held", got)
		}
		advance(2 * time.Second)
		if got := held(); got != 4 {
			t.Errorf("%d messages are held for one who does not read", got)
		}
	})
}

// When even the bytes of the history do not last while a snapshot is made, the
// subscriber learns that it misses something and goes on with what comes.
func TestASnapshotThatIsTooSlowEndsInAGap(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		var topic *Topic
		var made atomic.Int64
		topic = mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{HistoryBytes: 500, Snapshot: snapshotIn(5*time.Second, &topic, &made)})
		stop := publishing(t, topic)
		defer stop()
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": nil})
		at := c.want("snap").O
		f := c.want("gap")
		if f.P != at || f.O <= at || f.E != "e1" || f.Reason != reasonTruncated {
			t.Errorf("after a snapshot at %d came %+v", at, f)
		}
		at = f.O
		for range 100 {
			f := c.want("msg")
			if f.P != at {
				t.Fatalf("after %d came %+v", at, f)
			}
			at = f.O
		}
		if got := made.Load(); got != snapshotStale {
			t.Errorf("%d snapshots were made, want %d", got, snapshotStale)
		}
		if s := h.Stats(); s.Gaps != 1 {
			t.Errorf("%d gaps are counted", s.Gaps)
		}
	})
}
