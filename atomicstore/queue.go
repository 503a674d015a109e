package atomicstore

import (
	"slices"
	"sync"
)

// queue holds the updates that wait for the committer, first come first taken.
type queue[S, E any] struct {
	limit int
	ready chan struct{} // holds one signal: something waits, or the queue is closed

	mu      sync.Mutex // guards the fields below
	waiting []*request[S, E]
	closed  bool
}

func newQueue[S, E any](limit int) *queue[S, E] {
	return &queue[S, E]{limit: limit, ready: make(chan struct{}, 1)}
}

// put adds an update, or returns ErrOverloaded or ErrClosed.
func (q *queue[S, E]) put(r *request[S, E]) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	n := len(q.waiting)
	if n >= q.limit {
		q.mu.Unlock()
		return ErrOverloaded
	}
	q.waiting = append(q.waiting, r)
	q.mu.Unlock()
	if n == 0 {
		q.signal()
	}
	return nil
}

// take moves up to max updates to list. When it leaves some, ready says so
// again; ended tells that nothing waits and nothing will.
func (q *queue[S, E]) take(list []*request[S, E], max int) (taken []*request[S, E], ended bool) {
	q.mu.Lock()
	n := min(max, len(q.waiting))
	list = append(list, q.waiting[:n]...)
	q.waiting = slices.Delete(q.waiting, 0, n)
	left := len(q.waiting)
	ended = q.closed && left == 0
	q.mu.Unlock()
	if left > 0 {
		q.signal()
	}
	return list, ended
}

// putBack returns the last of those that were taken to the front.
func (q *queue[S, E]) putBack(list []*request[S, E]) {
	q.mu.Lock()
	q.waiting = slices.Insert(q.waiting, 0, list...)
	q.mu.Unlock()
	q.signal()
}

// drop takes out an update whose caller has given up, so that it takes no
// place from others.
func (q *queue[S, E]) drop(r *request[S, E]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, r); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
}

// poke lets those who wait look whether they are inside the update that holds
// up the committer: their request is here, since it cannot be taken.
func (q *queue[S, E]) poke() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.waiting {
		if len(r.done) == 0 { // only this sends while the request waits
			r.done <- false
		}
	}
}

func (q *queue[S, E]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

func (q *queue[S, E]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue[S, E]) signal() {
	select {
	case q.ready <- struct{}{}:
	default: // there is a signal already
	}
}
