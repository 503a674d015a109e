package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Cloner is a state that can be copied. Clone must be cheap, must give a copy
// that is independent, and must be safe while others read or clone the state;
// copy-on-write containers do that. Clone is called once a batch; its panic is
// the [*PanicError] of the update that it was called for.
type Cloner[S any] interface{ Clone() S }

// Store is one typed state on disk. Make one with [Open]. All methods are safe
// for concurrent use.
type Store[S Cloner[S], E any] struct {
	dir     string
	opts    Options
	apply   func(S, E) error
	codec   codec[E]
	wal     *wal
	tail    *tail[E]
	current atomic.Pointer[version[S]]
	failure atomic.Pointer[error] // latched; nil while the store can write
	counts  counts
	lock    *os.File

	queue    *queue[S, E]
	requests sync.Pool // of *request[S, E]
	stalls   stalls

	committed   chan struct{} // closed when the committer has ended
	checkpoints *checkpoints
	data        *dataFile // guarded by checkpoints.saving
	reserve     reserve
	backupCache backupCache // guarded by checkpoints.saving
	watching    sync.WaitGroup
	closeOnce   sync.Once
	closeErr    error
}

// version is a state that is durable, with its position.
type version[S any] struct {
	state S
	at    Position
	chain uint32 // checksum of the batch that ends at the position
}

// request is one Update on its way. Requests are used again.
type request[S, E any] struct {
	decide    func(S) ([]E, error)
	requestID string
	taken     atomic.Bool // by the committer, or by the caller who gives up
	done      chan bool   // true: at and err are set; false: look whether you are inside; room for both

	at  Position
	err error
}

var errNoDecide = errors.New("atomicstore: decide is nil: give Update a function that returns the events of the change")

type requestIDKey struct{}

// WithRequestID names the request that an Update serves; the name is kept with
// the change.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// Update changes the state. decide sees every earlier change, also those of
// its own batch that are not yet on disk, and returns the events that make the
// change; it must not change the state and may run again. The events are
// encoded, applied to a copy, written and synced before Update returns the
// position of the change.
//
// An error of decide or of Apply is returned as it is, and nothing is written.
// No events and no error is no change: Update returns the position that decide
// saw. Whatever Update returns, it does so only when all that decide saw is on
// disk.
//
// Besides it returns [ErrOverloaded], [ErrDiskFull], [ErrReplaced], [ErrClosed],
// [ErrTooLarge] and [*PanicError], with nothing written; [ErrFailed] with an
// unknown outcome; and, when ctx ends, the error of ctx, together with
// [ErrOutcomeUnknown] if the update was already taken.
//
// An Update that decide or Apply calls would wait for itself: after a second
// it returns [ErrInside], having done nothing. One in another goroutine that
// decide waits for holds up everything; the log has the stacks after a second.
func (s *Store[S, E]) Update(ctx context.Context, decide func(S) ([]E, error)) (Position, error) {
	if err := ctx.Err(); err != nil {
		return Position{}, err
	}
	if decide == nil {
		return Position{}, errNoDecide
	}
	r, _ := s.requests.Get().(*request[S, E])
	if r == nil {
		r = &request[S, E]{done: make(chan bool, 2)}
	}
	r.decide = decide
	r.requestID, _ = ctx.Value(requestIDKey{}).(string)
	if err := s.send(r); err != nil {
		s.recycle(r)
		return Position{}, err
	}
	for {
		answered, err := r.wait(ctx)
		if err != nil {
			return s.giveUp(r, err)
		}
		if answered {
			at, err := r.at, r.err
			s.recycle(r)
			return at, err
		}
		if s.stalls.inside() {
			return s.giveUp(r, ErrInside)
		}
	}
}

// wait returns what done gives, or the error of ctx.
func (r *request[S, E]) wait(ctx context.Context) (answered bool, err error) {
	ended := ctx.Done()
	if ended == nil {
		return <-r.done, nil // costs half of what select does
	}
	select {
	case answered = <-r.done:
		return answered, nil
	case <-ended:
		return false, ctx.Err()
	}
}

// giveUp ends an update before its answer. The committer may still hold the
// request, so it is not used again.
func (s *Store[S, E]) giveUp(r *request[S, E], cause error) (Position, error) {
	if r.taken.CompareAndSwap(false, true) {
		s.queue.drop(r)
		return Position{}, cause
	}
	for {
		select {
		case answered := <-r.done:
			if answered { // just now
				return r.at, r.err
			}
		default:
			return Position{}, prefixed(fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause))
		}
	}
}

// recycle keeps a request that nobody else holds.
func (s *Store[S, E]) recycle(r *request[S, E]) {
	r.decide, r.requestID, r.at, r.err = nil, "", Position{}, nil
	r.taken.Store(false)
	s.requests.Put(r)
}

func (s *Store[S, E]) send(r *request[S, E]) error {
	if err := s.Err(); err != nil {
		return err
	}
	if s.reserve.full.Load() {
		return ErrDiskFull
	}
	err := s.queue.put(r)
	if err == ErrOverloaded {
		s.counts.overloaded.Add(1)
	}
	return err
}

// State returns the latest durable state and its position. It never waits, not
// for the disk either. The state never changes; callers must not modify it.
func (s *Store[S, E]) State() (S, Position) {
	v := s.current.Load()
	return v.state, v.at
}

// WaitFor returns when the state has reached a position, so that whoever was
// told of a change reads it. It returns [ErrEpoch] for a position of another
// history, the error of ctx, [ErrFailed], [ErrReplaced] or [ErrClosed] when the
// position will not be reached any more, and [ErrInside] where decide or Apply
// waits for a change behind its own.
func (s *Store[S, E]) WaitFor(ctx context.Context, at Position) error {
	for {
		more, closed := s.tail.next()
		hung := s.stalls.hung()
		now := s.current.Load().at // after more, or a change in between would be missed
		switch {
		case at == Position{}:
			return nil // before the first change
		case at.Epoch != now.Epoch:
			return fmt.Errorf("%w: %s, the store is at %s", ErrEpoch, at, now)
		case at.Seq <= now.Seq:
			return nil
		case closed != nil:
			return closed
		case s.Err() != nil:
			return s.Err()
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		case <-hung:
			if s.stalls.inside() {
				return ErrInside
			}
		}
	}
}

// Err returns nil while the store can write, and [ErrFailed] with the cause, or
// [ErrReplaced], from then on.
func (s *Store[S, E]) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close takes no more updates, finishes those that wait, writes the final
// snapshot, and returns when every goroutine of the store has ended. It
// returns the error of the snapshot; all changes are in the log in any case.
// Called by decide or Apply it returns [ErrInside] and does nothing.
func (s *Store[S, E]) Close() error {
	if s.stalls.inside() {
		return ErrInside
	}
	s.closeOnce.Do(func() {
		s.queue.close()
		<-s.committed
		s.checkpoints.stop()
		s.tail.close(ErrClosed)
		if s.Err() == nil {
			s.closeErr = s.checkpoint()
		}
		s.closeErr = s.leaveData(s.closeErr)
		s.closeErr = prefixed(errors.Join(s.closeErr, s.wal.close(), s.lock.Close()))
	})
	return s.closeErr
}

func (s *Store[S, E]) path(name string) string { return filepath.Join(s.dir, name) }
