package reliablews

import (
	"math"
	"slices"
	"sync"
	"time"
)

// take gives the caller the writer's part, if nobody has it.
func (c *conn) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.ended || c.closed {
		return false
	}
	c.writing = true
	return true
}

// nudge makes sure that somebody writes what there is: whoever is writing looks
// again before it stops. It never waits.
func (c *conn) nudge() {
	if c.take() {
		go c.write(math.MaxInt)
	}
}

// push is nudge that writes right here what the network takes at once. For one
// of thousands of subscribers that is cheaper than a goroutine.
func (c *conn) push() {
	if !c.take() {
		return
	}
	batch := batches.Get().(*[][]byte)
	defer batches.Put(batch)
	for range 2 { // the second time there is nothing, most often
		pieces, code, _ := c.collect((*batch)[:0])
		if len(pieces) == 0 {
			if code != 0 {
				go c.write(math.MaxInt)
			}
			return
		}
		rest, err := c.out.try(pieces)
		if err == errBusy {
			go c.writeFirst(slices.Clone(pieces))
			c.keep(batch, pieces)
			return
		}
		c.keep(batch, pieces)
		if rest != nil {
			go c.finish(rest)
			return
		}
		if !c.wrote(err) {
			return
		}
	}
	go c.write(math.MaxInt)
}

// writeFirst writes what was collected and then what there is.
func (c *conn) writeFirst(pieces [][]byte) {
	if c.wrote(c.out.write(pieces)) {
		c.write(math.MaxInt)
	}
}

func (c *conn) finish(rest []byte) {
	if c.wrote(c.out.finish(rest)) {
		c.write(math.MaxInt)
	}
}

// wrote notes a write, and gives the writer's part back for good after an error.
func (c *conn) wrote(err error) bool {
	if err != nil {
		c.out.abort() // the reader ends
		c.stop()
		return false
	}
	c.hub.counts.writes.Add(1)
	return true
}

// batches are room for the pieces of a write.
var batches = sync.Pool{New: func() any { return new([][]byte) }}

// keep keeps the room, and lets go of what was in it.
func (c *conn) keep(batch *[][]byte, pieces [][]byte) {
	clear(pieces)
	if cap(pieces) <= 1024 {
		*batch = pieces
	}
}

// write sends what there is and then gives the writer's part back. When there
// are more batches of it than the limit, a goroutine takes over.
func (c *conn) write(limit int) {
	batch := batches.Get().(*[][]byte)
	defer batches.Put(batch)
	for range limit {
		pieces, code, reason := c.collect((*batch)[:0])
		if len(pieces) == 0 {
			if code != 0 {
				c.out.end(code, reason)
				c.stop()
			}
			return
		}
		err := c.out.write(pieces)
		c.keep(batch, pieces)
		if !c.wrote(err) {
			return
		}
	}
	go c.write(math.MaxInt)
}

// stop gives the writer's part back for good.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.rest()
	c.cancel()
}

// rest gives the writer's part back. The caller holds the lock.
func (c *conn) rest() {
	c.writing = false
	if c.quiet != nil {
		close(c.quiet)
		c.quiet = nil
	}
}

// collect appends what is ready to pieces. When there is nothing, there may be a
// code to close with; else the writer's part is given back.
func (c *conn) collect(pieces [][]byte) (_ [][]byte, code int, reason string) {
	if !c.out.packs() {
		return c.gather(pieces, nil)
	}
	var pack []packing
	pieces, code, reason = c.gather(pieces, &pack)
	for _, p := range pack {
		pieces[p.piece] = p.as.frame(pieces[p.piece])
	}
	return pieces, code, reason
}

// gather is collect but for packing.
func (c *conn) gather(pieces [][]byte, pack *[]packing) (_ [][]byte, code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said {
		c.control = nil // a snapshot, or an answer, that came too late
	}
	size, taken := 0, 0
	for ; size < writeLimit && taken < len(c.control); taken++ {
		size += len(c.control[taken])
		pieces = append(pieces, c.control[taken])
		c.control[taken] = nil
	}
	switch {
	case taken < len(c.control):
		c.control = c.control[taken:]
	case cap(c.control) > 8:
		c.control = nil
	default:
		c.control = c.control[:0] // room for the next answers
	}
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	if len(c.control) > 0 {
		return pieces, 0, "" // what is behind may begin with it, as at a snapshot
	}
	if c.code != 0 && (c.bye == nil || c.hasty) {
		// The goodbye is out or is next, or there is none: nothing more of topics
		// is for this client.
		if pieces = c.farewell(pieces); len(pieces) > 0 {
			return pieces, 0, ""
		}
		return nil, c.code, c.reason
	}
	more := false
	if c.inbox {
		before, gaps := len(pieces), 0
		pieces, c.read, gaps = c.session.ownInbox().pending(pieces, c.session.id, c.read, writeLimit)
		more = len(pieces) > before
		size += total(pieces[before:])
		c.hub.counts.delivered.Add(uint64(len(pieces) - before - gaps))
		c.hub.counts.gaps.Add(uint64(gaps))
	}
	for _, s := range c.subs {
		// Before a heartbeat or a goodbye come messages that nobody was woken for
		// yet.
		if !s.ready || s.parked.Load() && !c.beat && c.bye == nil {
			continue
		}
		if size >= writeLimit {
			more = true
			break
		}
		var all, lost bool
		before := len(pieces)
		pieces, all, lost = s.topic.pending(pieces, s, writeLimit-size, pack)
		size += total(pieces[before:])
		if lost {
			// It has fallen out of what is held: a fresh start, at its own pace.
			s.ready = false
			from := &Position{s.topic.epoch, s.cursor}
			c.joining.Go(func() { s.place(from, reasonSlow) })
		}
		more = more || !all && !lost
	}
	if !more {
		if c.beat {
			c.beat = false
			pieces = append(pieces, c.ping())
		}
		pieces = c.farewell(pieces)
	}
	if len(pieces) > 0 {
		return pieces, 0, ""
	}
	c.rest()
	return nil, 0, ""
}

// farewell appends the goodbye, if there is one. The caller holds the lock.
func (c *conn) farewell(pieces [][]byte) [][]byte {
	if c.bye == nil {
		return pieces
	}
	pieces, c.bye, c.said = append(pieces, c.bye), nil, true
	return pieces
}

func total(pieces [][]byte) (bytes int) {
	for _, p := range pieces {
		bytes += len(p)
	}
	return bytes
}

// ping is a heartbeat. It tells the offsets that topics have reached without a
// message, behind everything up to there. The caller holds the lock.
func (c *conn) ping() []byte {
	var reached map[string]uint64
	for _, s := range c.subs {
		if !s.ready {
			continue
		}
		if at := s.topic.reached(s.cursor); at > s.cursor {
			if reached == nil {
				reached = map[string]uint64{}
			}
			reached[s.topic.name] = at
			s.cursor = at
		}
	}
	return wirePing(reached)
}

func wirePing(reached map[string]uint64) []byte {
	return wireFrame(serverFrame{T: "ping", TS: time.Now().UnixMilli(), Pos: reached})
}
