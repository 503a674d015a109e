package reliablews

import (
	"context"
	"time"
)

// over is a context that ends when a connection does. A connection needs no
// more of one than a channel, and thousands of them are smaller without.
type over chan struct{}

func (o over) Deadline() (time.Time, bool) { return time.Time{}, false }
func (o over) Done() <-chan struct{}       { return o }
func (o over) Value(any) any               { return nil }

func (o over) Err() error {
	select {
	case <-o:
		return context.Canceled
	default:
		return nil
	}
}

// pause waits for some time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
