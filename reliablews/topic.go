package reliablews

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
)

// TopicOptions changes how a topic works. The zero value is good; Topic copies
// it.
type TopicOptions struct {
	// Snapshot returns what stands for all messages up to a position, for
	// subscribers that history does not reach. It must include every message
	// up to the position it returns and none after it. One call serves all who
	// wait at that time. One that fails or panics is made again, after 100 ms and
	// then less and less often, down to every 30 s, while somebody waits:
	// Hub.Health tells. While one is made, and until those who waited have read
	// on from it, for 10 s at most, the history holds what comes, over
	// HistoryMessages if need be but within HistoryBytes. Three in a row that took
	// longer than that lasts are too slow: the third goes out with a gap behind it.
	// Default: such subscribers are told of a gap.
	Snapshot func(ctx context.Context) (Position, any, error)

	// History reads messages back from wherever they are durable: those after
	// an offset and up to another, oldest first. It is asked for what is no
	// longer held, in small pieces, once for all who wait; it may be left early.
	// An error says that it does not reach back that far, or fails: those who
	// wait get a snapshot or are told of a gap. Default: none.
	History func(ctx context.Context, after, upTo uint64) iter.Seq2[HistoryMessage, error]

	// HistoryMessages is how many messages are held for those who come back.
	// Default: 1024.
	HistoryMessages int

	// HistoryBytes bounds the same in bytes. Default: 8 MiB.
	HistoryBytes int
}

// HistoryMessage is a message that was published before.
type HistoryMessage struct {
	Offset uint64
	Data   any // as it was given to Publish
}

// Topic is a stream of messages. Make one with [Hub.Topic]. Safe for
// concurrent use.
type Topic struct {
	hub      *Hub
	name     string
	snapshot func(ctx context.Context) (Position, any, error)
	history  func(ctx context.Context, after, upTo uint64) iter.Seq2[HistoryMessage, error]
	held     atomic.Int64 // bytes in replay, as the hub counts them

	spareable atomic.Bool // there is more than the newest message

	mu     sync.Mutex // guards the fields below
	epoch  string
	at     uint64 // the offset reached, by a message or without
	last   uint64 // the offset of the latest message
	replay replay
	parked []*subscription // those that have everything
	spare  []*subscription // room for the next list of them
	news   bool            // a message came since they were woken
	waking bool            // a goroutine is at it
	moved  chan struct{}   // closed at the next move, nil while nobody waits
	past   past

	// See snapshot.go.
	flight  *flight   // the snapshot being made, nil while none is
	made    *flight   // the latest, nil once a message came after it
	holds   []*flight // those that messages are held for, in the order in which they began
	failing failures
	waiting int    // subscribers that wait for one
	logged  seldom // that one failed,
	slow    seldom // or was too slow
}

const maxOffset = 1<<53 - 1 // JavaScript reads larger numbers as others

// Position returns how far the topic is.
func (t *Topic) Position() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Position{t.epoch, t.at}
}

// Publish sends data, encoded as JSON, to every subscriber. offset must be
// higher than any before and at most 2^53-1; numbers may be left out. One offset has
// one message, which may be a list. Publish does not wait for subscribers. It
// returns [ErrOffset], [ErrMessageTooLarge], or the error of encoding.
func (t *Topic) Publish(offset uint64, data any) error {
	encoded, err := encode(data)
	if err != nil {
		return fmt.Errorf("reliablews: encode a message of %s: %w", t.name, err)
	}
	if len(encoded) > t.hub.opts.MaxMessageBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(encoded), t.hub.opts.MaxMessageBytes)
	}
	if err := t.append(offset, encoded); err != nil {
		return err
	}
	t.hub.counts.published.Add(1)
	t.hub.trim()
	return nil
}

func (t *Topic) append(offset uint64, encoded []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset <= t.at || offset > maxOffset {
		return t.refuse(offset)
	}
	if len(t.holds) > 0 {
		t.unhold()
	}
	t.replay.add(offset, wireMessage(t.name, offset, t.last, encoded), t.hub.opts.Compression)
	t.count()
	t.last = offset
	t.made = nil
	t.move(offset)
	t.wake()
	return nil
}

// count tells the hub how many bytes the topic holds.
func (t *Topic) count() {
	t.spareable.Store(len(t.replay.messages) > 1)
	t.hub.held.Add(int64(t.replay.bytes) - t.held.Swap(int64(t.replay.bytes)))
}

// shrink lets the oldest messages go, as many as have some bytes, but for the
// newest.
func (t *Topic) shrink(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for bytes > 0 && len(t.replay.messages) > 1 {
		bytes -= t.replay.dropOldest()
	}
	t.count()
}

// Advance moves the topic past offsets that have no message. Subscribers learn
// of it with the next heartbeat. It returns [ErrOffset] for an offset that was
// passed; the present one is fine.
func (t *Topic) Advance(offset uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset < t.at || offset > maxOffset {
		return t.refuse(offset)
	}
	t.move(offset)
	return nil
}

// Truncate moves the topic to an offset and drops its history. It is for a
// message that cannot be sent, such as one over MaxMessageBytes: subscribers
// who have less get a snapshot, or are told of a gap. It returns [ErrOffset]
// as Advance does.
func (t *Topic) Truncate(offset uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset < t.at || offset > maxOffset {
		return t.refuse(offset)
	}
	t.replay.drop(offset)
	t.count()
	t.last = offset
	t.made = nil
	t.move(offset)
	t.wake()
	return nil
}

func (t *Topic) refuse(offset uint64) error {
	return fmt.Errorf("%w: %s is at %d, %d does not follow or is over 2^53-1", ErrOffset, t.name, t.at, offset)
}

func (t *Topic) move(offset uint64) {
	t.at = offset
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// pending appends frames after the subscription's cursor to pieces, up to limit
// bytes, and moves the cursor. all says that there are no more: the
// subscription is parked, and woken by the next message. lost says that the
// cursor fell out of what is held. With a list of packings each message is a
// piece of its own, which is to be packed, and on the list.
func (t *Topic) pending(pieces [][]byte, s *subscription, limit int, pack *[]packing) (_ [][]byte, all, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var messages []held
	for s.cursor < t.replay.base && len(messages) == 0 {
		page := t.past.page(s.cursor)
		if page == nil {
			t.caughtUp(s)
			return pieces, false, true
		}
		if messages = after(page.messages, s.cursor); len(messages) == 0 {
			// Nothing lies between, but the message after it will name an offset
			// that the client must know by then.
			s.cursor = page.to
			pieces = append(pieces, wirePing(map[string]uint64{t.name: s.cursor}))
		}
	}
	if len(messages) == 0 {
		if messages = t.replay.after(s.cursor); len(messages) == 0 {
			t.park(s)
			return pieces, true, false
		}
	}
	some := run(messages, limit)
	if pack != nil {
		for i := range some {
			*pack = append(*pack, packing{len(pieces), some[i].packed})
			pieces = append(pieces, some[i].wire())
		}
	} else {
		pieces = append(pieces, together(some))
	}
	s.cursor = some[len(some)-1].offset
	t.hub.counts.delivered.Add(uint64(len(some)))
	if s.cursor < t.last {
		return pieces, false, false
	}
	t.park(s)
	return pieces, true, false
}

// reached returns how far the topic is for one that has read to the cursor: at
// the topic's own offset if no message lies between.
func (t *Topic) reached(cursor uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cursor < t.last {
		return cursor
	}
	return max(t.at, cursor)
}

// begin decides where a subscriber at a position starts: it is resumed at its
// own offset, or not, for a reason. An ahead one may wait.
func (t *Topic) begin(p *Position) topicState {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := topicState{Epoch: t.epoch, Offset: t.at, Oldest: t.replay.base}
	switch {
	case p == nil:
		s.Reason = reasonNew
	case p.Epoch != t.epoch:
		s.Reason = reasonEpoch
	case p.Offset > t.at:
		s.Reason = reasonAhead
	case p.Offset < t.replay.base:
		s.Reason = reasonTruncated
	default:
		s.Offset, s.Resumed = p.Offset, true
	}
	return s
}

// reach waits until the topic has come to an offset.
func (t *Topic) reach(ctx context.Context, offset uint64) bool {
	for {
		t.mu.Lock()
		if t.at >= offset {
			t.mu.Unlock()
			return true
		}
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

func validTopic(name string) bool {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}
