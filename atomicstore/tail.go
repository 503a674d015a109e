package atomicstore

import "sync"

// tail keeps the latest changes in memory for whoever follows closely. Those
// who are further behind read the log, so that a slow consumer holds nothing.
type tail[E any] struct {
	mu      sync.Mutex    // guards the fields below
	changes []Change[E]   // dense in seq, oldest first
	sizes   []int         // bytes of each change in the log
	bytes   int           // their sum
	more    chan struct{} // closed at the next push
	closed  error         // why nothing comes any more
}

const (
	tailChanges = 1024
	tailBytes   = 8 << 20
)

func newTail[E any]() *tail[E] { return &tail[E]{more: make(chan struct{})} }

// push adds the changes of a batch and wakes the followers.
func (t *tail[E]) push(changes []Change[E], sizes []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes = append(t.changes, changes...)
	t.sizes = append(t.sizes, sizes...)
	for _, n := range sizes {
		t.bytes += n
	}
	drop := 0
	for len(t.changes)-drop > tailChanges || t.bytes > tailBytes {
		t.bytes -= t.sizes[drop]
		drop++
	}
	// Cut rather than copied; append moves what is left now and then, and the
	// dropped ones are freed with the old array.
	clear(t.changes[:drop])
	t.changes, t.sizes = t.changes[drop:], t.sizes[drop:]
	close(t.more)
	t.more = make(chan struct{})
}

// since returns the changes after seq that are here. held is false when some
// of them are only in the log. more is closed when there may be another.
func (t *tail[E]) since(seq, durable uint64) (changes []Change[E], held bool, more <-chan struct{}, closed error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.changes) == 0:
		held = seq >= durable
	case t.changes[0].Seq > seq+1:
		held = false
	default:
		held = true
		if n := seq + 1 - t.changes[0].Seq; n < uint64(len(t.changes)) {
			// A copy, since push clears what it drops.
			changes = append(changes, t.changes[n:]...)
		}
	}
	return changes, held, t.more, t.closed
}

// close ends all following.
func (t *tail[E]) close(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed == nil {
		t.closed = err
		close(t.more)
		t.more = make(chan struct{})
	}
}
