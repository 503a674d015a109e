package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestClientComesBackAfterACutAndMissesNothing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		l := newListener()
		c := NewClient("ws://memory/", l.options(n, map[string]Position{"feed": {"e1", 0}}))
		stop := runClient(c)
		mustPublish(t, topic, 1, 2)
		l.wait(2)
		n.cut()
		mustPublish(t, topic, 3, 4)
		if got, want := l.wait(4), []string{"message feed e1/1 1", "message feed e1/2 2", "message feed e1/3 3", "message feed e1/4 4"}; !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		if s := h.Stats(); s.Accepted != 2 || s.Resumed != 1 {
			t.Errorf("got %+v, want two connections of one session", s)
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
		// A new program goes on where this one ended.
		later := newListener()
		stop = runClient(NewClient("ws://memory/", later.options(n, c.Positions())))
		mustPublish(t, topic, 5)
		if got := later.wait(1); got[0] != "message feed e1/5 5" {
			t.Errorf("heard %q", got)
		}
		stop()
	})
}

func TestClientNoticesASilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		var connections atomic.Int32
		stop := n.serve(acted(func(ws *websocket.Conn) {
			connections.Add(1)
			ws.WriteJSON(serverFrame{T: "welcome", Heartbeat: 30_000, Timeout: 45_000})
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		}))
		var waited time.Duration
		began := time.Now()
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer(), OnState: func(s State) {
			if s.Status == Waiting && waited == 0 {
				waited = time.Since(began)
			}
		}})
		stopClient := runClient(c)
		advance(50 * time.Second)
		synctest.Wait()
		if waited != 45*time.Second || connections.Load() != 2 {
			t.Errorf("the silent connection was given up after %s, connections: %d; want 45s and 2", waited, connections.Load())
		}
		stopClient()
		stop()
	})
}

func TestClientWaitsLongerEachTimeUpToTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network) // and no server
		var waits []time.Duration
		done := make(chan struct{})
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer(), OnState: func(s State) {
			if s.Status == Waiting {
				if waits = append(waits, s.Retry); len(waits) == 200 {
					close(done)
				}
			}
		}})
		began := time.Now()
		stop := runClient(c)
		<-done
		stop()
		for i, w := range waits {
			if limit := min(30*time.Second, time.Second<<min(i, 10)); w <= 0 || w > limit+time.Millisecond {
				t.Errorf("wait %d is %s, over %s", i, w, limit)
			}
		}
		// 195 waits between nothing and 30 s: jitter over the whole length, and
		// still trying long after the fifteen minutes at which backoff gives up.
		late := waits[5:]
		if lo, hi := slices.Min(late), slices.Max(late); lo > 3*time.Second || hi < 27*time.Second {
			t.Errorf("the waits lie between %s and %s", lo, hi)
		}
		if total := time.Since(began); total < 20*time.Minute {
			t.Errorf("all of it took %s", total)
		}
	})
}

func TestClientObeysTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, first := new(network), NewHub(&HubOptions{BackoffStart: 7 * time.Second, GoodbyeSpread: 1})
		stop := n.serve(first)
		waited := make(chan time.Duration, 1)
		l := newListener()
		o := l.options(n, map[string]Position{"feed": {}})
		o.OnState = func(s State) {
			if s.Status == Waiting {
				waited <- s.Retry
			}
		}
		mustTopic(t, first, "feed", Position{"e1", 3}, nil)
		stopClient := runClient(NewClient("ws://memory/", o))
		synctest.Wait()
		if err := first.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := <-waited; got != 7*time.Second {
			t.Errorf("the client waits %s, the server said 7s", got)
		}
		stop()

		second := NewHub(nil)
		topic := mustTopic(t, second, "feed", Position{"e1", 3}, nil)
		stop = n.serve(second)
		mustPublish(t, topic, 4) // in between
		if got := l.wait(1); got[0] != "message feed e1/4 4" {
			t.Errorf("heard %q", got)
		}
		stopClient()
		stop()
		second.Shutdown(t.Context())
	})
}

func TestClientDoesNotWaitForACloseThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		var connections atomic.Int32
		stop := n.serve(acted(func(ws *websocket.Conn) {
			connections.Add(1)
			ws.ReadMessage() // the hello
			ws.WriteJSON(serverFrame{T: "welcome", Heartbeat: 30_000, Timeout: 45_000})
			ws.WriteJSON(serverFrame{T: "bye", Delay: 1000})
			ws.ReadMessage()
		}))
		stopClient := runClient(NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()}))
		advance(goodbyeTimeout + time.Second + time.Millisecond)
		synctest.Wait()
		if connections.Load() != 2 {
			t.Errorf("%d connections, want a second one 5 s and the delay after the goodbye", connections.Load())
		}
		stopClient()
		stop()
	})
}

func TestClientStaysAwayWhenRefused(t *testing.T) {
	for _, code := range []int{CloseProtocol, CloseForbidden, websocket.ClosePolicyViolation} {
		synctest.Test(t, func(t *testing.T) {
			n := new(network)
			stop := n.serve(acted(func(ws *websocket.Conn) {
				ws.ReadMessage() // the hello
				ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "go away"), time.Now().Add(time.Second))
				ws.ReadMessage() // its close frame
			}))
			err := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()}).Run(t.Context())
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Code != code || refused.Reason != "go away" {
				t.Errorf("close code %d: got %v", code, err)
			}
			stop()
		})
	}
}

// TestRandomSchedules runs a hub whose connections break and which restarts,
// with its messages published again or lost, while a client listens. Whatever
// the order, the client hears every message once and in order, or a snapshot
// or a gap that covers what it did not hear.
func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { randomSchedule(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomSchedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := new(network)
	epoch := 1
	var log []uint64 // what is durable, the offsets of messages
	at := uint64(0)  // with those that have none
	snapshots := rng.IntN(2) == 0

	var hub *Hub
	var topic *Topic
	var stopServer func()
	start := func() {
		hub = NewHub(&HubOptions{GoodbyeSpread: time.Second})
		// History reaches back some way, as a log that was cut off does.
		from := 0
		if len(log) > 0 {
			from = rng.IntN(len(log) + 1)
		}
		base := uint64(0)
		if from > 0 {
			base = log[from-1]
		}
		o := &TopicOptions{HistoryMessages: 1 + rng.IntN(20)}
		if snapshots {
			chance := rand.New(rand.NewPCG(seed, uint64(len(log)))) // its own: snapshots are made one at a time
			ready := make(chan *Topic, 1)
			o.Snapshot = func(context.Context) (Position, any, error) {
				of := <-ready
				ready <- of
				if chance.IntN(5) == 0 {
					return Position{}, nil, errors.New("not now")
				}
				p := of.Position()
				return p, p.Offset, nil
			}
			defer func() { ready <- topic }()
		}
		topic = mustTopic(t, hub, "feed", Position{fmt.Sprint(epoch), base}, o)
		mustPublish(t, topic, log[from:]...)
		if err := topic.Advance(at); err != nil {
			t.Fatal(err)
		}
		stopServer = n.serve(hub)
	}
	start()

	// What the client must have been told of, one way or another.
	client := &witness{epoch: fmt.Sprint(epoch)}
	c := NewClient("ws://memory/", &ClientOptions{
		Topics:     map[string]Position{"feed": {client.epoch, 0}},
		Dialer:     n.dialer(),
		OnMessage:  func(m Message) { client.message(m) },
		OnSnapshot: func(s Snapshot) { client.jump(s.Position) },
		OnGap:      func(g Gap) { client.jump(g.Position) },
	})
	stopClient := runClient(c)
	for range 60 {
		switch rng.IntN(10) {
		case 0:
			n.cut()
		case 1:
			if rng.IntN(3) == 0 {
				stopServer()
				hub.Shutdown(t.Context())
				if rng.IntN(4) == 0 {
					epoch++ // the history was replaced
				}
				start()
			}
		case 2:
			at += uint64(rng.IntN(3))
			if err := topic.Advance(at); err != nil {
				t.Fatal(err)
			}
		case 3:
			advance(time.Duration(rng.IntN(40_000)) * time.Millisecond)
		default:
			for range 1 + rng.IntN(8) {
				at += 1 + uint64(rng.IntN(3))
				log = append(log, at)
				mustPublish(t, topic, at)
			}
		}
	}
	advance(5 * time.Minute) // enough for every wait
	synctest.Wait()
	client.check(t, fmt.Sprint(epoch), log)
	if p := c.Positions()["feed"]; p != (Position{fmt.Sprint(epoch), at}) {
		t.Errorf("the client is at %s, the topic at %d/%d", p, epoch, at)
	}
	stopClient()
	stopServer()
	if err := hub.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// witness checks what a client hears against what was published.
type witness struct {
	epoch  string
	at     uint64
	heard  []uint64 // since the last jump
	start  uint64   // where the last jump led
	faults []string
}

func (w *witness) message(m Message) {
	var data uint64
	if err := json.Unmarshal(m.Data, &data); err != nil || data != m.Position.Offset {
		w.faults = append(w.faults, fmt.Sprintf("message %s says %s", m.Position, m.Data))
	}
	if m.Position.Epoch != w.epoch || m.Position.Offset <= w.at {
		w.faults = append(w.faults, fmt.Sprintf("at %s/%d came message %s", w.epoch, w.at, m.Position))
	}
	w.at = m.Position.Offset
	w.heard = append(w.heard, w.at)
}

func (w *witness) jump(p Position) {
	w.epoch, w.at, w.start, w.heard = p.Epoch, p.Offset, p.Offset, nil
}

// check compares what was heard since the last jump with the log from there.
func (w *witness) check(t *testing.T, epoch string, log []uint64) {
	for _, f := range w.faults {
		t.Error(f)
	}
	var want []uint64
	for _, o := range log {
		if o > w.start {
			want = append(want, o)
		}
	}
	if w.epoch != epoch || !slices.Equal(w.heard, want) {
		t.Errorf("after %s/%d the client heard %v, published was %v", w.epoch, w.start, w.heard, want)
	}
}
