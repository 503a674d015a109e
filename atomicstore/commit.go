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
	takeAtOnce   = 32              // updates decided during a flush before the committer looks whether it has ended
	confirmAfter = 1 * time.Second // of idleness
)

// pending is a batch from its first update to its flush.
type pending[S Cloner[S], E any] struct {
	base    *version[S] // what it builds on: durable, or the batch before it
	state   S           // after its changes; a clone once there is an update
	cloned  bool
	changes []Change[E]
	sizes   []int  // bytes of each change's events
	bytes   int    // their sum
	frame   []byte // its changes as the log holds them
	waiting []*request[S, E]

	prev   uint32      // checksum of the batch before it, from seal on
	result *version[S] // what it makes, from seal on
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

// seal makes the frame complete. Nothing can be added then.
func (b *pending[S, E]) seal(w *wal) {
	b.prev = w.chain
	b.frame = w.seal(b.frame, len(b.changes))
	b.result = &version[S]{state: b.state, at: b.at(), chain: w.chain}
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
// goroutine, except for a batch under way, which belongs to the flusher.
//
// The flush under way is the window in which the next batch gathers; there is
// no timer. When deciding takes longer than flushing, the next batch is decided
// during the flush, on the state that the batch in flight will leave. If that
// one fails both are dropped, and until it is on disk nothing that was decided
// on it is told to anyone.
type committer[S Cloner[S], E any] struct {
	store    *Store[S, E]
	open     *pending[S, E]   // gathers
	spares   []*pending[S, E] // not in use
	taken    []*request[S, E]
	deciding int           // the one of taken that is being decided
	mark     int           // where the frame ended before it
	ids      [64 * 16]byte // random, for the changes to come
	idsLeft  int           // bytes of ids not used yet
	encoder  encoder[E]

	flights  chan *pending[S, E] // to the flusher
	landed   chan error          // from the flusher, one for each flight
	inFlight *pending[S, E]      // nil while the disk is free
	owed     *pending[S, E]      // on disk, its updates not yet answered
	piped    bool                // the last batch was decided during a flush

	perUpdate time.Duration // that deciding one takes, a moving average
	perFlush  time.Duration // that a flush takes, a moving average; of whoever flushes
}

// startCommitter begins to take updates.
func (s *Store[S, E]) startCommitter() {
	c := &committer[S, E]{
		store:   s,
		open:    new(pending[S, E]),
		spares:  []*pending[S, E]{new(pending[S, E]), new(pending[S, E])},
		encoder: newEncoder[E](s.codec),
		flights: make(chan *pending[S, E]),
		landed:  make(chan error, 1),
	}
	c.open.reset(s.current.Load())
	go c.fly()
	go c.run()
}

// fly is the goroutine of the flusher.
func (c *committer[S, E]) fly() {
	defer close(c.store.committed)
	for b := range c.flights {
		c.landed <- c.flush(b)
	}
}

// run is the goroutine of the committer, until the queue has ended.
func (c *committer[S, E]) run() {
	c.store.stalls.committer.Store(goroutineID())
	ended := false
	defer func() {
		if ended {
			close(c.flights)
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
	s := c.store
	idle := time.NewTimer(confirmAfter)
	idle.Stop()
	confirmed := true
	for ended := false; ; {
		for {
			if c.inFlight == nil && c.depart() {
				confirmed = false
				idle.Reset(confirmAfter)
			}
			c.settle()
			if !ended || c.inFlight == nil {
				break
			}
			c.land(<-c.landed)
		}
		if ended {
			return
		}
		ready := s.queue.ready
		if c.open.full() {
			ready = nil // until the disk is free
		}
		select {
		case <-ready:
			ended = c.gather()
		case err := <-c.landed:
			c.land(err)
		case <-idle.C:
			// Rot in the last batch could be taken for one that was never
			// acknowledged; with another behind it, it cannot.
			if !confirmed && c.inFlight == nil && s.Err() == nil {
				c.confirm()
				confirmed = true
			}
		}
	}
}

// gather decides what waits, as far as the batch has room, and goes on while
// more comes: those whose commits have just been released usually come back at
// once, and would otherwise wait for a whole flush of a few others.
func (c *committer[S, E]) gather() (ended bool) {
	b := c.open
	began, last := time.Now(), false
	for !b.full() {
		room := batchChanges - len(b.waiting)
		if c.inFlight != nil {
			room = min(room, takeAtOnce)
		}
		c.taken, ended = c.store.queue.take(c.taken[:0], room)
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
		now := time.Now()
		c.perUpdate = average(c.perUpdate, now.Sub(start)/time.Duration(n))
		if n < len(c.taken) {
			c.store.queue.putBack(c.taken[n:])
			ended = false
		}
		clear(c.taken)
		if ended || last || c.inFlight != nil && len(c.landed) > 0 {
			break // the disk is free: what there is goes now
		}
		last = c.inFlight == nil && now.Sub(began) > c.perFlush
		runtime.Gosched()
	}
	return ended
}

// average follows a duration with some inertia.
func average(old, sample time.Duration) time.Duration {
	if old == 0 {
		return sample
	}
	return old + (sample-old)/8
}

// depart flushes the open batch, or hands it to the flusher and goes on with
// the next one. It reports whether there was anything to write. The disk must
// be free.
func (c *committer[S, E]) depart() bool {
	b := c.open
	if len(b.changes) == 0 {
		release(b.waiting, nil) // all they saw is on disk already
		b.reset(c.store.current.Load())
		return false
	}
	b.seal(c.store.wal)
	// Whoever waits shares one flush with all the others, or meets one of two
	// that overlap and carry half of the updates each. The second is faster
	// where deciding them all takes longer than a flush.
	limit := c.perFlush
	if c.piped {
		limit /= 2 // now a batch is only half of those who wait
	}
	c.piped = time.Duration(len(b.waiting))*c.perUpdate > limit || c.store.opts.pipelined
	if !c.piped {
		c.settle()
		err := c.flush(b)
		release(b.waiting, err)
		b.reset(c.store.current.Load())
		return true
	}
	c.inFlight, c.open = b, c.spares[len(c.spares)-1]
	c.spares = c.spares[:len(c.spares)-1]
	c.open.reset(b.result)
	c.flights <- b
	runtime.Gosched() // the flusher first: it waits for the disk, not for a processor
	return true
}

// land takes back a batch that was in flight. If it failed, so does the open
// one, which was decided on it.
func (c *committer[S, E]) land(err error) {
	c.owed, c.inFlight = c.inFlight, nil
	if err != nil {
		release(c.owed.waiting, err)
		c.owed.waiting = c.owed.waiting[:0]
		c.drop(err, c.store.current.Load())
	}
}

// drop gives up the open batch.
func (c *committer[S, E]) drop(err error, base *version[S]) {
	release(c.open.waiting, err)
	c.open.reset(base)
}

// settle answers the updates of a batch that is on disk. That comes after the
// next batch has departed: the disk is what everybody waits for.
func (c *committer[S, E]) settle() {
	if c.owed == nil {
		return
	}
	release(c.owed.waiting, nil)
	c.owed.reset(nil)
	c.spares = append(c.spares, c.owed)
	c.owed = nil
}

// flush makes a batch durable and visible, and releases its updates, in this
// order.
func (c *committer[S, E]) flush(b *pending[S, E]) error {
	s := c.store
	start := time.Now()
	s.stalls.flush.begin(start)
	err := s.wal.write(b.frame, b.base.at.Seq+1, b.prev)
	s.stalls.flush.end()
	if err != nil {
		return s.unwritten(err, b.base.at.Seq+1, b.prev)
	}
	took := time.Since(start)
	c.perFlush = average(c.perFlush, took)
	s.counts.flushed(len(b.changes), b.bytes, len(b.frame), took)

	s.current.Store(b.result)
	s.tail.push(b.changes, b.sizes)
	s.checkpoints.changed(b.bytes)
	return nil
}

// unwritten returns the answer to the updates of a batch, from the change first
// on, that was not written: the store has failed, unless only the next segment
// found no room.
func (s *Store[S, E]) unwritten(err error, first uint64, prev uint32) error {
	if !errors.Is(err, ErrDiskFull) {
		return s.fail(err)
	}
	s.wal.unseal(first, prev)
	s.noRoom(err)
	return err
}

// confirm writes a batch of no changes.
func (c *committer[S, E]) confirm() {
	s := c.store
	prev := s.wal.chain
	frame := s.wal.seal(beginBatch(nil), 0)
	first := s.current.Load().at.Seq + 1
	s.stalls.flush.begin(time.Now())
	err := s.wal.write(frame, first, prev)
	s.stalls.flush.end()
	if err != nil {
		s.unwritten(err, first, prev)
	}
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
	err := fmt.Errorf("%w: %w", ErrFailed, cause)
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
