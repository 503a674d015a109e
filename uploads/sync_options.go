package uploads

import (
	"context"
	"log/slog"
	"time"
)

// SyncOptions changes how photos are mirrored. The zero value is good; NewSyncer
// copies it.
type SyncOptions struct {
	// Logger hears of outages, of their end, and of what is parked. Default:
	// silent.
	Logger *slog.Logger

	// OnMoved is told where a photo is once it is there: at least once after every
	// Accept of it, again after a restart in the wrong moment, and possibly before
	// Accept's caller has got its answer. An error means "not now": it is called
	// again later. It must return soon after ctx ends. Default: nobody is told.
	OnMoved func(ctx context.Context, id PhotoID, url string) error

	// Parallel is how many photos are on their way at once. Default: 4.
	Parallel int

	// Timeout ends one try. Default: 2 minutes.
	Timeout time.Duration

	// RetryStart and RetryMax are the first and the longest wait after a failure.
	// The wait doubles each time, is at random between nothing and that, and never
	// given up. Defaults: 1 second and 5 minutes.
	RetryStart, RetryMax time.Duration

	// BreakAfter failures in a row nothing is sent for BreakFor, then one photo is
	// tried. Defaults: 5, and 30 seconds.
	BreakAfter int
	BreakFor   time.Duration

	// KeepDeleted is how long a deletion is remembered, and answered with 410,
	// after the remote has confirmed it. Default: 30 days.
	KeepDeleted time.Duration

	settle time.Duration // settleTime; the crash tests have no time for it
}

const (
	// Nobody waits longer than this because a remote says so.
	longestRetryAfter = time.Hour

	// A call that ended without an answer may still be carried out until then. A
	// deletion is repeated after that, before it counts as confirmed; a Put waits
	// for the end of a doubtful Delete.
	settleTime = 10 * time.Minute

	// How often the folder is compared with the remote in full.
	rescanEvery = time.Hour
)

func (o *SyncOptions) withDefaults() SyncOptions {
	var c SyncOptions
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Parallel <= 0 {
		c.Parallel = 4
	}
	if c.BreakAfter <= 0 {
		c.BreakAfter = 5
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.Timeout, 2 * time.Minute},
		{&c.RetryStart, time.Second},
		{&c.RetryMax, 5 * time.Minute},
		{&c.BreakFor, 30 * time.Second},
		{&c.KeepDeleted, 30 * 24 * time.Hour},
		{&c.settle, settleTime},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	return c
}
