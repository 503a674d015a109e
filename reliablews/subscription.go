package reliablews

import (
	"context"
	"sync/atomic"
	"time"
)

// subscription is a connection's place in a topic: a cursor into what all
// share, however far it lags.
type subscription struct {
	conn  *conn
	topic *Topic

	// parked is set while it has everything and waits for a message to come.
	parked atomic.Bool
	slot   int // in the topic's list of those, guarded by the topic

	// Guarded by conn.mu.
	ready  bool   // false while it waits for a snapshot or an older message
	cursor uint64 // the offset of the last message sent
}

// start lets the writer send what comes after the cursor, behind a first frame
// if there is one.
func (s *subscription) start(cursor uint64, first []byte) {
	c := s.conn
	c.mu.Lock()
	if first != nil {
		c.control = append(c.control, first)
	}
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
				s.start(at.Offset, nil)
				return
			}
			reason = state.Reason
		}
	}
	if (reason == reasonTruncated || reason == reasonSlow) && t.history != nil {
		if t.readBack(c.ctx, at.Offset) {
			s.start(at.Offset, nil)
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
	for wait := time.Duration(0); ; wait = min(2*wait+100*time.Millisecond, 5*time.Second) {
		frame, offset, err := t.takeSnapshot(c.ctx)
		if err == nil {
			// If history has already gone on past the snapshot, the writer
			// notices and asks for another.
			s.start(offset, frame)
			return
		}
		if c.ctx.Err() != nil {
			return
		}
		c.hub.opts.Logger.Warn("a snapshot failed; subscribers wait", "topic", t.name, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// startWithGap starts at the oldest message held, or, for one who is ahead and
// has seen those, at the newest, and says what is missing.
func (s *subscription) startWithGap(at *Position, reason string) {
	state := s.topic.begin(at)
	if state.Resumed { // the topic has caught up just now
		s.start(at.Offset, nil)
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
	s.start(from, wireFrame(serverFrame{
		T: "gap", S: s.topic.name, E: state.Epoch, O: from, P: known, Reason: reason,
	}))
}
