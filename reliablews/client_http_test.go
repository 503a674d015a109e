package reliablews

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// runWithout runs a client where nothing better than via gets through. states is
// what it was live on.
func runWithout(n *network, s *plainServer, via Transport) (c *Client, l *listener, states *[]string, stop func() error) {
	s.block(WebSocket, true)
	s.block(Stream, via == Poll)
	l, states = newListener(), new([]string)
	o := l.options(n, map[string]Position{"feed": {"e1", 0}, "@": {}})
	o.OnState = func(s State) {
		if s.Status == Live {
			*states = append(*states, string(s.Transport))
		}
	}
	c = NewClient("ws://memory/", o)
	return c, l, states, runClient(c)
}

func TestClientDoesWithoutWebSockets(t *testing.T) {
	for _, via := range []Transport{Stream, Poll} {
		t.Run(string(via), func(t *testing.T) {
			withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
				began := time.Now()
				c, l, states, stop := runWithout(n, s, via)
				s.publish(2)
				l.wait(2)
				if took := time.Since(began); via == Stream && took != 0 || via == Poll && took != streamTimeout {
					t.Errorf("the first message came after %s", took)
				}
				if got, err := c.Send(t.Context(), "say", "hello"); err != nil || string(got) != `"hello"` {
					t.Errorf("got %s, %v", got, err)
				}
				s.publish(1)
				s.direct(1)
				advance(40 * time.Second) // more than a poll lasts, less than until a WebSocket is tried
				s.publish(1)
				synctest.Wait()
				want := []string{"message feed e1/1 1", "message feed e1/2 2", "message feed e1/3 3", "message @ S1/1 1", "message feed e1/4 4"}
				if got := l.all(); !sameSet(got, want) { // topics have no order among them
					t.Errorf("heard %q, want %q", got, want)
				}
				if !slices.Equal(*states, []string{string(via)}) {
					t.Errorf("live on %q", *states)
				}
				heard := s.take()
				acked := via == Stream && slices.ContainsFunc(heard, func(f clientFrame) bool { return f.Pos["@"] == 1 })
				hellos := s.greetings()
				if via == Poll { // the hello acknowledges
					at := hellos[len(hellos)-1].Topics["@"]
					acked = at != nil && at.Offset == 1
				}
				if !acked {
					t.Errorf("the inbox is not acknowledged: %+v, %+v", heard, hellos[len(hellos)-1])
				}
				// It has waited for messages, not asked again and again.
				if via == Poll && len(hellos) > 8 || via == Stream && len(hellos) != 1 {
					t.Errorf("%d hellos", len(hellos))
				}
				// A cut does not make it begin with a WebSocket again.
				n.cut()
				s.publish(1)
				l.wait(6)
				if !slices.Equal(*states, []string{string(via), string(via)}) {
					t.Errorf("live on %q", *states)
				}
				stop()
			})
		})
	}
}

// A WebSocket is tried beside the stream. It takes the session over with its
// welcome, and nothing is lost or repeated.
func TestClientGoesBackToWebSockets(t *testing.T) {
	for _, via := range []Transport{Stream, Poll} {
		t.Run(string(via), func(t *testing.T) {
			withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
				first := time.Now()
				c, l, states, stop := runWithout(n, s, via)
				s.publish(1)
				s.direct(1)
				l.wait(2)
				advance(90 * time.Second) // one that fails
				s.block(WebSocket, false)
				for c.State().Transport != WebSocket && time.Since(first) < time.Hour {
					s.publish(1)
					advance(time.Second)
				}
				if took := time.Since(first); took < 2*probeEvery || took > 2*probeEvery+yieldAfter {
					t.Errorf("back after %s, want the second minute", took)
				}
				s.publish(1)
				s.direct(1)
				synctest.Wait()
				heard := l.all()
				for i, o := 0, 0; i < len(heard); i++ {
					if heard[i][:9] == "message @" {
						continue
					}
					if o++; heard[i] != fmt.Sprintf("message feed e1/%d %d", o, o) {
						t.Errorf("feed message %d is %q", o, heard[i])
					}
				}
				if last := heard[len(heard)-1]; last != "message @ S1/2 2" && heard[len(heard)-2] != "message @ S1/2 2" {
					t.Errorf("the last are %q, want one of the same session's inbox", heard[len(heard)-2:])
				}
				if !slices.Equal(*states, []string{string(via), "websocket"}) {
					t.Errorf("live on %q", *states)
				}
				if session := c.Session().ID; session != "S1" {
					t.Errorf("the session is %s", session)
				}
				if got, err := c.Send(t.Context(), "say", 1); err != nil || string(got) != "1" {
					t.Errorf("got %s, %v", got, err)
				}
				stop()
			})
		})
	}
}

// A poll that waits for messages is given up for the WebSocket's hello, so that
// it never comes behind it and takes the session over again.
func TestAPollYieldsToTheWebSocket(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.block(WebSocket, true)
		s.block(Stream, true)
		c := NewClient("ws://memory/", &ClientOptions{Topics: feed(), Dialer: n.dialer()})
		stop := runClient(c)
		advance(30 * time.Second)
		s.block(WebSocket, false)
		advance(probeEvery/2 + yieldAfter + time.Second)
		synctest.Wait()
		hellos := s.greetings()
		if got := c.State(); got.Transport != WebSocket || c.Session().ID != "S1" || hellos[len(hellos)-1].Via != "" {
			t.Errorf("got %+v in session %s, the last hello is %+v", got, c.Session().ID, hellos[len(hellos)-1])
		}
		advance(10 * time.Minute)
		if got := c.Stats().Connections; got != 2 {
			t.Errorf("%d connections, want 2", got)
		}
		stop()
	})
}

// A proxy lets the WebSocket through and then nothing on it: the session was
// taken over by its hello, and is not given up.
func TestAWebSocketThatSwallowsTheWelcomeCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := new(network), newPlainServer()
		s.block(WebSocket, true)
		var swallow atomic.Bool
		stopServer := n.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !swallow.Load() || !websocket.IsWebSocketUpgrade(r) {
				s.ServeHTTP(w, r)
				return
			}
			acted(func(ws *websocket.Conn) {
				var hello clientFrame
				ws.ReadJSON(&hello)
				s.open(r.Context(), hello)
				ws.ReadJSON(&hello) // until the client gives it up
			}).ServeHTTP(w, r)
		}))
		l := newListener()
		c := NewClient("ws://memory/", l.options(n, map[string]Position{"feed": {"e1", 0}, "@": {}}))
		stop := runClient(c)
		s.publish(1)
		l.wait(1)
		swallow.Store(true)
		advance(probeEvery + time.Second)
		swallow.Store(false)
		s.publish(1)
		s.direct(1)
		advance(probeEvery / 2)
		synctest.Wait()
		if got, want := l.all(), []string{"message feed e1/1 1", "message feed e1/2 2", "message @ S1/1 1"}; !sameSet(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		if session := c.Session().ID; session != "S1" {
			t.Errorf("the session is %s", session)
		}
		stop()
		stopServer()
	})
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestAPostWithoutASessionMakesTheClientSayHelloAgain(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.block(WebSocket, true)
		s.goneOnPost = true
		c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer()})
		stop := runClient(c)
		if got, err := c.Send(t.Context(), "say", 1); err != nil || string(got) != "1" {
			t.Errorf("got %s, %v", got, err)
		}
		if got := len(s.greetings()); got != 2 {
			t.Errorf("%d hellos, want 2", got)
		}
		stop()
	})
}

// One post at a time keeps the order, as PROTOCOL.md has it.
func TestClientPostsOneAtATime(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		s.block(WebSocket, true)
		s.handle = func(_ string, data json.RawMessage) (any, *ReplyError) {
			advance(2 * time.Second)
			return data, nil
		}
		c := NewClient("ws://memory/", &ClientOptions{Topics: feed(), Dialer: n.dialer()})
		stop := runClient(c)
		answered := make(chan error, 1)
		go func() {
			_, err := c.Send(t.Context(), "say", 1)
			answered <- err
		}()
		advance(time.Second)
		c.RetryNow() // which asks for an answer
		if err := <-answered; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		s.mu.Lock()
		if len(s.posted) != 2 || s.mostPosts != 1 {
			t.Errorf("%d posts, up to %d at a time; want two, one behind the other", len(s.posted), s.mostPosts)
		}
		s.mu.Unlock()
		stop()
	})
}

// A poll may have got another session while frames waited for their turn. What
// they acknowledge is of the inbox before.
func TestAPostGoesToTheSessionThatItIsFor(t *testing.T) {
	withPlainServer(t, func(t *testing.T, n *network, s *plainServer) {
		second := ClientSession{"S2", "secret"}
		s.sessions["S1"], s.sessions["S2"] = func(error) {}, func(error) {}
		c := NewClient("ws://memory/", &ClientOptions{
			Topics: map[string]Position{"@": {"S1", 7}}, Dialer: n.dialer(), Session: ClientSession{"S1", "secret"},
		})
		client, idle := c.opts.httpClient()
		defer idle()
		c.fallback = client
		l := c.newLink(t.Context(), Poll, "")
		c.link, c.unacked = l, 1
		l.pongs = []pong{{ts: 1, ready: true}}

		session := c.Session()
		frames, _ := l.due(session.ID, time.Now())
		if len(frames) != 1 || frames[0].Pos["@"] != 7 {
			t.Fatalf("got %+v", frames)
		}
		if err := l.welcome(serverFrame{T: "welcome", Session: second.ID, Token: second.Token}); err != nil || c.Session() != second {
			t.Fatalf("the session is %v, %v", c.Session(), err)
		}
		encoded, _ := json.Marshal(frames[0])
		if !l.write(session, [][]byte{encoded}) {
			t.Error("the post failed")
		}
		s.mu.Lock()
		if len(s.posted) != 1 || s.posted[0].Session != "S1" {
			t.Errorf("posted %+v, want what it acknowledges to go to S1", s.posted)
		}
		s.mu.Unlock()
		c.unacked = 1
		l.pongs = []pong{{ts: 2, ready: true}}
		if frames, _ := l.due(second.ID, time.Now()); len(frames) != 1 || frames[0].Pos != nil {
			t.Errorf("got %+v, want nothing acknowledged in S2", frames)
		}
	})
}

// Where there are neither WebSockets nor requests, it is for the server to say
// whether that lasts: both must be refused.
func TestWhenAClientWithoutWebSocketsStaysAway(t *testing.T) {
	tests := map[string]struct {
		webSocket, post int // statuses
		only            bool
		want            int // of the RefusedError, 0 when it tries on
	}{
		"both refused":             {401, 400, false, 401},
		"the request is forbidden": {502, 403, false, 403},
		"no requests here":         {502, 405, false, 0},
		"not now":                  {400, 503, false, 0},
		"too many":                 {429, 403, false, 0},
		"only WebSockets":          {403, 200, true, 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := new(network)
				stop := n.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if websocket.IsWebSocketUpgrade(r) {
						w.WriteHeader(test.webSocket)
					} else {
						w.WriteHeader(test.post)
					}
				}))
				c := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer(), WebSocketOnly: test.only, MaxElapsed: time.Minute})
				err := c.Run(t.Context())
				var refused *RefusedError
				if errors.As(err, &refused) {
					if refused.Code != test.want {
						t.Errorf("got %v, want %d", err, test.want)
					}
				} else if test.want != 0 || !errors.Is(err, ErrGaveUp) {
					t.Errorf("got %v, want %d", err, test.want)
				}
				stop()
			})
		})
	}
}

// The vectors hold whatever carries the frames.
func TestClientFollowsTheVectorsOnAStream(t *testing.T) {
	var vectors []sequence
	readVectors(t, "sequences.json", &vectors)
	for _, v := range vectors {
		if v.Asks != nil || v.Reconnects {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, l := new(network), newListener()
				stop := n.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					var f clientFrame
					if websocket.IsWebSocketUpgrade(r) {
						http.Error(w, "", http.StatusBadRequest)
						return
					}
					json.NewDecoder(r.Body).Decode(&f)
					if f.T == "post" {
						w.Header().Set("Content-Type", "application/json")
						w.Write([]byte("[]"))
						return
					}
					w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
					for _, frame := range v.Frames {
						fmt.Fprintf(w, "data: %s\r\n\r\n", frame)
					}
					http.NewResponseController(w).Flush()
					<-r.Context().Done()
				}))
				topics := map[string]Position{}
				for name, p := range v.Topics {
					topics[name] = Position{}
					if p != nil {
						topics[name] = *p
					}
				}
				c := NewClient("ws://memory/", l.options(n, topics))
				stopClient := runClient(c)
				synctest.Wait()
				if got := l.all(); !sameLines(got, v.Hears) {
					t.Errorf("heard %q, want %q", got, v.Hears)
				}
				stopClient()
				stop()
			})
		})
	}
}
