package atomicstore

import (
	"slices"
	"sync"
)

// tail keeps the latest changes in memory for whoever follows closely. Those
// who are further behind read the log, so that a slow consumer holds nothing.
type tail[E any] struct {
	mu      sync.Mutex    // guards the fields below
	changes []Change[E]   // dense in seq, oldest first; those before start are gone
	sizes   []int         // bytes of each change in the log
	start   int           // of what is held
	bytes   int           // the sum of what is held
	more    chan struct{} // closed at the next push; nil while nobody waits
	closed  error         // why nothing comes any more
}

const (
	tailChanges = 1024
	tailBytes   = 8 << 20

	followChanges = 64        // that a follower holds at once, at most
	followBytes   = 256 << 10 // after which it takes no more from the log
)

func newTail[E any]() *tail[E] { return new(tail[E]) }

// push adds the changes of a batch and wakes the followers.
func (t *tail[E]) push(changes []Change[E], sizes []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.changes); n+len(changes) > cap(t.changes) && t.start > n/2 {
		// Moved down rather than grown: half of the memory is free.
		copy(t.changes, t.changes[t.start:])
		copy(t.sizes, t.sizes[t.start:])
		clear(t.changes[n-t.start:])
		t.changes, t.sizes, t.start = t.changes[:n-t.start], t.sizes[:n-t.start], 0
	}
	t.changes = append(t.changes, changes...)
	t.sizes = append(t.sizes, sizes...)
	for _, n := range sizes {
		t.bytes += n
	}
	old := t.start
	for len(t.changes)-t.start > tailChanges || t.bytes > tailBytes {
		t.bytes -= t.sizes[t.start]
		t.start++
	}
	clear(t.changes[old:t.start])
	t.wakeLocked()
}

// wake lets those who wait for more look again.
func (t *tail[E]) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakeLocked()
}

func (t *tail[E]) wakeLocked() {
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// moreLocked returns a channel that is closed when there may be more.
func (t *tail[E]) moreLocked() <-chan struct{} {
	if t.more == nil {
		t.more = make(chan struct{})
	}
	return t.more
}

// next returns a channel that is closed when there may be more, and why there
// will not be.
func (t *tail[E]) next() (more <-chan struct{}, closed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moreLocked(), t.closed
}

// since returns some of the changes after seq that are here, not too many, as
// a slow follower holds them. held is false when the next is only in the log.
// more is closed when there may be another.
func (t *tail[E]) since(seq, durable uint64) (changes []Change[E], held bool, more <-chan struct{}, closed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	here := t.changes[t.start:]
	switch {
	case len(here) == 0:
		held = seq >= durable
	case here[0].Seq > seq+1:
		held = false
	default:
		held = true
		if n := seq + 1 - here[0].Seq; n < uint64(len(here)) {
			// A copy, since push moves what is here.
			changes = slices.Clone(here[n:min(n+followChanges, uint64(len(here)))])
		}
	}
	return changes, held, t.moreLocked(), t.closed
}

// close ends all following.
func (t *tail[E]) close(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed == nil {
		t.closed = err
		t.wakeLocked()
	}
}
