package atomicstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// answer runs one update and keeps its answer until what it saw is on disk.
func (c *committer[S, E]) answer(b *pending[S, E], r *request[S, E], now time.Time) {
	if !r.taken.CompareAndSwap(false, true) {
		return // its caller has given up
	}
	if r.err = c.store.Err(); r.err != nil {
		r.done <- true
		return
	}
	c.decide(b, r, now)
	c.hold(b, r)
}

// hold keeps the answer of an update that was decided.
func (c *committer[S, E]) hold(b *pending[S, E], r *request[S, E]) {
	if len(b.changes) == 0 {
		r.done <- true // all it saw is on disk already
		return
	}
	b.waiting = append(b.waiting, r)
}

// abandon ends the update that has ended the committer's goroutine, and lets
// those behind it wait for the next one.
func (c *committer[S, E]) abandon() {
	b, r := &c.batch, c.taken[c.deciding]
	c.store.stalls.decide.end()
	c.refuse(b, r, &PanicError{Value: errGoexit, Stack: debug.Stack()}, true)
	c.hold(b, r)
	c.store.queue.putBack(c.taken[c.deciding+1:])
	clear(c.taken)
}

var errGoexit = errors.New("decide or Apply ended its goroutine (runtime.Goexit, or FailNow of a test)")

// decide runs one update on the batch's copy of the state and sets its answer.
func (c *committer[S, E]) decide(b *pending[S, E], r *request[S, E], now time.Time) {
	if !b.cloned {
		if b.state, r.err = cloned(b.base.state); r.err != nil {
			c.refuse(b, r, r.err, false)
			return
		}
		b.cloned = true
	}
	seen := b.at()
	change := Change[E]{Position: Position{seen.Epoch, seen.Seq + 1}, Time: now, RequestID: r.requestID}
	size, dirty, err := c.try(b, r.decide, &change)
	switch {
	case err != nil:
		c.refuse(b, r, err, dirty)
	case len(change.Events) == 0:
		r.at = seen
	default:
		b.changes = append(b.changes, change)
		b.sizes = append(b.sizes, size)
		b.bytes += size
		r.at = change.Position
	}
}

// refuse takes back all that an update has left in its batch.
func (c *committer[S, E]) refuse(b *pending[S, E], r *request[S, E], err error, dirty bool) {
	b.frame = b.frame[:c.mark]
	r.err = err
	c.store.counts.refused.Add(1)
	if !dirty {
		return
	}
	if len(b.changes) == 0 {
		var none S
		b.state, b.cloned = none, false // the next update has a clone of its own
		return
	}
	if b.state, err = c.store.rebuild(b); err != nil {
		// To go on would write a log that cannot be replayed.
		r.err = c.store.fail(err)
		release(b.waiting, r.err)
		b.reset(b.base)
	}
}

// cloned returns a copy of a state. A panic of Clone is its error.
func cloned[S Cloner[S]](state S) (clone S, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return state.Clone(), nil
}

// try runs decide, adds its events to the frame and applies them to the state.
// dirty says that an error may have left the state changed.
func (c *committer[S, E]) try(b *pending[S, E], decide func(S) ([]E, error), change *Change[E]) (size int, dirty bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			dirty, err = true, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	events, err := decide(b.state)
	if err != nil || len(events) == 0 {
		return 0, false, err
	}
	c.newID(&change.ID)
	change.Events = make([]E, len(events))
	b.frame = appendChange(b.frame, change.ID, change.Time, change.RequestID, len(events))
	for i := range events {
		data, err := c.encoder.encode(&events[i], &change.Events[i])
		if err != nil {
			return 0, false, err
		}
		if size += len(data); size > c.store.opts.MaxChangeBytes {
			return 0, false, fmt.Errorf("%w: over %d bytes", ErrTooLarge, c.store.opts.MaxChangeBytes)
		}
		b.frame = appendChunk(b.frame, data)
	}
	for _, e := range change.Events {
		if err := c.store.apply(b.state, e); err != nil {
			return 0, true, err
		}
	}
	return size, false, nil
}

// newID gives a change its random id. The random bytes are read for many.
func (c *committer[S, E]) newID(id *ChangeID) {
	if c.idsLeft == 0 {
		c.idsLeft = len(c.ids)
		rand.Read(c.ids[:])
	}
	c.idsLeft -= copy(id[:], c.ids[len(c.ids)-c.idsLeft:])
}

// rebuild makes the batch's state again without the update that spoiled it, in
// a goroutine of its own: an Apply that ends it must not end the committer.
func (s *Store[S, E]) rebuild(b *pending[S, E]) (S, error) {
	var state S
	err := errGoexit
	done := make(chan struct{})
	inside := s.stalls.committer.Load()
	go func() {
		defer close(done)
		s.stalls.committer.Store(goroutineID())
		state, err = s.reapply(b)
	}()
	<-done
	s.stalls.committer.Store(inside)
	if err != nil {
		err = fmt.Errorf("a change that was applied before cannot be applied again: %w; Apply must do the same each time", err)
	}
	return state, err
}

// reapply makes the batch's state from its changes.
func (s *Store[S, E]) reapply(b *pending[S, E]) (state S, err error) {
	var seq uint64
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("a panic: %v", v)
		}
		if err != nil {
			err = fmt.Errorf("change %d: %w", seq, err)
		}
	}()
	if state, err = cloned(b.base.state); err != nil {
		return state, err
	}
	for _, change := range b.changes {
		seq = change.Seq
		for _, e := range change.Events {
			if err := s.apply(state, e); err != nil {
				return state, err
			}
		}
	}
	return state, nil
}
