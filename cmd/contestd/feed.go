package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/reliablews"
)

// The topics of the hub. Data is a list of contest.Message, one list a change.
const (
	publicTopic = "feed"  // every page
	staffTopic  = "staff" // names and phone numbers: logged-in organisers only
)

// refill is how many of the latest changes are published again at the start,
// so that a page that was connected before a restart resumes where it was.
const refill = 1024

// feed follows the store and publishes what happened: the only place that
// publishes. It folds the changes into a state of its own, so that snapshot
// and stream belong to the same position.
type feed struct {
	store         *atomicstore.Store[*contest.State, contest.Event]
	public, staff *reliablews.Topic
	log           *slog.Logger

	mu    sync.RWMutex // orders publishing and snapshots; guards state and at
	state *contest.State
	at    atomicstore.Position

	dead atomic.Pointer[error] // why it stopped following; nil while it runs
	stop context.CancelFunc
	done chan struct{}
}

// openFeed starts to follow the store and returns when the topics have reached
// its present position: only then may pages connect.
func openFeed(ctx context.Context, store *atomicstore.Store[*contest.State, contest.Event], hub *reliablews.Hub, log *slog.Logger) (*feed, error) {
	f := &feed{store: store, log: log, done: make(chan struct{})}
	missed, err := f.begin(ctx)
	if err != nil {
		return nil, err
	}
	start := reliablews.Position{Epoch: f.at.Epoch, Offset: f.at.Seq}
	f.public, err = hub.Topic(publicTopic, start, &reliablews.TopicOptions{Snapshot: f.snapshot(func(s *contest.State) any { return contest.PublicSnapshot(s) })})
	if err != nil {
		return nil, err
	}
	f.staff, err = hub.Topic(staffTopic, start, &reliablews.TopicOptions{Snapshot: f.snapshot(func(s *contest.State) any { return contest.StaffSnapshot(s) })})
	if err != nil {
		return nil, err
	}
	for _, change := range missed {
		if err := f.publish(change); err != nil {
			return nil, fmt.Errorf("publish change %d: %w", change.Seq, err)
		}
	}

	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	go f.follow(following)
	return f, nil
}

// begin sets the state that the feed starts to fold from, as far back as the
// store still reaches, and returns the changes from there to the present.
func (f *feed) begin(ctx context.Context) (missed []atomicstore.Change[contest.Event], err error) {
	for back := uint64(refill); ; back /= 4 {
		present, at := f.store.State()
		f.state, f.at = present, at
		back = min(back, at.Seq)
		if back == 0 {
			return nil, nil
		}
		missed, err := f.reach(ctx, atomicstore.Position{Epoch: at.Epoch, Seq: at.Seq - back}, at)
		var gone *atomicstore.TruncatedError
		if err == nil || !errors.As(err, &gone) {
			return missed, err
		}
		// The log does not reach back that far, or has just been shortened.
	}
}

// reach sets the state of a position and returns the changes after it up to
// another one.
func (f *feed) reach(ctx context.Context, from, to atomicstore.Position) (missed []atomicstore.Change[contest.Event], err error) {
	state, err := f.store.At(ctx, from.Seq)
	if err != nil {
		return nil, fmt.Errorf("the state at %s: %w", from, err)
	}
	for change, err := range f.store.Changes(ctx, from) {
		if err != nil {
			return nil, fmt.Errorf("follow the log after %s: %w", from, err)
		}
		if missed = append(missed, change); change.Seq >= to.Seq {
			break
		}
	}
	f.state, f.at = state, from
	return missed, nil
}

// follow publishes every change until ctx ends.
func (f *feed) follow(ctx context.Context) {
	defer close(f.done)
	for {
		err := f.publishAll(ctx)
		var gone *atomicstore.TruncatedError
		if errors.As(err, &gone) {
			f.log.Warn("live updates fell behind the log; pages get a snapshot", "at", f.at, "oldest", gone.First)
			err = f.skip()
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			err = fmt.Errorf("follow the log after %s: %w", f.at, err)
			f.dead.Store(&err)
			f.log.Error("live updates have stopped; restart the server to resume them", "error", err)
			return
		}
	}
}

// publishAll publishes the changes after the present position. It returns when
// they cannot be read or published, or when ctx ends.
func (f *feed) publishAll(ctx context.Context) error {
	for change, err := range f.store.Changes(ctx, f.at) {
		if err == nil {
			err = f.publish(change)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// skip goes on from the present state when the changes before it are not held
// any more.
func (f *feed) skip() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.at = f.store.State()
	return errors.Join(f.public.Truncate(f.at.Seq), f.staff.Truncate(f.at.Seq))
}

func (f *feed) publish(change atomicstore.Change[contest.Event]) error {
	after := f.state.Clone()
	for _, event := range change.Events {
		if err := contest.Apply(after, event); err != nil {
			return err
		}
	}
	public := contest.Public(f.state, change.Events, after)
	staff := contest.Staff(f.state, change.Events, after)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.at = after, change.Position
	if err := send(f.public, change.Seq, public); err != nil {
		return err
	}
	return send(f.staff, change.Seq, staff)
}

// send publishes a change on a topic, or moves the topic past a change that
// its readers have nothing to see of.
func send(topic *reliablews.Topic, offset uint64, messages []contest.Message) error {
	if len(messages) == 0 {
		return topic.Advance(offset)
	}
	err := topic.Publish(offset, messages)
	if errors.Is(err, reliablews.ErrMessageTooLarge) {
		// A category that comes back with thousands of entries, say: pages get
		// a snapshot instead.
		return topic.Truncate(offset)
	}
	return err
}

// snapshot returns the hub's hook for late comers: the view of the state that
// has been published, with its position.
func (f *feed) snapshot(view func(*contest.State) any) func(context.Context) (reliablews.Position, any, error) {
	return func(context.Context) (reliablews.Position, any, error) {
		f.mu.RLock()
		state, at := f.state, f.at
		f.mu.RUnlock()
		return reliablews.Position{Epoch: at.Epoch, Offset: at.Seq}, view(state), nil
	}
}

// lag returns how many changes are durable but not yet published.
func (f *feed) lag() uint64 {
	f.mu.RLock()
	published := f.at.Seq
	f.mu.RUnlock()
	_, durable := f.store.State()
	return durable.Seq - min(published, durable.Seq)
}

// err returns why the feed died, or nil.
func (f *feed) err() error {
	if err := f.dead.Load(); err != nil {
		return *err
	}
	return nil
}

// close stops following and waits until nothing is published any more.
func (f *feed) close() {
	f.stop()
	<-f.done
}
