package uploads

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/sony/gobreaker/v2"
)

// job is a photo that is not as it should be at the remote. Its fields are
// guarded by Syncer.mu.
type job struct {
	id       PhotoID
	since    time.Time                   // when the photo was accepted or deleted
	deletion bool                        // for Stats
	waits    *backoff.ExponentialBackOff // after failures in a row; nil without one
	ill      bool                        // the wait ends when the remote is well again
	parked   error                       // not tried again because of this
	flying   bool
	again    bool               // something changed while it flew
	cancel   context.CancelFunc // of a Put that flies

	due   time.Time
	place int // in the queue, -1 outside
}

// doubt is about calls that ended without an answer: until these times, they may
// still be carried out.
type doubt struct{ put, delete time.Time }

// act is what is to be done about a photo.
type act int

const (
	nothing act = iota
	put
	report // to OnMoved
	remove // from the remote
	forget // an old deletion
)

// next decides from what is on disk, so that a restart at any moment goes on
// where it was.
func (s *Syncer) next(now here, m mark) act {
	switch {
	case now.buried && !m.Deleted:
		return remove
	case now.buried && time.Since(now.since) > s.options.KeepDeleted:
		return forget
	case now.buried:
		return nothing
	case now.present && !m.at(s.remote.Name()):
		return put
	case now.present && !m.Reported.Equal(now.since):
		return report
	case !now.present && m.Deleted: // its tombstone is forgotten
		return forget
	}
	// A file that went without Delete is somebody's mistake: what is at the remote
	// may be the last copy.
	return nothing
}

// work does the next thing for a job and puts the job where it belongs then. The
// error is nil unless the folder is closed.
func (s *Syncer) work(ctx context.Context, j *job) error {
	settled, later, err := s.step(ctx, j)
	if s.finish(ctx, j, settled, later, err) {
		s.options.Logger.Error("the remote refuses a photo for good", "photo", j.id, "error", err)
	}
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	return nil
}

// finish ends a flight and tells whether the job was parked.
func (s *Syncer) finish(ctx context.Context, j *job, settled bool, later time.Time, err error) (parked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.poke()
	s.flying--
	j.flying = false
	j.cancel = nil
	now := time.Now()
	switch {
	case err == nil:
		j.waits = nil
	case errors.Is(err, ErrClosed), ctx.Err() != nil, s.refusedByBreaker(err):
		s.queue.put(j, now) // the try does not count
		return false
	case errors.Is(err, context.Canceled) && j.again: // by change
	default:
		s.fail(j, err, now)
	}
	switch {
	case j.again:
		j.parked, j.waits = nil, nil
		later = now
	case j.parked != nil:
		return true
	case err != nil:
		later = now.Add(rand.N(j.waits.NextBackOff() + 1)) // full jitter
	case settled:
		delete(s.jobs, j.id)
		return false
	case later.IsZero():
		later = now
	}
	s.queue.put(j, later)
	return false
}

func (s *Syncer) refusedByBreaker(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// fail notes a failure: the job is parked, or has waits to wait. It is called
// with s.mu held.
func (s *Syncer) fail(j *job, err error, now time.Time) {
	s.lastErr, s.lastAt = err, now
	s.counts.failures++
	j.ill = judge(err) == ill
	var e *RemoteError
	if errors.As(err, &e) {
		if until := now.Add(min(e.RetryAfter, longestRetryAfter)); until.After(s.pause) {
			s.pause = until
		}
		if e.Permanent() {
			j.parked, j.ill = err, false
			return
		}
	}
	if j.waits == nil {
		j.waits = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(s.options.RetryStart),
			backoff.WithMaxInterval(s.options.RetryMax),
			backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0), // finish does it, from zero up
			backoff.WithMaxElapsedTime(0),      // else it gives up after a quarter of an hour
		)
	}
}

// step does one thing for a photo. settled means that nothing is left to do;
// later, when to look again.
func (s *Syncer) step(ctx context.Context, j *job) (settled bool, later time.Time, err error) {
	if ctx.Err() != nil {
		return false, time.Time{}, ctx.Err()
	}
	now, err := s.dir.look(j.id)
	if err != nil {
		return false, time.Time{}, err
	}
	m, err := s.dir.readMark(j.id)
	if err != nil {
		return false, time.Time{}, err
	}
	s.mu.Lock()
	doubt := s.doubts[j.id]
	if s.doubtful.After(doubt.put) {
		doubt.put = s.doubtful
	}
	if (m.Deleting || m.Deleted) && s.doubtful.After(doubt.delete) {
		doubt.delete = s.doubtful
	}
	s.mu.Unlock()
	switch s.next(now, m) {
	case put:
		if time.Now().Before(doubt.delete) {
			return false, doubt.delete, nil // a Delete must not come after the Put
		}
		return false, time.Time{}, s.put(ctx, j)
	case report:
		return true, time.Time{}, s.report(ctx, j, m, now.since)
	case remove:
		return s.delete(ctx, j, m, doubt.put)
	case forget:
		if now.buried {
			if done, err := s.dir.forget(j.id, s.options.KeepDeleted); err != nil || !done {
				return true, time.Time{}, err
			}
		}
		return true, time.Time{}, s.dir.removeMark(j.id)
	}
	return true, time.Time{}, nil
}

// put puts a photo and notes that.
func (s *Syncer) put(ctx context.Context, j *job) error {
	file, err := s.dir.Open(j.id)
	if errors.Is(err, ErrUnknownPhoto) {
		return nil // deleted just now: look again
	}
	if err != nil {
		return err
	}
	defer file.Close()
	var url string
	err = s.call(ctx, j, true, func(ctx context.Context) error {
		url, err = s.remote.Put(ctx, j.id, file)
		if err == nil && url == "" {
			err = &RemoteError{Message: "it does not say where the photo is"}
		}
		return err
	})
	var e *RemoteError
	if err != nil && !s.refusedByBreaker(err) && !(errors.As(err, &e) && e.Permanent()) {
		s.doubt(j.id, func(d *doubt, until time.Time) { d.put = until })
	}
	if err != nil {
		return err
	}
	if err := s.dir.writeMark(j.id, mark{Remote: s.remote.Name(), URL: url}); err != nil {
		return err
	}
	s.count(func(c *syncCounts) { c.mirrored++ })
	return nil
}

// delete deletes a photo from the remote. It is confirmed when a Put that failed
// cannot come after it any more.
func (s *Syncer) delete(ctx context.Context, j *job, m mark, maybePut time.Time) (settled bool, later time.Time, err error) {
	// Whatever happens now, the photo must not be taken for one that is there, and
	// must not be put there again before this is over.
	if !m.Deleting {
		if err := s.dir.writeMark(j.id, mark{Remote: s.remote.Name(), Deleting: true}); err != nil {
			return false, time.Time{}, err
		}
	}
	if err := s.call(ctx, j, false, func(ctx context.Context) error { return s.remote.Delete(ctx, j.id) }); err != nil {
		if !s.refusedByBreaker(err) {
			s.doubt(j.id, func(d *doubt, until time.Time) { d.delete = until })
		}
		return false, time.Time{}, err
	}
	if time.Now().Before(maybePut) {
		return false, maybePut, nil
	}
	if err := s.dir.writeMark(j.id, mark{Remote: s.remote.Name(), Deleted: true}); err != nil {
		return false, time.Time{}, err
	}
	s.count(func(c *syncCounts) { c.deleted++ })
	return true, time.Time{}, nil
}

// doubt notes that a call has ended without an answer.
func (s *Syncer) doubt(id PhotoID, set func(d *doubt, until time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.doubts[id]
	set(&d, time.Now().Add(s.options.settle))
	s.doubts[id] = d
}

// report tells OnMoved and notes that.
func (s *Syncer) report(ctx context.Context, j *job, m mark, accepted time.Time) error {
	if s.options.OnMoved != nil {
		if err := s.contain("OnMoved", func() error { return s.options.OnMoved(ctx, j.id, m.URL) }); err != nil {
			return err
		}
		s.mu.Lock()
		s.lastErr = nil
		s.mu.Unlock()
	}
	m.Reported = accepted
	return s.dir.writeMark(j.id, m)
}

// call makes one call to the remote, if the breaker allows it. A deletion ends a
// Put, but nothing ends a Delete: one without an answer is as bad as a Put
// without one.
func (s *Syncer) call(ctx context.Context, j *job, isPut bool, f func(context.Context) error) error {
	done, err := s.breaker.Allow()
	if err != nil {
		return err
	}
	tried, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	s.mu.Lock()
	if isPut {
		j.cancel = cancel
		if j.deletion && j.again {
			cancel() // deleted since we looked
		}
	}
	s.mu.Unlock()
	err = s.contain("the remote", func() error { return f(tried) })
	if tried.Err() == context.Canceled && err != nil {
		err = context.Canceled // whatever the remote makes of it
	}
	if judge(err) == ill {
		s.refusal.Store(&err)
	}
	done(err)
	if err == nil {
		s.mu.Lock()
		s.lastErr = nil
		s.releaseAccount()
		s.mu.Unlock()
	}
	return err
}

// contain makes a failure of a panic: what is behind a Remote must cost a photo
// its turn, not the program, which has other things to do.
func (s *Syncer) contain(who string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.options.Logger.Error(who+" panicked", "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked: %v", who, v)
		}
	}()
	return f()
}

// releaseAccount is called, with s.mu held, when the remote has done something
// for us: it does not refuse the account, or not any more.
func (s *Syncer) releaseAccount() {
	var e *RemoteError
	for _, j := range s.jobs {
		if j.parked != nil && errors.As(j.parked, &e) && e.account() {
			j.parked = nil
			if !j.flying {
				s.queue.put(j, time.Now())
			}
		}
	}
}

// jobQueue is a heap: the first is due first.
type jobQueue []*job

// put places a job, or moves it.
func (q *jobQueue) put(j *job, due time.Time) {
	j.due = due
	if j.place < 0 {
		heap.Push(q, j)
	} else {
		heap.Fix(q, j.place)
	}
}

func (q jobQueue) Len() int           { return len(q) }
func (q jobQueue) Less(a, b int) bool { return q[a].due.Before(q[b].due) }
func (q jobQueue) Swap(a, b int) {
	q[a], q[b] = q[b], q[a]
	q[a].place, q[b].place = a, b
}
func (q *jobQueue) Push(x any) {
	j := x.(*job)
	j.place = len(*q)
	*q = append(*q, j)
}
func (q *jobQueue) Pop() any {
	last := len(*q) - 1
	j := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	j.place = -1
	return j
}
