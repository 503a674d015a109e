package reliablews

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// durable is what a server keeps beside the hub.
type durable struct {
	offsets []uint64
	first   uint64 // what is at or before it is gone
	calls   int
	err     error
}

func (d *durable) read(_ context.Context, after, upTo uint64) iter.Seq2[HistoryMessage, error] {
	return func(yield func(HistoryMessage, error) bool) {
		d.calls++
		advance(time.Second) // it takes a while
		if d.err != nil || after < d.first {
			yield(HistoryMessage{}, errors.Join(d.err, errors.New("too old")))
			return
		}
		for _, o := range d.offsets {
			if o > after && o <= upTo && !yield(HistoryMessage{o, o}, nil) {
				return
			}
		}
	}
}

// wantRun reads messages with these offsets, each behind the one before.
func (c *rawClient) wantRun(at uint64, offsets ...uint64) {
	c.t.Helper()
	for _, o := range offsets {
		f := c.next()
		for f.T == "ping" {
			if p := f.Pos["feed"]; p > at {
				at = p
			}
			f = c.next()
		}
		if f.T != "msg" || f.O != o || f.P > at {
			c.t.Fatalf("at %d came %+v, want message %d", at, f, o)
		}
		at = o
	}
}

func TestWhatIsNotHeldIsReadBack(t *testing.T) {
	d := &durable{offsets: []uint64{11, 12, 15, 20, 21, 30}, first: 10}
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 35}, &TopicOptions{History: d.read, HistoryMessages: 2})
		var clients []*rawClient
		for _, at := range []uint64{12, 10, 20, 33} {
			c := n.connect(t)
			if w := c.hello(map[string]*Position{"feed": {"e1", at}}); w.Topics["feed"].Reason != reasonTruncated {
				t.Errorf("got %+v", w)
			}
			clients = append(clients, c)
		}
		mustPublish(t, topic, 40, 41)
		clients[0].wantRun(12, 15, 20, 21, 30, 40, 41)
		clients[1].wantRun(10, 11, 12, 15, 20, 21, 30, 40, 41)
		clients[2].wantRun(20, 21, 30, 40, 41)
		clients[3].wantRun(33, 40, 41) // nothing lay between
		reads := d.calls
		if reads > 2 {
			t.Errorf("it was read %d times, want at most once for the first and once for all others", reads)
		}
		late := n.connect(t)
		late.hello(map[string]*Position{"feed": {"e1", 9}})
		if f := late.want("gap"); f.O != 35 || f.P != 9 {
			t.Errorf("got %+v", f)
		}
		late.wantRun(35, 40, 41)
		if s := h.Stats(); s.HistoryReads != uint64(reads) || s.HistoryErrors != 1 || s.Gaps != 1 {
			t.Errorf("got %+v", s)
		}
		advance(3 * pageIdle)
		topic.mu.Lock()
		defer topic.mu.Unlock()
		if len(topic.past.pages) != 0 || topic.past.bytes != 0 {
			t.Errorf("%d pages of %d bytes are held with nobody to read them", len(topic.past.pages), topic.past.bytes)
		}
	})
}

func TestALongHistoryIsReadInPages(t *testing.T) {
	d := new(durable)
	for o := range uint64(3000) {
		d.offsets = append(d.offsets, 2*o+1)
	}
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 6100}, &TopicOptions{History: d.read, HistoryMessages: 8})
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		mustPublish(t, topic, 6101)
		c.wantRun(0, append(slices.Clone(d.offsets), 6101)...)
		if d.calls != 3 {
			t.Errorf("it was read %d times", d.calls)
		}
	})
}

// A subscriber that reads slowly falls out of what is held and goes on from
// where it is durable.
func TestASlowSubscriberReadsOnFromTheDurableHistory(t *testing.T) {
	d := new(durable)
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{History: d.read, HistoryMessages: 4})
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		for o := range uint64(40) {
			mustPublish(t, topic, o+1)
			d.offsets = append(d.offsets, o+1)
			synctest.Wait()
		}
		c.wantRun(0, d.offsets...)
		if d.calls == 0 {
			t.Error("the history was not asked: the test shows nothing")
		}
	})
}

func TestAHistoryThatFailsGivesASnapshot(t *testing.T) {
	var topic *Topic
	for name, d := range map[string]*durable{
		"error":           {err: errors.New("the disk is away")},
		"offsets go back": {offsets: []uint64{7, 6}},
		"offsets beyond":  {offsets: []uint64{7}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
				o := &TopicOptions{Snapshot: snapshotAt(&topic), History: d.read}
				if name == "offsets beyond" {
					o.History = func(context.Context, uint64, uint64) iter.Seq2[HistoryMessage, error] {
						return func(yield func(HistoryMessage, error) bool) { yield(HistoryMessage{99, 99}, nil) }
					}
				}
				topic = mustTopic(t, h, "feed", Position{"e1", 10}, o)
				c := n.connect(t)
				c.hello(map[string]*Position{"feed": {"e1", 5}})
				if f := c.want("snap"); f.O != 10 {
					t.Errorf("got %+v", f)
				}
				if s := h.Stats(); s.HistoryErrors != 1 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// What is read back is bounded over all topics, seen, and let go of.
func TestPagesAreBoundedTogether(t *testing.T) {
	const messages, size = 300, 4 << 10
	read := func(_ context.Context, after, upTo uint64) iter.Seq2[HistoryMessage, error] {
		return func(yield func(HistoryMessage, error) bool) {
			for o := after + 1; o <= upTo && yield(HistoryMessage{o, strings.Repeat("x", size)}, nil); o++ {
			}
		}
	}
	inBubble(t, &HubOptions{HistoryBytes: 1 << 20}, func(t *testing.T, n *network, h *Hub) {
		most := int64(0)
		for _, name := range []string{"a", "b", "c"} {
			mustTopic(t, h, name, Position{"e1", messages}, &TopicOptions{History: read})
			c := n.connect(t)
			c.hello(map[string]*Position{name: {"e1", 0}})
			for o := range uint64(messages) {
				if f := c.want("msg"); f.O != o+1 || f.P != o {
					t.Fatalf("after %d came %d behind %d", o, f.O, f.P)
				}
				if o%20 == 0 {
					synctest.Wait()
					most = max(most, h.Stats().PageBytes)
				}
			}
		}
		if read := int64(3 * messages * size); most > h.maxPageBytes() || most < h.maxPageBytes()-2*pageBytes || read < h.maxPageBytes()+4*pageBytes {
			t.Errorf("up to %d bytes were held of %d that were read back, want at most %d", most, read, h.maxPageBytes())
		}
		if s := h.Stats(); s.HistoryBytes != 0 || s.Gaps != 0 {
			t.Errorf("got %+v", s)
		}
		advance(3 * pageIdle)
		if s := h.Stats(); s.PageBytes != 0 {
			t.Errorf("%d bytes are held with nobody to read them", s.PageBytes)
		}
	})
}

func TestHistoriesAreBoundedTogether(t *testing.T) {
	h := NewHub(&HubOptions{HistoryBytes: 64 << 10})
	defer h.Shutdown(t.Context())
	small := mustTopic(t, h, "small", Position{"e1", 0}, nil)
	large := mustTopic(t, h, "large", Position{"e1", 0}, nil)
	mustPublish(t, small, 1, 2, 3)
	for o := range uint64(100) {
		if err := large.Publish(o+1, strings.Repeat("x", 4<<10)); err != nil {
			t.Fatal(err)
		}
		if s := h.Stats(); s.HistoryBytes > 64<<10 {
			t.Fatalf("%d bytes are held", s.HistoryBytes)
		}
	}
	if held := len(small.replay.messages); held != 3 {
		t.Errorf("the small topic holds %d messages, want its three", held)
	}
	if held := len(large.replay.messages); held < 14 {
		t.Errorf("the large topic holds %d messages", held)
	}
}
