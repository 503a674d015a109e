package uploads

import (
	"context"
	"slices"
	"sync"
)

// budget is a semaphore of bytes. It is fair: whoever waits is served in order,
// so that a large picture is not overtaken by small ones for ever.
type budget struct {
	size int64

	mu    sync.Mutex // guards the fields below
	used  int64      // at most size
	queue []*claim   // oldest first; the first one does not fit
}

// claim is one that waits. ready is closed when n was added to used.
type claim struct {
	n     int64
	ready chan struct{}
}

// take waits until n bytes, at most b.size, are free and takes them. It returns
// the context's error if that ends first.
func (b *budget) take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.queue) == 0 && b.used+n <= b.size {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	c := &claim{n, make(chan struct{})}
	b.queue = append(b.queue, c)
	b.mu.Unlock()

	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.queue, c); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	} else {
		b.used -= n // it was served at the same moment
	}
	b.serve()
	return ctx.Err()
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.serve()
}

// serve is called with b.mu held.
func (b *budget) serve() {
	for len(b.queue) > 0 && b.used+b.queue[0].n <= b.size {
		b.used += b.queue[0].n
		close(b.queue[0].ready)
		b.queue = slices.Delete(b.queue, 0, 1)
	}
}

// load returns the bytes taken and how many wait.
func (b *budget) load() (used int64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, len(b.queue)
}
