package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// withPlainServer runs a test with a plainServer on a clock of its own.
func withPlainServer(t *testing.T, test func(t *testing.T, n *network, s *plainServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n, s := new(network), newPlainServer()
		stop := n.serve(s)
		defer stop()
		test(t, n, s)
	})
}

func feed() map[string]Position { return map[string]Position{"feed": {"e1", 0}} }

func TestSendReturnsTheAnswer(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.handle = func(name string, data json.RawMessage) (any, *ReplyError) {
			if name == "vote" {
				return nil, &ReplyError{"closed", "The contest is closed."}
			}
			return map[string]json.RawMessage{"got": data}, nil
		}
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()})
		stop := runClient(c)
		if got, err := c.Send(t.Context(), "say", "hello"); err != nil || string(got) != `{"got":"hello"}` {
			t.Errorf("got %s, %v", got, err)
		}
		_, err := c.Send(t.Context(), "vote", 1)
		var refused *ReplyError
		if !errors.As(err, &refused) || *refused != (ReplyError{"closed", "The contest is closed."}) {
			t.Errorf("got %v", err)
		}
		if s := c.Stats(); s.Answered != 2 || s.Queued != 0 {
			t.Errorf("got %+v", s)
		}
		stop()
	})
}

func TestSendSaysWhetherAMessageWasSent(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		release := make(chan struct{})
		s.handle = func(string, json.RawMessage) (any, *ReplyError) { <-release; return "late", nil }
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer(), MaxQueued: 3})
		later := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			return ctx
		}
		if _, err := c.Send(later(), "say", 1); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Run: got %v", err)
		}
		stop := runClient(c)
		if _, err := c.Send(later(), "say", 2); !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it is handled: got %v", err)
		}
		ends := make(chan error, 2)
		for i := range 2 {
			go func() { _, err := c.Send(t.Context(), "say", 3+i); ends <- err }()
			synctest.Wait()
		}
		// The one that was given up counts: it is not answered.
		if _, err := c.Send(t.Context(), "say", 5); !errors.Is(err, ErrQueueFull) {
			t.Errorf("with three in the queue: got %v", err)
		}
		stop()
		// The server is busy and reads nothing: the first of them is on its way,
		// the other one was not begun. In which order they end is chance.
		first, second := <-ends, <-ends
		if errors.Is(first, ErrNotSent) {
			first, second = second, first
		}
		if !errors.Is(first, ErrOutcomeUnknown) || !errors.Is(second, ErrNotSent) || !errors.Is(first, context.Canceled) {
			t.Errorf("when the client ends: got %v and %v", first, second)
		}
		if _, err := c.Send(t.Context(), "say", 6); !errors.Is(err, ErrNotSent) {
			t.Errorf("after the client has ended: got %v", err)
		}
		close(release)
	})
}

func TestSendRefusesWhatTheServerWouldCloseFor(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.limit = 1000
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()})
		stop := runClient(c)
		for name, data := range map[string]any{
			"":                      1,
			strings.Repeat("x", 65): 1,
			"function":              func() {},
			"no JSON":               json.RawMessage("{"),
			"no UTF-8":              json.RawMessage("\"\xff\""),
		} {
			if _, err := c.Send(t.Context(), name, data); !errors.Is(err, ErrNotSent) {
				t.Errorf("%q: got %v", name, err)
			}
		}
		if _, err := c.Send(t.Context(), "say", strings.Repeat("x", 1000)); !errors.Is(err, ErrTooLargeToSend) {
			t.Errorf("got %v", err)
		}
		if _, err := c.Send(t.Context(), "say", strings.Repeat("x", 800)); err != nil {
			t.Errorf("the next one: %v", err)
		}
		stop()
	})
}

func TestSendKeepsTheWindow(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.window = 2
		release := make(chan struct{})
		s.handle = func(string, json.RawMessage) (any, *ReplyError) { <-release; return nil, nil }
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()})
		stop := runClient(c)
		var calls sync.WaitGroup
		for i := range 5 {
			calls.Go(func() { c.Send(t.Context(), "say", i) })
		}
		synctest.Wait()
		c.sends.mu.Lock()
		flying, waiting := len(c.sends.flying), len(c.sends.waiting)
		c.sends.mu.Unlock()
		if flying != 2 || waiting != 3 {
			t.Errorf("%d sent and %d waiting, want 2 and 3", flying, waiting)
		}
		close(release)
		calls.Wait()
		stop()
	})
}

// Its answer is behind more messages than the client holds for an application
// that is busy, with this.
func TestSendFromWithinACallback(t *testing.T) {
	for _, messages := range []int{1, queueMessages - 1, 3 * queueMessages} {
		withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
			s.handle = func(string, json.RawMessage) (any, *ReplyError) {
				s.publish(messages)
				advance(time.Millisecond) // they are written before the answer
				return "ok", nil
			}
			var got []uint64
			var c *Client
			c = NewClient("ws://memory/", &ClientOptions{Topics: feed(), Dialer: n.dialer(), OnMessage: func(m Message) {
				if got = append(got, m.Position.Offset); len(got) > 1 {
					return
				}
				if answer, err := c.Send(t.Context(), "more", nil); err != nil || string(answer) != `"ok"` {
					t.Errorf("got %s, %v", answer, err)
				}
			}})
			stop := runClient(c)
			s.publish(1)
			advance(10 * time.Second)
			synctest.Wait()
			for i, o := range got {
				if o != uint64(i+1) {
					t.Fatalf("message %d is %d", i+1, o)
				}
			}
			if len(got) != messages+1 {
				t.Errorf("got %d messages, want %d", len(got), messages+1)
			}
			stop()
		})
	}
}

// TestRandomSends lets several goroutines send while connections break and
// WebSockets and streams are blocked at random. Whatever the order, the server
// handles each message once, those of a goroutine in their order, and each call
// gets its own answer.
func TestRandomSends(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) { randomSends(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomSends(t *testing.T, seed uint64) {
	const senders, each = 3, 15
	rng := rand.New(rand.NewPCG(seed, 2))
	n, s := new(network), newPlainServer()
	s.window = 1 + rng.IntN(6)
	slow := rand.New(rand.NewPCG(seed, 3)) // its own: messages are handled one at a time
	s.handle = func(_ string, data json.RawMessage) (any, *ReplyError) {
		advance(time.Duration(slow.IntN(300)) * time.Millisecond) // a cut may come before the answer
		return "done " + string(data), nil
	}
	stop := n.serve(s)
	l := newListener()
	c := NewClient("ws://memory/", l.options(n, feed()))
	stopClient := runClient(c)
	var calls sync.WaitGroup
	for g := range senders {
		pause := rand.New(rand.NewPCG(seed, 4+uint64(g)))
		calls.Go(func() {
			for i := range each {
				advance(time.Duration(pause.IntN(2000)) * time.Millisecond)
				data := fmt.Sprint(g*1000 + i)
				if got, err := c.Send(t.Context(), "do", json.RawMessage(data)); err != nil || string(got) != `"done `+data+`"` {
					t.Errorf("%s: got %s, %v", data, got, err)
				}
			}
		})
	}
	for range 40 {
		advance(time.Duration(rng.IntN(3000)) * time.Millisecond)
		switch rng.IntN(5) {
		case 0, 1:
			n.cut()
		case 2:
			s.block(WebSocket, rng.IntN(2) == 0)
		case 3:
			s.block(Stream, rng.IntN(3) == 0)
		case 4:
			s.publish(1 + rng.IntN(5))
		}
	}
	calls.Wait()
	last := map[int]int{}
	handled := s.work()
	for _, h := range handled {
		var number int
		fmt.Sscanf(h, "do %d", &number)
		if want := last[number/1000]; number%1000 != want {
			t.Errorf("sender %d: message %d was handled, want %d: %v", number/1000, number%1000, want, handled)
			break
		}
		last[number/1000]++
	}
	if len(handled) != senders*each {
		t.Errorf("%d messages were handled, want %d", len(handled), senders*each)
	}
	advance(2 * time.Minute)
	synctest.Wait()
	var want []string
	for o := range s.published {
		want = append(want, fmt.Sprintf("message feed e1/%d %d", o+1, o+1))
	}
	if got := l.all(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	stopClient()
	stop()
}
