package atomicstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Cloner is a state that can be copied. Clone must be cheap, must give a copy
// that is independent, and must be safe while others read or clone the state;
// copy-on-write containers do that. Clone is called once a batch.
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

	enqueue sync.RWMutex // guards closed, and the queue against sending after close
	closed  bool
	queue   chan *request[S, E]

	committed   chan struct{} // closed when the committer has ended
	checkpoints *checkpoints
	data        *dataFile // guarded by checkpoints.saving
	shelf       shelf     // guarded by checkpoints.saving
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

// request is one Update on its way.
type request[S, E any] struct {
	decide    func(S) ([]E, error)
	requestID string
	taken     atomic.Bool // by the committer, or by the caller who gives up
	done      chan struct{}

	at  Position // set before done is closed
	err error
}

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
// Besides it returns [ErrOverloaded], [ErrClosed] and [ErrTooLarge], with
// nothing written; [*PanicError]; [ErrFailed] with an unknown outcome; and,
// when ctx ends, the error of ctx, together with [ErrOutcomeUnknown] if the
// update was already taken.
//
// Calling Update or Close from decide or Apply waits for itself for ever.
func (s *Store[S, E]) Update(ctx context.Context, decide func(S) ([]E, error)) (Position, error) {
	if err := ctx.Err(); err != nil {
		return Position{}, err
	}
	id, _ := ctx.Value(requestIDKey{}).(string)
	r := &request[S, E]{decide: decide, requestID: id, done: make(chan struct{})}
	if err := s.send(r); err != nil {
		return Position{}, err
	}
	select {
	case <-r.done:
		return r.at, r.err
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return Position{}, ctx.Err()
		}
		select {
		case <-r.done: // it has just been answered
			return r.at, r.err
		default:
			return Position{}, errors.Join(ErrOutcomeUnknown, ctx.Err())
		}
	}
}

func (s *Store[S, E]) send(r *request[S, E]) error {
	s.enqueue.RLock()
	defer s.enqueue.RUnlock()
	if s.closed {
		return ErrClosed
	}
	if err := s.Err(); err != nil {
		return err
	}
	select {
	case s.queue <- r:
		return nil
	default:
		s.counts.overloaded.Add(1)
		return ErrOverloaded
	}
}

// State returns the latest durable state and its position. It never waits, not
// for the disk either. The state never changes; callers must not modify it.
func (s *Store[S, E]) State() (S, Position) {
	v := s.current.Load()
	return v.state, v.at
}

// Err returns nil while the store can write, and an [ErrFailed] with the cause
// from then on.
func (s *Store[S, E]) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close takes no more updates, finishes those that wait, writes the final
// snapshot, and returns when every goroutine of the store has ended. It
// returns the error of the snapshot; all changes are in the log in any case.
func (s *Store[S, E]) Close() error {
	s.closeOnce.Do(func() {
		s.enqueue.Lock()
		s.closed = true
		close(s.queue)
		s.enqueue.Unlock()
		<-s.committed
		s.checkpoints.stop()
		s.tail.close(ErrClosed)
		if s.Err() == nil {
			s.closeErr = s.checkpoint()
		}
		s.closeErr = s.leaveData(s.closeErr)
		s.closeErr = errors.Join(s.closeErr, s.wal.close(), s.lock.Close())
	})
	return s.closeErr
}

const (
	batchChanges = 1024            // updates in one flush
	batchBytes   = 1 << 20         // bytes after which a flush is full
	confirmAfter = 1 * time.Second // of idleness
)

// commitAll is the committer: the only one that decides and writes. The flush
// under way is the window in which the next batch gathers; there is no timer.
func (s *Store[S, E]) commitAll() {
	defer close(s.committed)
	idle := time.NewTimer(confirmAfter)
	idle.Stop()
	confirmed := true
	for {
		select {
		case r, ok := <-s.queue:
			if !ok {
				return
			}
			if s.commitBatch(r) {
				confirmed = false
				idle.Reset(confirmAfter)
			}
		case <-idle.C:
			// Rot in the last batch could be taken for one that was never
			// acknowledged; with another behind it, it cannot.
			if !confirmed && s.Err() == nil {
				if err := s.wal.commit(nil); err != nil {
					s.fail(err)
				}
				confirmed = true
			}
		}
	}
}

// pending is a batch before its flush.
type pending[S Cloner[S], E any] struct {
	state    S
	records  []record
	changes  []Change[E]
	sizes    []int
	bytes    int
	answered []*request[S, E] // with at and err set, to be released
}

// commitBatch decides first and all that wait, writes what they decided, and
// releases their answers. It reports whether there was anything to write.
func (s *Store[S, E]) commitBatch(first *request[S, E]) bool {
	base := s.current.Load()
	now := time.Now().UTC().Round(0)
	b := &pending[S, E]{state: base.state.Clone()}
	for r := first; r != nil; r = s.another(b) {
		if !r.taken.CompareAndSwap(false, true) {
			continue // its caller has given up
		}
		if err := s.Err(); err != nil {
			r.err = err
			close(r.done)
			continue
		}
		s.decide(b, base, r, now)
		if len(b.records) == 0 {
			// All it saw is on disk already.
			close(r.done)
		} else {
			b.answered = append(b.answered, r)
		}
	}
	if len(b.records) == 0 {
		return false
	}

	start := time.Now()
	if err := s.wal.commit(b.records); err != nil {
		err = s.fail(err)
		for _, r := range b.answered {
			r.at, r.err = Position{}, err
			close(r.done)
		}
		return false
	}
	s.counts.flushed(len(b.records), b.bytes, time.Since(start))

	last := b.changes[len(b.changes)-1].Position
	s.current.Store(&version[S]{state: b.state, at: last, chain: s.wal.chain})
	s.tail.push(b.changes, b.sizes)
	for _, r := range b.answered {
		close(r.done)
	}
	s.checkpoints.changed(b.bytes)
	return true
}

// another returns the next request that waits already, or nil when there is
// none or the batch is full.
func (s *Store[S, E]) another(b *pending[S, E]) *request[S, E] {
	if len(b.records) >= batchChanges || b.bytes >= batchBytes {
		return nil
	}
	select {
	case r := <-s.queue:
		return r // nil once the queue is closed
	default:
		return nil
	}
}

// decide runs one update on the batch's copy of the state and sets its answer.
func (s *Store[S, E]) decide(b *pending[S, E], base *version[S], r *request[S, E], now time.Time) {
	seen := base.at
	if n := len(b.changes); n > 0 {
		seen = b.changes[n-1].Position
	}
	rec := record{seq: seen.Seq + 1, time: now, requestID: r.requestID}
	change, size, dirty, err := s.try(b.state, r.decide, rec.seq, &rec)
	switch {
	case err != nil:
		r.err = err
		s.counts.refused.Add(1)
		if dirty {
			b.state = s.rebuild(base, b)
		}
	case len(change.Events) == 0:
		r.at = seen
	default:
		rand.Read(rec.id[:])
		change.Position = Position{Epoch: seen.Epoch, Seq: rec.seq}
		change.ID, change.Time, change.RequestID = rec.id, now, r.requestID
		b.records = append(b.records, rec)
		b.changes = append(b.changes, change)
		b.sizes = append(b.sizes, size)
		b.bytes += size
		r.at = change.Position
	}
}

// try runs decide and applies its events to state. dirty says that an error
// may have left state changed.
func (s *Store[S, E]) try(state S, decide func(S) ([]E, error), seq uint64, rec *record) (change Change[E], size int, dirty bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			dirty, err = true, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	events, err := decide(state)
	if err != nil || len(events) == 0 {
		return change, 0, false, err
	}
	for _, e := range events {
		data, again, err := s.codec.encode(e)
		if err != nil {
			return change, 0, false, err
		}
		if size += len(data); size > s.opts.MaxChangeBytes {
			return change, 0, false, fmt.Errorf("%w: over %d bytes", ErrTooLarge, s.opts.MaxChangeBytes)
		}
		rec.events = append(rec.events, data)
		change.Events = append(change.Events, again)
	}
	for _, e := range change.Events {
		if err := s.apply(state, e); err != nil {
			return change, 0, true, err
		}
	}
	return change, size, false, nil
}

// rebuild makes the batch's state again without the update that spoiled it.
func (s *Store[S, E]) rebuild(base *version[S], b *pending[S, E]) S {
	state := base.state.Clone()
	for _, change := range b.changes {
		for _, e := range change.Events {
			if err := s.apply(state, e); err != nil {
				// It was applied a moment ago: Apply is not deterministic. To go
				// on would write a log that cannot be replayed.
				panic(fmt.Sprintf("atomicstore: Apply is not deterministic: change %d was applied before and now gives: %v", change.Seq, err))
			}
		}
	}
	return state
}

// fail latches the first failure to write.
func (s *Store[S, E]) fail(cause error) error {
	err := fmt.Errorf("%w: %w", ErrFailed, cause)
	if s.failure.CompareAndSwap(nil, &err) {
		s.opts.Logger.Error("the store cannot write any more; reading goes on", "error", cause)
	}
	return s.Err()
}

func (s *Store[S, E]) path(name string) string { return filepath.Join(s.dir, name) }
