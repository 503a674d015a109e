package uploads

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Syncer mirrors a folder to a [Remote] in the background, for as long as Run
// runs. The folder is always right and never waits: whatever the remote does,
// Accept and Delete are as fast as without a Syncer.
//
// A photo in the folder is put there, and a photo that was deleted is deleted
// there, however often it takes, over outages and restarts. What has been done is
// noted beside the photos; what has not is found by comparing, so nothing that a
// crash interrupts is forgotten. A remote is asked to put a photo twice only when
// the process ended after the first time and before the note, or when the remote
// said that it failed.
//
// A remote that refuses a photo for good ([RemoteError.Permanent]) is not asked
// again: the photo is parked, which Stats, Parked and the log report. It is tried
// again after Retry and after a restart, and, if the remote refused the account
// and not the photo, as soon as anything else succeeds.
//
// It is safe for concurrent use.
type Syncer struct {
	dir     *Dir
	remote  Remote
	options SyncOptions
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	wake    chan struct{} // capacity 1: there may be something to do

	// Set by the breaker, which holds its own lock then.
	openUntil atomic.Int64 // nanoseconds since 1970; the breaker is open until then
	recovered atomic.Bool  // the breaker has closed and nobody has acted on it

	refusal atomic.Pointer[error] // the latest failure that is the remote's, for the log

	mu       sync.Mutex // guards the fields below and every job; no call is made with it held
	jobs     map[PhotoID]*job
	doubts   map[PhotoID]doubt
	doubtful time.Time // calls of an earlier process may be carried out until then
	queue    jobQueue  // those that wait
	flying   int       // those that run
	pause    time.Time
	counts   syncCounts
	lastErr  error
	lastAt   time.Time
}

// NewSyncer returns a Syncer for a folder. It does nothing before Run. A folder
// has one Syncer at a time. options may be nil.
func NewSyncer(dir *Dir, remote Remote, options *SyncOptions) *Syncer {
	s := &Syncer{
		dir:     dir,
		remote:  remote,
		options: options.withDefaults(),
		wake:    make(chan struct{}, 1),
		jobs:    map[PhotoID]*job{},
		doubts:  map[PhotoID]doubt{},
	}
	s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:       s.options.BreakFor,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(s.options.BreakAfter) },
		IsSuccessful:  func(err error) bool { return judge(err) == well },
		IsExcluded:    func(err error) bool { return judge(err) == unknown },
		OnStateChange: s.stateChanged,
	})
	return s
}

// Run mirrors until ctx ends and then returns nil, with no goroutine left. It
// returns an error when the folder cannot be read, or [ErrClosed] when it was
// closed. It may be called again.
func (s *Syncer) Run(ctx context.Context) error {
	changed := s.change
	if !s.dir.changed.CompareAndSwap(nil, &changed) {
		return errors.New("uploads: sync: the folder has another Syncer")
	}
	defer s.dir.changed.Store(nil)
	s.Retry() // what an earlier Run has parked
	s.mu.Lock()
	s.doubtful = time.Now().Add(s.options.settle)
	s.mu.Unlock()

	ctx, stop := context.WithCancelCause(ctx)
	var flying sync.WaitGroup
	defer func() { // before changes go unheard
		stop(nil)
		flying.Wait()
	}()

	next := time.Now() // when to compare everything
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if !time.Now().Before(next) {
			if err := s.scan(ctx); err != nil && ctx.Err() == nil {
				if errors.Is(err, ErrClosed) {
					return ErrClosed
				}
				return fmt.Errorf("uploads: sync: %w", err)
			}
			next = time.Now().Add(rescanEvery)
		}
		j, wait := s.take()
		if j != nil {
			flying.Go(func() {
				if err := s.work(ctx, j); errors.Is(err, ErrClosed) {
					stop(ErrClosed)
				}
			})
			continue
		}
		timer.Reset(min(wait, time.Until(next)))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
	}
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return ErrClosed
	}
	return nil
}

// Retry tries at once what is parked or waits after a failure. It does not cut
// short a wait that the remote asked for.
func (s *Syncer) Retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		j.parked = nil
		j.waits = nil
		if !j.flying {
			s.queue.put(j, time.Now())
		}
	}
	s.poke()
}

// poke wakes Run.
func (s *Syncer) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// change is told by the folder. It does not wait.
func (s *Syncer) change(id PhotoID, deleted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.job(id, time.Now())
	if deleted != j.deletion {
		j.deletion = deleted
		j.since = time.Now()
	}
	j.parked = nil
	j.waits = nil
	if j.flying {
		j.again = true
		if deleted && j.cancel != nil {
			j.cancel() // it is not wanted there any more
		}
		return
	}
	s.queue.put(j, time.Now())
	s.poke()
}

// job returns the job of a photo, made if it has none. It is called with s.mu
// held.
func (s *Syncer) job(id PhotoID, since time.Time) *job {
	j := s.jobs[id]
	if j == nil {
		j = &job{id: id, since: since, place: -1}
		s.jobs[id] = j
	}
	return j
}

// take returns a job that is due, marked as flying, or how long there will be
// none unless something wakes Run.
func (s *Syncer) take() (*job, time.Duration) {
	const never = time.Duration(1<<63 - 1)
	state := s.breaker.State()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recovered.Swap(false) {
		s.release()
	}
	now := time.Now()
	switch {
	case s.flying >= s.options.Parallel, state == gobreaker.StateHalfOpen && s.flying > 0, len(s.queue) == 0:
		return nil, never
	case state == gobreaker.StateOpen:
		// The breaker wants to see a moment after it.
		return nil, max(time.Unix(0, s.openUntil.Load()).Sub(now), 0) + 1
	case s.pause.After(now):
		return nil, s.pause.Sub(now)
	}
	if wait := s.queue[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	j := heap.Pop(&s.queue).(*job)
	j.flying = true
	j.again = false
	s.flying++
	return j, 0
}

// release makes everything due that waits only because the remote was ill. It is
// called with s.mu held.
func (s *Syncer) release() {
	now := time.Now()
	for _, j := range s.jobs {
		if j.ill && !j.flying {
			j.ill = false
			s.queue.put(j, now)
		}
	}
}

// stateChanged is called by the breaker with its lock held: nothing here may
// call it, or take a lock under which it is called.
func (s *Syncer) stateChanged(_ string, _, to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		s.openUntil.Store(time.Now().Add(s.options.BreakFor).UnixNano())
		var why error
		if err := s.refusal.Load(); err != nil {
			why = *err
		}
		s.options.Logger.Warn("photos are not mirrored at the moment", "remote", s.remote.Name(), "error", why, "nextTry", s.options.BreakFor)
	case gobreaker.StateClosed:
		s.recovered.Store(true)
		s.options.Logger.Info("photos are mirrored again", "remote", s.remote.Name())
	}
	s.poke()
}

// scan compares the whole folder with what is known of the remote.
func (s *Syncer) scan(ctx context.Context) error {
	consider := func(id PhotoID) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		now, err := s.dir.look(id)
		if err != nil {
			return err
		}
		m, err := s.dir.readMark(id)
		if err != nil {
			return err
		}
		if s.next(now, m) == nothing {
			return nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.jobs[id] != nil {
			return nil
		}
		j := s.job(id, now.since)
		j.deletion = now.buried
		s.queue.put(j, time.Now())
		return nil
	}
	s.mu.Lock()
	maps.DeleteFunc(s.doubts, func(_ PhotoID, d doubt) bool {
		return time.Now().After(d.put) && time.Now().After(d.delete)
	})
	s.mu.Unlock()
	for id, err := range s.dir.Walk() {
		if err == nil {
			err = consider(id)
		}
		if err != nil {
			return err
		}
	}
	for _, dir := range []string{graveDir, markDir} {
		names, err := s.dir.list(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !PhotoID(name).valid() {
				continue
			}
			if err := consider(PhotoID(name)); err != nil {
				return err
			}
		}
	}
	return nil
}
