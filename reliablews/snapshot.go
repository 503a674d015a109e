package reliablews

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	snapshotTimeout = 30 * time.Second

	// After a snapshot that failed there is none for a while, for nobody.
	snapshotWait    = 100 * time.Millisecond // after the first, then twice as long each time,
	snapshotWaitMax = 30 * time.Second       // up to this

	snapshotLog   = time.Minute // between lines of the log about one topic's that fail
	snapshotAlarm = 3           // failures in a row from which on the hub is not healthy
	snapshotStale = 3           // snapshots that the history has left behind before one is sent with a gap
	snapshotHold  = 10 * time.Second
)

// flight is one call of Snapshot, shared by those who wait for it. All but done,
// and what is valid once that is closed, is guarded by the topic's lock.
type flight struct {
	from    uint64    // where the topic was when it began
	readers int       // those who wait for it, or have it and have not read on from it
	landed  time.Time // zero while it is made

	done chan struct{}
	at   uint64
	wire []byte
	err  error
}

// failures are the snapshots that failed since the latest that did not.
type failures struct {
	count  int
	latest error
	next   time.Time // not before
}

var errNoSnapshot = errors.New("reliablews: Snapshot has not returned")

// takeSnapshot returns a snapshot, whose messages after it are held until
// release. It is made once for all who come while it is made or before the next
// message: after a restart, or in a quiet hour, a whole hall shares one. One that
// fails is made again, for all who wait, until ctx ends.
func (t *Topic) takeSnapshot(ctx context.Context) (*flight, error) {
	t.await(1)
	defer t.await(-1)
	for {
		t.mu.Lock()
		f, wait := t.made, time.Duration(0)
		if f == nil {
			f = t.flight
		}
		if f == nil {
			if wait = time.Until(t.failing.next); wait <= 0 {
				f = &flight{from: t.at, done: make(chan struct{})}
				t.flight = f
				t.hub.running.Go(func() { t.fly(f) })
			}
		}
		if f != nil {
			t.hold(f)
		}
		t.mu.Unlock()
		if f == nil {
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-f.done:
			if f.err == nil {
				return f, nil
			}
			t.release(f)
		case <-ctx.Done():
			t.release(f)
			return nil, ctx.Err()
		}
	}
}

// await counts those who wait for a snapshot.
func (t *Topic) await(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting += n
}

// fly makes the snapshot for all who wait. It belongs to none of them, so that
// one who leaves does not end it for the others.
func (t *Topic) fly(f *flight) {
	f.err = errNoSnapshot // stays if Snapshot ends the goroutine
	defer t.land(f)
	f.err = t.hub.contain(func() error { return t.makeSnapshot(f) })
}

func (t *Topic) makeSnapshot(f *flight) error {
	ctx, cancel := context.WithTimeout(t.hub.ctx, snapshotTimeout)
	defer cancel()
	p, data, err := t.snapshot(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	epoch := t.epoch
	t.mu.Unlock()
	if p.Epoch != epoch {
		return fmt.Errorf("reliablews: the snapshot of %s is of epoch %s, the topic of %s", t.name, p.Epoch, epoch)
	}
	encoded, err := encode(data)
	if err != nil {
		return fmt.Errorf("reliablews: encode the snapshot of %s: %w", t.name, err)
	}
	f.at = p.Offset
	f.wire = wireFrame(serverFrame{T: "snap", S: t.name, E: p.Epoch, O: p.Offset, D: encoded})
	return nil
}

// land gives the snapshot, or the failure, to those who wait.
func (t *Topic) land(f *flight) {
	defer close(f.done)
	log := t.hub.opts.Logger
	failed, wait, say := t.noteLanding(f)
	switch {
	case f.err == nil && say:
		log.Info("snapshots work again", "topic", t.name, "failed", failed)
	case f.err != nil && say: // not under the lock: a logger may ask the hub
		log.Warn("a snapshot failed; subscribers wait", "topic", t.name, "failed", failed, "retry", wait, "error", f.err)
	}
}

// noteLanding returns how many have failed in a row, how long there is none
// after that, and whether it is worth a line in the log.
func (t *Topic) noteLanding(f *flight) (failed int, wait time.Duration, say bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flight = nil
	f.landed = time.Now()
	if f.err == nil {
		t.hub.counts.snapshots.Add(1)
		if f.at >= t.last {
			t.made = f
		}
		failed = t.failing.count
		t.failing = failures{}
		return failed, 0, failed >= snapshotAlarm
	}
	t.hub.counts.snapshotErrors.Add(1)
	failed = t.failing.count + 1
	wait = min(snapshotWait<<min(failed-1, 20), snapshotWaitMax)
	t.failing = failures{failed, f.err, f.landed.Add(wait)}
	return failed, wait, t.logged.may(f.landed)
}

// seldom keeps what goes on and on from filling the log.
type seldom struct{ latest time.Time }

func (s *seldom) may(now time.Time) bool {
	if !s.latest.IsZero() && now.Sub(s.latest) < snapshotLog {
		return false
	}
	s.latest = now
	return true
}

// hold keeps what comes after a snapshot was begun, over HistoryMessages if need
// be: one that takes long would be worth nothing when it is there. The caller
// holds the lock.
func (t *Topic) hold(f *flight) {
	if f.readers++; f.readers == 1 {
		t.holds = append(t.holds, f)
	}
	t.unhold()
}

// release is for one who has read on from a snapshot, or has no use for it.
func (t *Topic) release(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.letGo(f)
}

func (t *Topic) letGo(f *flight) {
	f.readers--
	t.unhold()
}

// unhold lets what is held go with the last who needs it, or after some time:
// who reads as slowly as that falls out of the history like others. The caller
// holds the lock.
func (t *Topic) unhold() {
	n := 0
	for _, f := range t.holds {
		if f.readers > 0 && (f.landed.IsZero() || time.Since(f.landed) < snapshotHold) {
			break // those behind began later
		}
		n++
	}
	t.holds = t.holds[n:]
	if t.replay.holding = len(t.holds) > 0; t.replay.holding {
		t.replay.hold = t.holds[0].from
	} else {
		t.holds = nil
	}
	t.replay.trim()
	t.count()
}

// trouble returns how often in a row the topic's snapshot has failed, with the
// latest error, and whether somebody waits for it.
func (t *Topic) trouble() (count int, latest error, waiting bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failing.count, t.failing.latest, t.waiting > 0
}

// tooSlow notes that snapshots take too long.
func (t *Topic) tooSlow() {
	t.hub.counts.gaps.Add(1)
	t.mu.Lock()
	say := t.slow.may(time.Now())
	t.mu.Unlock()
	if say {
		t.hub.opts.Logger.Warn("messages come faster than snapshots are made; subscribers are told of a gap: a faster Snapshot helps, or a larger HistoryBytes", "topic", t.name)
	}
}
