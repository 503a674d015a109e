package reliablews

import (
	"context"
	"sync/atomic"
)

// subscription is a connection's place in a topic: a cursor into what all
// share, however far it lags.
type subscription struct {
	conn  *conn
	topic *Topic

	// parked is set while it has everything and waits for a message to come.
	parked atomic.Bool
	slot   int // in the topic's list of those, guarded by the topic

	// snapshot is what it got and has not read on from, nil if there is none.
	// Guarded by the topic.
	snapshot *flight

	// Guarded by conn.mu.
	ready  bool   // false while it waits for a snapshot or an older message
	cursor uint64 // the offset of the last message sent
}

// start lets the writer send what comes after the cursor, behind some frames.
func (s *subscription) start(cursor uint64, first ...[]byte) {
	c := s.conn
	c.mu.Lock()
	c.control = append(c.control, first...)
	s.ready, s.cursor = true, cursor
	c.mu.Unlock()
	c.nudge()
}

// place finds a start for a subscriber that the messages held do not reach: in
// a durable history, at a snapshot, or behind a gap.
func (s *subscription) place(at *Position, reason string) {
	c, t := s.conn, s.topic
	if reason == reasonAhead {
		ctx, cancel := context.WithTimeout(c.ctx, c.hub.opts.AheadTimeout)
		caughtUp := t.reach(ctx, at.Offset)
		cancel()
		if caughtUp {
			state := t.begin(at)
			if state.Resumed {
				s.start(at.Offset)
				return
			}
			reason = state.Reason
		}
	}
	if (reason == reasonTruncated || reason == reasonSlow) && t.history != nil {
		if t.readBack(c.ctx, at.Offset) {
			s.start(at.Offset)
			return
		}
	}
	if c.ctx.Err() != nil {
		return
	}
	if t.snapshot == nil {
		s.startWithGap(at, reason)
		return
	}
	s.startWithSnapshot()
}

// startWithSnapshot starts behind a snapshot, once there is one that the
// messages held, or the durable history, go on from. While messages come faster
// than snapshots are made there is none: then it starts with a gap behind one.
func (s *subscription) startWithSnapshot() {
	c, t := s.conn, s.topic
	for made := 1; ; made++ {
		f, err := t.takeSnapshot(c.ctx)
		if err != nil {
			return // the connection has ended
		}
		at := &Position{t.epoch, f.at}
		state := t.begin(at)
		if state.Reason != reasonTruncated || t.history != nil && t.readBack(c.ctx, f.at) {
			t.mu.Lock()
			s.snapshot = f
			t.mu.Unlock()
			s.start(f.at, f.wire)
			return
		}
		t.release(f)
		if made >= snapshotStale {
			t.tooSlow()
			s.start(state.Oldest, f.wire, wireGap(t.name, state.Epoch, state.Oldest, f.at, state.Reason))
			return
		}
	}
}

// startWithGap starts at the oldest message held, or, for one who is ahead and
// has seen those, at the newest, and says what is missing.
func (s *subscription) startWithGap(at *Position, reason string) {
	state := s.topic.begin(at)
	if state.Resumed { // the topic has caught up just now
		s.start(at.Offset)
		return
	}
	from := state.Oldest
	if reason == reasonAhead { // still, or overtaken by more than is held
		if reason = state.Reason; reason == reasonAhead {
			from = state.Offset
		}
	}
	s.conn.hub.counts.gaps.Add(1)
	var known uint64
	if at.Epoch == state.Epoch {
		known = at.Offset
	}
	s.start(from, wireGap(s.topic.name, state.Epoch, from, known, reason))
}
