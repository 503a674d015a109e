package reliablews

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// TopicOptions changes how a topic works. The zero value is good; Topic copies
// it.
type TopicOptions struct {
	// Snapshot returns what stands for all messages up to a position, for
	// subscribers that history does not reach. It must include every message
	// up to the position it returns and none after it. One call serves all who
	// wait at that time. Default: such subscribers are told of a gap.
	Snapshot func(ctx context.Context) (Position, any, error)

	// HistoryMessages is how many messages are kept for those who come back.
	// Default: 1024.
	HistoryMessages int

	// HistoryBytes bounds the same in bytes. Default: 8 MiB.
	HistoryBytes int
}

// Topic is a stream of messages. Make one with [Hub.Topic]. Safe for
// concurrent use.
type Topic struct {
	hub      *Hub
	name     string
	snapshot func(ctx context.Context) (Position, any, error)

	mu      sync.Mutex // guards the fields below
	epoch   string
	at      uint64 // the offset reached, by a message or without
	last    uint64 // the offset of the latest message
	replay  replay
	readers map[*subscription]struct{}
	moved   chan struct{} // closed at the next move, nil while nobody waits
	flight  *flight       // the snapshot being made, nil while none is
	made    *flight       // the latest snapshot, nil once a message came after it
}

// flight is one call of Snapshot, shared by those who wait for it.
type flight struct {
	done chan struct{}
	at   uint64
	wire []byte
	err  error
}

const (
	snapshotTimeout = 30 * time.Second
	maxOffset       = 1<<53 - 1 // JavaScript reads larger numbers as others
)

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
	encoded, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("reliablews: encode a message of %s: %w", t.name, err)
	}
	if len(encoded) > t.hub.opts.MaxMessageBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(encoded), t.hub.opts.MaxMessageBytes)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset <= t.at || offset > maxOffset {
		return t.refuse(offset)
	}
	t.replay.add(offset, wireMessage(t.name, offset, t.last, encoded))
	t.last = offset
	t.made = nil
	t.move(offset)
	t.wake()
	t.hub.counts.published.Add(1)
	return nil
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
	t.last = offset
	t.made = nil
	t.move(offset)
	t.wake()
	return nil
}

func (t *Topic) refuse(offset uint64) error {
	return fmt.Errorf("%w: %s is at %d, %d does not follow or is over 2^53-1", ErrOffset, t.name, t.at, offset)
}

// wake makes every reader look for what is new.
func (t *Topic) wake() {
	for s := range t.readers {
		s.conn.nudge()
	}
}

func (t *Topic) move(offset uint64) {
	t.at = offset
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// fill appends the messages after the cursor to b until it has limit bytes. It
// returns the cursor after them; when that was all, how far the topic is, found
// out under the same lock, or a heartbeat could be kept back for a message that
// came in between; and lost when the cursor fell out of history.
func (t *Topic) fill(b []byte, cursor uint64, limit int) (filled []byte, moved, at uint64, all, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cursor < t.replay.base {
		return b, cursor, 0, false, true
	}
	sent := uint64(0)
	for _, m := range t.replay.after(cursor) {
		if len(b) > 0 && len(b)+len(m.wire) > limit {
			break
		}
		b = append(b, m.wire...)
		cursor = m.offset
		sent++
	}
	t.hub.counts.delivered.Add(sent)
	return b, cursor, max(t.at, cursor), cursor >= t.last, false
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

// takeSnapshot returns a snapshot as it goes over the wire and its offset. It
// is made once for all who come while it is made or before the next message:
// after a restart, or in a quiet hour, a whole hall shares one.
func (t *Topic) takeSnapshot(ctx context.Context) (wire []byte, at uint64, err error) {
	t.mu.Lock()
	if f := t.made; f != nil {
		t.mu.Unlock()
		return f.wire, f.at, nil
	}
	f := t.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		t.flight = f
		t.hub.running.Go(func() { t.fly(f) })
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.wire, f.at, f.err
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// fly makes the snapshot for all who wait. It belongs to none of them, so that
// one who leaves does not end it for the others.
func (t *Topic) fly(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
	defer cancel()
	defer func() {
		t.mu.Lock()
		t.flight = nil
		if f.err == nil && f.at >= t.last {
			t.made = f
		}
		t.mu.Unlock()
		if f.err != nil {
			t.hub.counts.snapshotErrors.Add(1)
		}
		close(f.done)
	}()
	p, data, err := t.snapshot(ctx)
	if err != nil {
		f.err = err
		return
	}
	t.mu.Lock()
	epoch := t.epoch
	t.mu.Unlock()
	if p.Epoch != epoch {
		f.err = fmt.Errorf("reliablews: the snapshot of %s is of epoch %s, the topic of %s", t.name, p.Epoch, epoch)
		return
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		f.err = fmt.Errorf("reliablews: encode the snapshot of %s: %w", t.name, err)
		return
	}
	f.at = p.Offset
	f.wire = wireFrame(serverFrame{T: "snap", S: t.name, E: p.Epoch, O: p.Offset, D: encoded})
	t.hub.counts.snapshots.Add(1)
}

func (t *Topic) join(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers[s] = struct{}{}
}

func (t *Topic) leave(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, s)
}

func validTopic(name string) bool {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}
