package main

import (
	"context"
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
	present, err := f.begin(ctx)
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

	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	caughtUp := make(chan struct{})
	go f.follow(following, present.Seq, caughtUp)
	select {
	case <-caughtUp:
		return f, nil
	case <-f.done:
		return nil, f.err()
	case <-ctx.Done():
		f.close()
		return nil, ctx.Err()
	}
}

// begin sets the state that the feed starts to fold from, as far back as the
// store still reaches, and returns the present position.
func (f *feed) begin(ctx context.Context) (present atomicstore.Position, err error) {
	f.state, f.at = f.store.State()
	present = f.at
	for back := uint64(refill); back > 0; back /= 4 {
		if back > present.Seq {
			back = present.Seq
		}
		old, err := f.store.At(ctx, present.Seq-back)
		if err == nil {
			f.state, f.at.Seq = old, present.Seq-back
			return present, nil
		}
		if ctx.Err() != nil {
			return present, ctx.Err()
		}
	}
	return present, nil
}

// follow publishes every change until ctx ends. It closes caughtUp as soon as
// the change at seq has been published.
func (f *feed) follow(ctx context.Context, seq uint64, caughtUp chan<- struct{}) {
	defer close(f.done)
	if f.at.Seq >= seq {
		close(caughtUp)
		caughtUp = nil
	}
	for change, err := range f.store.Changes(ctx, f.at) {
		if err == nil {
			err = f.publish(change)
		}
		if err != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("follow the log after %s: %w", f.at, err)
				f.dead.Store(&err)
				f.log.Error("live updates have stopped; restart the server to resume them", "error", err)
			}
			return
		}
		if caughtUp != nil && change.Seq >= seq {
			close(caughtUp)
			caughtUp = nil
		}
	}
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
	return topic.Publish(offset, messages)
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
