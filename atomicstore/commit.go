package atomicstore

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	batchChanges = 1024            // updates in one flush
	batchBytes   = 1 << 20         // bytes after which a flush is full
	confirmAfter = 1 * time.Second // of idleness
)

// pending is a batch from its first update to its flush.
type pending[S Cloner[S], E any] struct {
	base    *version[S] // what it builds on
	state   S           // after its changes; a clone once there is an update
	cloned  bool
	changes []Change[E]
	sizes   []int  // bytes of each change's events
	bytes   int    // their sum
	frame   []byte // its changes as the log holds them
	waiting []*request[S, E]
}

// at is the position that the next update sees.
func (b *pending[S, E]) at() Position {
	if n := len(b.changes); n > 0 {
		return b.changes[n-1].Position
	}
	return b.base.at
}

func (b *pending[S, E]) full() bool {
	return len(b.changes) >= batchChanges || len(b.waiting) >= batchChanges || b.bytes >= batchBytes
}

// reset empties a batch and keeps its memory for the next one.
func (b *pending[S, E]) reset(base *version[S]) {
	clear(b.changes)
	clear(b.waiting)
	frame := b.frame
	if cap(frame) > 2*batchBytes {
		frame = nil // one large change does not hold memory for ever
	}
	*b = pending[S, E]{
		base:    base,
		changes: b.changes[:0],
		sizes:   b.sizes[:0],
		frame:   beginBatch(frame),
		waiting: b.waiting[:0],
	}
}

// committer decides and writes; there is one. What follows belongs to its
// goroutine.
//
// The flush under way is the window in which the next batch gathers; there is
// no timer. To decide a batch during the flush of the one before it would halve
// the batches: on two cores that took from 5 % to 15 % of the commits and won
// none, even where deciding took ten times as long as a flush (2026-11-25).
type committer[S Cloner[S], E any] struct {
	store    *Store[S, E]
	batch    pending[S, E]
	taken    []*request[S, E]
	deciding int           // the one of taken that is being decided
	mark     int           // where the frame ended before it
	ids      [64 * 16]byte // random, for the changes to come
	idsLeft  int           // bytes of ids not used yet
	encoder  encoder[E]
	perFlush time.Duration // that a flush takes, a moving average
}

func newCommitter[S Cloner[S], E any](s *Store[S, E]) *committer[S, E] {
	c := &committer[S, E]{store: s, encoder: newEncoder[E](s.codec)}
	c.batch.reset(s.current.Load())
	return c
}

// run is the goroutine of the committer, until the queue has ended.
func (c *committer[S, E]) run() {
	c.store.stalls.committer.Store(goroutineID())
	ended := false
	defer func() {
		if ended {
			close(c.store.committed)
			return
		}
		// decide or Apply has called runtime.Goexit, as FailNow of package
		// testing does. That ends this goroutine, and shall end no more.
		c.abandon()
		go c.run()
	}()
	c.loop()
	ended = true
}

// loop takes updates until the queue has ended.
func (c *committer[S, E]) loop() {
	idle := time.NewTimer(confirmAfter)
	idle.Stop()
	confirmed := true
	for ended := false; ; {
		if c.commit() {
			confirmed = false
			idle.Reset(confirmAfter)
		}
		if ended {
			return
		}
		select {
		case <-c.store.queue.ready:
			ended = c.gather()
		case <-idle.C:
			// Rot in the last batch could be taken for one that was never
			// acknowledged; with another behind it, it cannot.
			if confirmed || c.store.Err() != nil {
				break
			}
			if confirmed = c.confirm(); !confirmed {
				idle.Reset(confirmAfter) // there was no room
			}
		}
	}
}

// gather decides what waits, as far as the batch has room, and goes on while
// more comes: those whose commits have just been released usually come back at
// once, and would otherwise wait for a whole flush of a few others.
func (c *committer[S, E]) gather() (ended bool) {
	b := &c.batch
	began, last := time.Now(), false
	for !b.full() {
		c.taken, ended = c.store.queue.take(c.taken[:0], batchChanges-len(b.waiting))
		if len(c.taken) == 0 {
			break
		}
		start := time.Now()
		c.store.stalls.decide.begin(start)
		n := 0
		for n < len(c.taken) && !b.full() { // large ones may fill it before
			c.deciding, c.mark = n, len(b.frame)
			c.answer(b, c.taken[n], start.UTC().Round(0))
			n++
		}
		c.store.stalls.decide.end()
		if n < len(c.taken) {
			c.store.queue.putBack(c.taken[n:])
			ended = false
		}
		clear(c.taken)
		if ended || last {
			break
		}
		last = time.Since(began) > c.perFlush
		runtime.Gosched()
	}
	return ended
}

// commit makes the batch durable and visible, and answers its updates, in this
// order. It reports whether there was anything to write.
func (c *committer[S, E]) commit() bool {
	b := &c.batch
	if len(b.changes) == 0 {
		b.reset(b.base) // nobody waits: all that was seen is on disk already
		return false
	}
	release(b.waiting, c.flush(b))
	b.reset(c.store.current.Load())
	return true
}

// flush makes a batch durable, and then visible. An error is the answer to all
// its updates.
func (c *committer[S, E]) flush(b *pending[S, E]) (err error) {
	s := c.store
	start := time.Now()
	if b.frame, err = c.append(b.frame, len(b.changes)); err != nil {
		return err
	}
	took := time.Since(start)
	c.perFlush += (took - c.perFlush) / 8
	s.counts.flushed(len(b.changes), b.bytes, len(b.frame), took)

	s.current.Store(&version[S]{state: b.state, at: b.at(), chain: sumOf(b.frame)})
	s.tail.push(b.changes, b.sizes)
	s.checkpoints.changed(b.bytes)
	return nil
}

// confirm writes a batch of no changes.
func (c *committer[S, E]) confirm() bool {
	_, err := c.append(beginBatch(nil), 0)
	return err == nil
}

// append writes a frame to the log and syncs it. If that cannot be done the
// store has failed, unless only the next segment found no room.
func (c *committer[S, E]) append(frame []byte, changes int) ([]byte, error) {
	s := c.store
	s.stalls.flush.begin(time.Now())
	frame, err := s.wal.append(frame, changes)
	s.stalls.flush.end()
	switch {
	case errors.Is(err, ErrDiskFull):
		s.noRoom(err)
	case err != nil:
		err = s.fail(err)
	}
	return frame, err
}

// release answers updates, all with err if there is one.
func release[S, E any](list []*request[S, E], err error) {
	for _, r := range list {
		if err != nil {
			r.at, r.err = Position{}, err
		}
		r.done <- true
	}
}

// fail latches the first failure to write.
func (s *Store[S, E]) fail(cause error) error {
	err := prefixed(fmt.Errorf("%w: %w", ErrFailed, cause))
	for {
		before := s.failure.Load()
		if before != nil && !errors.Is(*before, ErrReplaced) {
			return *before
		}
		// Also after ErrReplaced, which promises that nothing was written.
		if s.failure.CompareAndSwap(before, &err) {
			s.opts.Logger.Error("the store cannot write any more; reading goes on", "error", cause)
			s.tail.wake() // those in WaitFor wait in vain
			return err
		}
	}
}
