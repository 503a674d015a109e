package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"time"
)

// Change is what one Update made.
type Change[E any] struct {
	Position
	ID        ChangeID  `json:"id"`
	Time      time.Time `json:"time"`                // when it was decided, UTC
	RequestID string    `json:"requestId,omitempty"` // from WithRequestID
	Events    []E       `json:"events"`              // at least one; must not be modified
}

// errStop ends reading early.
var errStop = errors.New("stop")

// Changes gives every change after a position, in order, each once: first what
// is held, then what is new, until ctx ends. The zero Position is before the
// first change ever. The caller's loop runs in the caller's goroutine; a slow
// one holds up nobody and costs no memory.
//
// The last pair has an error: that of ctx, [ErrClosed], [*TruncatedError] when
// the next change is no longer held, [ErrEpoch], [ErrAhead] or [*CorruptError].
// A store that has failed ends nothing: there may be no more changes, and ctx
// ends the loop.
func (s *Store[S, E]) Changes(ctx context.Context, after Position) iter.Seq2[Change[E], error] {
	return func(yield func(Change[E], error) bool) {
		err := s.follow(ctx, after, func(c Change[E]) bool { return yield(c, nil) })
		if err != nil {
			yield(Change[E]{}, prefixed(err))
		}
	}
}

// follow returns nil when yield asks it to stop.
func (s *Store[S, E]) follow(ctx context.Context, after Position, yield func(Change[E]) bool) error {
	at := s.current.Load().at
	if after == (Position{}) {
		after.Epoch = at.Epoch
	}
	if after.Epoch != at.Epoch {
		return fmt.Errorf("%w: %s, the store is at %s", ErrEpoch, after, at)
	}
	if after.Seq > at.Seq {
		return fmt.Errorf("%w: %s, the store is at %s", ErrAhead, after, at)
	}
	var behind place // in the log, while this follower is far behind
	for seq := after.Seq; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		durable := s.current.Load().at.Seq
		changes, held, more, closed := s.tail.since(seq, durable)
		if !held {
			var err error
			if changes, err = s.readSome(&behind, seq, durable); err != nil {
				return err
			}
		}
		for _, c := range changes {
			if !yield(c) {
				return nil
			}
			seq = c.Seq
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if len(changes) > 0 || !held { // when nothing was held, durable was old
			continue
		}
		if closed != nil {
			return closed
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readSome returns the next changes from the log: few, because a follower holds
// them for as long as it likes.
func (s *Store[S, E]) readSome(at *place, after, upTo uint64) (list []Change[E], err error) {
	epoch, size := s.current.Load().at.Epoch, 0
	err = s.wal.readOn(at, after, upTo, func(r record) error {
		c, err := s.change(r, epoch)
		if err != nil {
			return err
		}
		list = append(list, c)
		for _, data := range r.events {
			size += len(data)
		}
		if len(list) == followChanges || size >= followBytes {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return list, err
}

// change decodes the events of a record.
func (s *Store[S, E]) change(r record, epoch string) (Change[E], error) {
	c := Change[E]{Position: Position{epoch, r.seq}, ID: r.id, Time: r.time, RequestID: r.requestID}
	for _, data := range r.events {
		e, err := s.codec.decode(data)
		if err != nil {
			return c, fmt.Errorf("change %d: %w", r.seq, err)
		}
		c.Events = append(c.Events, e)
	}
	return c, nil
}

// At returns the state as it was after the change seq, 0 being before the
// first. It builds on the newest snapshot at or before it and reads the log
// from there, so it takes longer the more lies between. It returns [ErrAhead]
// for a change that is not there yet, and [*TruncatedError] when the log or a
// snapshot that old is no longer held; without Options.BackupDir that is
// everything before data.json.
func (s *Store[S, E]) At(ctx context.Context, seq uint64) (S, error) {
	state, err := s.at(ctx, seq)
	return state, prefixed(err)
}

func (s *Store[S, E]) at(ctx context.Context, seq uint64) (S, error) {
	var none S
	current := s.current.Load()
	switch {
	case seq == current.at.Seq:
		return current.state, nil
	case seq > current.at.Seq:
		return none, fmt.Errorf("%w: change %d, the store is at %s", ErrAhead, seq, current.at)
	}
	list, err := s.backups()
	if err != nil {
		return none, fmt.Errorf("list backups: %w", err)
	}
	list = append(list, Backup{Path: s.path(snapshotName), Seq: s.checkpoints.saved()})
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Seq > seq {
			continue
		}
		state, err := s.rollForward(ctx, list[i].Path, current.at.Epoch, seq)
		if err == nil {
			return state, nil
		}
		var gone *TruncatedError
		var corrupt *CorruptError
		var panicked *PanicError
		if ctx.Err() != nil || errors.As(err, &gone) || errors.As(err, &corrupt) || errors.As(err, &panicked) {
			return none, err
		}
		if errors.Is(err, errElsewhere) {
			continue // from before a restore
		}
		s.opts.Logger.Warn("a snapshot cannot be used; an older one is tried", "path", list[i].Path, "error", err)
	}
	return none, noSnapshot(seq+1, s.opts.BackupDir, s.wal.first())
}

var errElsewhere = errors.New("the snapshot is of another epoch, or too new")

// rollForward loads a snapshot and applies the log up to seq.
func (s *Store[S, E]) rollForward(ctx context.Context, path, epoch string, seq uint64) (S, error) {
	var none S
	base, err := s.readVersion(path)
	if err != nil {
		return none, err
	}
	if base.at.Epoch != epoch || base.at.Seq > seq {
		return none, errElsewhere
	}
	return s.forward(ctx, base, seq)
}

// applyAll changes a state by a change of the log. A panic of Apply is an error.
func (s *Store[S, E]) applyAll(state S, c Change[E]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("apply change %d: %w", c.Seq, &PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	for _, e := range c.Events {
		if err := s.apply(state, e); err != nil {
			return fmt.Errorf("apply change %d: %w", c.Seq, err)
		}
	}
	return nil
}
