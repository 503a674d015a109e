package reliablews

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDialReturnsALiveClientAndCloseEndsIt(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		l := newListener()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c, err := Dial(ctx, "ws://memory/", l.options(n, feed()))
		cancel() // it has no meaning afterwards
		if err != nil {
			t.Fatal(err)
		}
		if got := c.State(); got.Status != Live || got.Transport != WebSocket {
			t.Errorf("got %+v", got)
		}
		s.publish(1)
		l.wait(1)
		if err := c.Run(t.Context()); !errors.Is(err, ErrRunning) {
			t.Errorf("a second Run: got %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if got := c.State(); got.Status != Closed {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDialTriesUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := Dial(ctx, "ws://memory/", &ClientOptions{Dialer: new(network).dialer()})
		if c != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", c, err)
		}
	})
}

func TestPositionsMoveWhenAnEventIsTaken(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.publish(5)
		c := NewClient("ws://memory/", &ClientOptions{Topics: feed(), Dialer: n.dialer()})
		loop := func(ctx context.Context, body func(Message) (leave bool)) (end error) {
			for e, err := range c.Events(ctx) {
				if err != nil {
					return err
				}
				if body(e.(Message)) {
					break
				}
			}
			return nil
		}
		var got []uint64
		loop(t.Context(), func(m Message) bool {
			got = append(got, m.Position.Offset)
			if at := c.Positions()["feed"].Offset; at != m.Position.Offset-1 {
				t.Errorf("in the body for %d the position is %d", m.Position.Offset, at)
			}
			return m.Position.Offset == 2 // is not taken, and comes again
		})
		ctx, cancel := context.WithCancel(t.Context())
		err := loop(ctx, func(m Message) bool {
			if got = append(got, m.Position.Offset); m.Position.Offset == 4 {
				cancel() // is taken
			}
			return false
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the loop's last error is %v", err)
		}
		if want := []uint64{1, 2, 2, 3, 4}; !slices.Equal(got, want) || c.Positions()["feed"].Offset != 4 {
			t.Errorf("got %v, at %v; want %v", got, c.Positions(), want)
		}
	})
}

// An application that takes long is not cut off, and a connection that breaks
// meanwhile does not bring anything twice.
func TestASlowApplicationKeepsItsConnection(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.publish(3)
		var got []uint64
		c := NewClient("ws://memory/", &ClientOptions{Topics: feed(), Dialer: n.dialer(), OnMessage: func(m Message) {
			got = append(got, m.Position.Offset)
			advance(3 * time.Minute)
			if m.Position.Offset == 2 {
				n.cut()
				advance(time.Minute)
			}
		}})
		stop := runClient(c)
		advance(time.Hour)
		synctest.Wait()
		if !slices.Equal(got, []uint64{1, 2, 3}) {
			t.Errorf("got %v", got)
		}
		if s := c.Stats(); s.Connections != 2 || s.Received != 3 {
			t.Errorf("got %+v", s)
		}
		pings := 0
		for _, f := range s.take() {
			if f.T == "ping" {
				pings++
			}
		}
		if pings < 100 {
			t.Errorf("%d pings in an hour", pings)
		}
		stop()
	})
}

func TestTheInboxIsAcknowledgedInTime(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		var direct, other int
		c := NewClient("ws://memory/", &ClientOptions{
			Dialer: n.dialer(), OnDirect: func(Message) { direct++ }, OnMessage: func(Message) { other++ },
		})
		stop := runClient(c)
		acked := func() (offsets []uint64) {
			for _, f := range s.take() {
				if at, ok := f.Pos["@"]; ok {
					offsets = append(offsets, at)
				}
			}
			return offsets
		}
		synctest.Wait()
		s.direct(ackEvery - 1)
		synctest.Wait()
		if got := acked(); got != nil {
			t.Errorf("at once: %v", got)
		}
		s.direct(1)
		synctest.Wait()
		if got := acked(); !slices.Equal(got, []uint64{ackEvery}) {
			t.Errorf("with %d: %v", ackEvery, got)
		}
		s.direct(1)
		advance(ackWithin - time.Millisecond)
		synctest.Wait()
		if got := acked(); got != nil {
			t.Errorf("before a second: %v", got)
		}
		advance(time.Millisecond)
		synctest.Wait()
		if got := acked(); !slices.Equal(got, []uint64{ackEvery + 1}) {
			t.Errorf("after a second: %v", got)
		}
		s.direct(1)
		synctest.Wait()
		c.Send(t.Context(), "say", 1)
		if got := acked(); !slices.Equal(got, []uint64{ackEvery + 2}) {
			t.Errorf("with a message: %v", got)
		}
		if direct != ackEvery+2 || other != 0 {
			t.Errorf("OnDirect was called %d times, OnMessage %d", direct, other)
		}
		stop()
	})
}

func TestAFreshTokenBringsTheClientBack(t *testing.T) {
	for _, via := range []Transport{WebSocket, Stream, Poll} {
		t.Run(string(via), func(t *testing.T) {
			withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
				s.block(WebSocket, via != WebSocket)
				s.block(Stream, via == Poll)
				s.accept = func(auth string) bool { return auth == "token 3" }
				asked := 0
				o := &ClientOptions{Dialer: n.dialer(), GetToken: func(context.Context) (string, error) {
					asked++
					if asked == 2 {
						return "", errors.New("not now")
					}
					return fmt.Sprint("token ", asked), nil
				}}
				c, err := Dial(t.Context(), "ws://memory/", o)
				if err != nil {
					t.Fatal(err)
				}
				if asked != 3 {
					t.Errorf("asked for %d tokens, want 3", asked)
				}
				c.Close()

				for _, get := range []func(context.Context) (string, error){
					nil,
					func(context.Context) (string, error) { return "the same", nil },
				} {
					_, err := Dial(t.Context(), "ws://memory/", &ClientOptions{Dialer: n.dialer(), GetToken: get})
					var refused *RefusedError
					if !errors.As(err, &refused) || refused.Code != CloseUnauthorized {
						t.Errorf("without a fresh one: got %v", err)
					}
				}
			})
		})
	}
}

func TestRoundTripsAndDoubts(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		var waits []error
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer(), OnState: func(s State) {
			if s.Status == Waiting {
				waits = append(waits, s.Err)
			}
		}})
		stop := runClient(c)
		synctest.Wait()
		c.RetryNow() // the server answers
		advance(doubtTimeout + time.Second)
		if c.State().Status != Live || len(waits) != 0 {
			t.Errorf("got %+v, %v", c.State(), waits)
		}
		if got := c.Stats(); got.LastHeard.IsZero() || got.Connections != 1 {
			t.Errorf("got %+v", got)
		}
		stop()
	})
}

func TestRetryNowEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()})
		stop := runClient(c)
		advance(10 * time.Minute)
		synctest.Wait()
		s := newPlainServer()
		stopServer := n.serve(s)
		c.RetryNow()
		synctest.Wait()
		if got := c.State().Status; got != Live {
			t.Errorf("the client is %s", got)
		}
		stop()
		stopServer()
	})
}

// A session that an earlier client has kept goes on, with its inbox.
func TestASessionGoesOnInAnotherClient(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		l := newListener()
		c := NewClient("ws://memory/", l.options(n, map[string]Position{"@": {}}))
		stop := runClient(c)
		s.direct(1)
		l.wait(1)
		stop()
		s.direct(1)
		o := l.options(n, c.Positions())
		o.Session = c.Session()
		stop = runClient(NewClient("ws://memory/", o))
		if got := l.wait(2); got[1] != "message @ S1/2 2" {
			t.Errorf("heard %q", got)
		}
		stop()
	})
}

// The welcome of a connection that replaces another one says where the client
// was at its hello; the other one has brought more since.
func TestAWelcomeMovesNobodyBack(t *testing.T) {
	c := NewClient("ws://memory/", &ClientOptions{Topics: map[string]Position{"feed": {"e1", 7}, "ticks": {}}})
	c.handed = c.Positions()
	l := c.newLink(t.Context(), WebSocket, "")
	c.accept(l, serverFrame{T: "welcome", Topics: map[string]topicState{
		"feed": {Epoch: "e1", Offset: 5, Resumed: true}, "ticks": {Epoch: "e2", Offset: 40, Resumed: true},
	}})
	if c.handed["feed"] != (Position{"e1", 7}) || c.handed["ticks"] != (Position{"e2", 40}) {
		t.Errorf("got %v", c.handed)
	}
}

// The gap between two sessions has not been taken yet: offsets of the one before
// would acknowledge what the application has not seen.
func TestAnInboxIsNotAcknowledgedToAnotherSession(t *testing.T) {
	c := NewClient("ws://memory/", &ClientOptions{Topics: map[string]Position{"@": {"S1", 7}}})
	c.link, c.unacked, c.session.ID = c.newLink(t.Context(), WebSocket, ""), 1, "S2"
	if pos, _ := c.ack(c.link, c.session.ID, 0); pos != nil {
		t.Errorf("got %v", pos)
	}
	c.session.ID = "S1"
	if pos, _ := c.ack(c.link, c.session.ID, 0); pos["@"] != 7 {
		t.Errorf("got %v", pos)
	}
}
