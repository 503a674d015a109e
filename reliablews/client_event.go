package reliablews

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"time"
)

// Event is what a client hands over: a [Message], a [Snapshot] or a [Gap].
type Event interface {
	at() (topic string, p Position)
}

// Message is one message of a topic.
type Message struct {
	Topic    string
	Position Position
	Data     json.RawMessage
}

// Snapshot stands for every message of a topic up to its position.
type Snapshot struct {
	Topic    string
	Position Position
	Data     json.RawMessage
}

// Gap says that messages are lost: those after From and up to Position.
type Gap struct {
	Topic    string
	From     uint64 // offset that the client had, 0 when of another epoch
	Position Position
	Reason   string // "epoch", "truncated", "ahead" or "slow"; of the inbox "expired" or "full" too
}

func (m Message) at() (string, Position)  { return m.Topic, m.Position }
func (s Snapshot) at() (string, Position) { return s.Topic, s.Position }
func (g Gap) at() (string, Position)      { return g.Topic, g.Position }

// Events runs the client as [Client.Run] does and gives what comes to a loop,
// instead of to OnMessage, OnSnapshot, OnGap and OnDirect:
//
//	for event, err := range client.Events(ctx) {
//		if err != nil {
//			return err // of ctx, or a *RefusedError: the last turn
//		}
//		switch e := event.(type) {
//		case reliablews.Message:
//		case reliablews.Snapshot:
//		case reliablews.Gap:
//		}
//	}
//
// A position counts as taken, and [Client.Positions] has it, when the body of
// the loop has come to its end or to a continue. While the body runs, and after
// it has left the loop by break, return or panic, it does not: the event comes
// again, in the next loop or to the next client that begins at Positions. To
// take an event and stop, end ctx and continue.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		left := false
		err := c.consume(ctx, func(e Event) bool {
			left = !yield(e, nil)
			return !left
		})
		if !left {
			yield(nil, err)
		}
	}
}

// consume connects in a goroutine of its own and hands over what comes until
// that ends, ctx does, or take returns false: then it has not taken the event.
func (c *Client) consume(ctx context.Context, take func(Event) bool) (err error) {
	c.mu.Lock()
	if c.running {
		c.mu.Unlock()
		return ErrRunning
	}
	c.running = true
	c.handed = maps.Clone(c.positions)
	c.queue = clientQueue{}
	c.mu.Unlock()
	c.sends.begin()

	inner, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var final error // valid once done is closed
	go func() {
		defer close(done)
		final = c.connect(inner)
	}()
	defer func() {
		cancel()
		<-done
		c.sends.end(cmp.Or(err, context.Canceled))
		c.become(State{Status: Closed, Err: err})
		c.mu.Lock()
		c.running, c.busy = false, false
		c.mu.Unlock()
		if c.opts.OnState != nil {
			c.opts.OnState(State{Status: Closed, Err: err})
		}
	}()
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x, event, ok := c.next()
		if !ok {
			select {
			case <-c.ready:
				continue
			case <-done:
				// What came before the end may have been queued since.
				if x, event, ok = c.next(); !ok || ctx.Err() != nil {
					return final
				}
			}
		}
		switch {
		case event == nil:
			if c.opts.OnState != nil {
				c.opts.OnState(x.state)
			}
		case take(event):
			c.taken(event)
		default:
			return nil
		}
	}
}

// next returns what is to be handed over: an event, or a change of state. The
// position that a hello brings is behind the event from then on, in one step,
// so that no connection brings it a second time.
func (c *Client) next() (x queued, event Event, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer nudge(c.room)
	for {
		if x, ok = c.queue.pop(); !ok || x.link == nil {
			return x, nil, ok
		}
		if event := c.accept(x.link, x.frame); event != nil {
			topic, at := event.at()
			c.handed[topic] = at
			c.busy = true
			return x, event, true
		}
	}
}

// accept applies the rules of PROTOCOL.md to a frame. It returns nil when there
// is nothing to hand over. The caller holds mu.
func (c *Client) accept(l *link, f serverFrame) Event {
	at, asked := c.handed[f.S]
	switch f.T {
	case "welcome":
		for name, state := range f.Topics {
			// One who is new to a topic without snapshots begins here. For
			// others it is where they were at the hello.
			if at, asked := c.handed[name]; state.Resumed && asked && at == (Position{}) {
				c.pass(name, Position{state.Epoch, state.Offset})
			}
		}
	case "ping":
		for name, offset := range f.Pos {
			if at, asked := c.handed[name]; asked && at != (Position{}) && offset > at.Offset {
				c.pass(name, Position{at.Epoch, offset})
			}
		}
		l.answerable(f.TS)
	case behindFrame:
		l.fail(errBehind)
	}
	if !asked {
		return nil
	}
	switch f.T {
	case "msg":
		if f.O <= at.Offset {
			c.stats.Repeated++ // seen, on an earlier connection or in a snapshot
			return nil
		}
		if f.P > at.Offset {
			l.fail(fmt.Errorf("%w: %s goes on with %d after %d, this client has %d", errHole, f.S, f.O, f.P, at.Offset))
			c.queue.drop(l)
			return nil
		}
		return Message{f.S, Position{at.Epoch, f.O}, f.D}
	case "snap":
		return Snapshot{f.S, Position{f.E, f.O}, f.D}
	case "gap":
		if at.Epoch == f.E && f.P <= f.O {
			// The hello may have brought less than the application has by now.
			if at.Offset >= f.O {
				return nil
			}
			f.P = max(f.P, at.Offset)
		}
		return Gap{f.S, f.P, Position{f.E, f.O}, f.Reason}
	}
	return nil
}

// pass moves a position over what has no message. The caller holds mu.
func (c *Client) pass(topic string, p Position) {
	c.handed[topic] = p
	c.positions[topic] = p
}

// taken moves the position behind an event.
func (c *Client) taken(e Event) {
	topic, at := e.at()
	c.mu.Lock()
	c.positions[topic] = at
	c.busy = false
	c.stats.Received++
	var l *link
	if topic == inboxTopic {
		if c.unacked++; c.unacked == 1 {
			c.ackBy = time.Now().Add(ackWithin)
		}
		if c.unacked == 1 || c.unacked >= ackEvery {
			l = c.link
		}
	}
	c.mu.Unlock()
	nudge(c.room)
	if l != nil {
		nudge(l.wake)
	}
}

const (
	ackWithin = time.Second // of the first event of the inbox that is not acknowledged
	ackEvery  = 32          // of them
)

// ack returns the position of the inbox if it is to be acknowledged on a
// connection, in a session, because there are so many to acknowledge or it is time; else how
// long it is not.
func (c *Client) ack(l *link, session string, many int) (pos map[string]uint64, due time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.positions[inboxTopic]
	if c.unacked == 0 || c.link != l || at.Epoch != session {
		return nil, time.Hour // offsets of the session before mean nothing in this one
	}
	if due := time.Until(c.ackBy); c.unacked < many && due > 0 {
		return nil, due
	}
	c.unacked = 0
	return map[string]uint64{inboxTopic: at.Offset}, 0
}
