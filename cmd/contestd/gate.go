package main

import (
	"context"
	"sync"
)

// gate counts the writes in flight and, once closed, lets no new one in. The
// zero gate is open. Safe for concurrent use.
type gate struct {
	mu       sync.Mutex // guards the fields below
	inFlight int
	closed   bool
	empty    chan struct{} // closed when the gate is closed and the last write has left
}

// enter lets a write in, or reports false after close. Each true needs a leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inFlight++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if g.closed && g.inFlight == 0 {
		close(g.empty)
	}
}

// close shuts the gate and waits until the last write has left or ctx ends.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed, g.empty = true, make(chan struct{})
		if g.inFlight == 0 {
			close(g.empty)
		}
	}
	empty := g.empty
	g.mu.Unlock()

	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
