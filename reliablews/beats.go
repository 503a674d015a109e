package reliablews

import (
	"sync"
	"time"
)

// beats is when the heartbeat of each connection is due. All have the same
// interval, so that they are due in the order of the list, and one timer does
// for thousands of connections.
type beats struct {
	interval time.Duration

	mu          sync.Mutex // guards the fields below, and due, earlier and later of each connection
	first, last *conn
	timer       *time.Timer // nil while there are no connections
}

func (b *beats) add(c *conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.append(c, now)
	if b.timer == nil {
		b.timer = time.AfterFunc(b.interval, b.fire)
	}
}

// append puts a connection behind all others. The caller holds the lock.
func (b *beats) append(c *conn, now time.Time) {
	c.due, c.earlier, c.later = now.Add(b.interval), b.last, nil
	if b.last != nil {
		b.last.later = c
	} else {
		b.first = c
	}
	b.last = c
}

// remove is for a connection that has ended.
func (b *beats) remove(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlink(c)
	if b.first == nil && b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

func (b *beats) unlink(c *conn) {
	if c.earlier != nil {
		c.earlier.later = c.later
	} else {
		b.first = c.later
	}
	if c.later != nil {
		c.later.earlier = c.earlier
	} else {
		b.last = c.earlier
	}
	c.earlier, c.later = nil, nil
}

// fire calls heartbeat of those that are due.
func (b *beats) fire() {
	b.mu.Lock()
	now := time.Now()
	var due []*conn
	for c := b.first; c != nil && !c.due.After(now); c = b.first {
		b.unlink(c)
		b.append(c, now)
		due = append(due, c)
	}
	if b.timer != nil && b.first != nil {
		b.timer.Reset(b.first.due.Sub(now))
	}
	b.mu.Unlock()
	for _, c := range due {
		c.heartbeat(now)
	}
}
