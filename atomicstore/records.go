package atomicstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Record is a change as it stands in the log, of whatever types.
type Record struct {
	Position
	ID        ChangeID          `json:"id"`
	Time      time.Time         `json:"time"`                // when it was decided, UTC
	RequestID string            `json:"requestId,omitempty"` // from WithRequestID
	Events    []json.RawMessage `json:"events"`              // at least one
}

// RecordsOptions changes how Records reads. The zero value is good.
type RecordsOptions struct {
	// Follow waits at the end of the log for what comes. Default: the end of
	// the log ends Records.
	Follow bool

	// Poll is how often Follow looks at the files. Default: 200 ms.
	Poll time.Duration
}

// Records gives every change after a position, in order, each once, from the
// files of the store in dir. It changes nothing, needs to know nothing of the
// types, holds a batch in memory, and may run while a program has the store
// open; whoever has the store itself uses Store.Changes. An empty Epoch stands
// for whichever the log is of, seq 0 is before the first change ever. The
// caller's loop runs in the caller's goroutine.
//
// Only what is complete comes: a batch that is being written, or was cut off,
// is waited for by Follow and is otherwise the end. But the files tell what is
// written, not what is synced. A change may come a moment before Update
// acknowledges it, and if the sync fails and the machine goes down with it, it
// was never acknowledged and is gone. Follow notices that and ends with
// ErrEpoch.
//
// The last pair has an error if there is one: that of ctx, [*TruncatedError]
// when the next change is no longer held, [ErrEpoch] when the log is of
// another epoch than after or than it was, [ErrAhead] when after lies behind the
// end of the log, [*CorruptError] for damage.
func Records(ctx context.Context, dir string, after Position, o *RecordsOptions) iter.Seq2[Record, error] {
	var opts RecordsOptions
	if o != nil {
		opts = *o
	}
	if opts.Poll <= 0 {
		opts.Poll = 200 * time.Millisecond
	}
	return func(yield func(Record, error) bool) {
		r := &logReader{directory: openDirectory(dir, (*Options)(nil).withDefaults()), epoch: after.Epoch, done: after.Seq}
		defer r.leave()
		err := r.readAll(ctx, opts, func(rec Record) bool { return yield(rec, nil) })
		if err != nil {
			yield(Record{}, asOf(dir, err))
		}
	}
}

// asOf adds where an error comes from to those that do not say it.
func asOf(dir string, err error) error {
	var corrupt *CorruptError
	var gone *TruncatedError
	if errors.As(err, &corrupt) || errors.As(err, &gone) || errors.Is(err, ErrEpoch) || errors.Is(err, ErrAhead) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return prefixed(err)
	}
	return prefixed(fmt.Errorf("read %s: %w", dir, err))
}

// logged decodes no events: they stay JSON.
func (r record) logged(epoch string) Record {
	rec := Record{Position: Position{epoch, r.seq}, ID: r.id, Time: r.time, RequestID: r.requestID}
	for _, e := range r.events {
		rec.Events = append(rec.Events, e)
	}
	return rec
}
