package reliablews

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// What one client does must not cost the others anything.

// TestNobodyWaitsForOneThatIsWrittenTo: gorilla/websocket is stuck in a pong to
// a client that reads no more.
func TestNobodyWaitsForOneThatIsWrittenTo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		stuck := n.connect(t)
		stuck.hello(map[string]*Position{"feed": {"e1", 0}})
		synctest.Wait() // it is first in the list of those to be woken
		var line *line
		h.mu.Lock()
		for c := range h.conns {
			line = c.out.(*socket).line
		}
		h.mu.Unlock()
		other := n.connect(t)
		other.hello(map[string]*Position{"feed": {"e1", 0}})
		synctest.Wait()
		line.mu.Lock()
		mustPublish(t, topic, 1)
		if f := other.want("msg"); f.O != 1 {
			t.Errorf("got %+v", f)
		}
		line.mu.Unlock()
		if f := stuck.want("msg"); f.O != 1 {
			t.Errorf("got %+v", f)
		}
	})
}

// TestAPositionTooOldHurtsNobodyElse: the history reaches back to 10 only, and
// somebody asks for more.
func TestAPositionTooOldHurtsNobodyElse(t *testing.T) {
	d := &durable{offsets: []uint64{11, 12, 15, 20}, first: 10}
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		mustTopic(t, h, "feed", Position{"e1", 35}, &TopicOptions{History: d.read})
		var clients []*rawClient
		for _, at := range []uint64{15, 3, 12, 5} {
			c := n.connect(t)
			c.hello(map[string]*Position{"feed": {"e1", at}})
			clients = append(clients, c)
		}
		clients[0].wantRun(15, 20)
		clients[2].wantRun(12, 15, 20)
		for _, c := range []*rawClient{clients[1], clients[3]} {
			if f := c.want("gap"); f.O != 35 {
				t.Errorf("got %+v", f)
			}
		}
	})
}

// TestNothingFollowsAGoodbye, however much is published meanwhile.
func TestNothingFollowsAGoodbye(t *testing.T) {
	o := &HubOptions{Authorize: func(*http.Request) (Identity, error) {
		return Identity{User: "ann", Login: "l", Topics: []string{"feed"}}, nil
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		synctest.Wait()
		mustPublish(t, topic, 1)
		synctest.Wait() // its writer is at message 1, which nobody reads yet
		h.Kick("l")
		c.want("msg")
		synctest.Wait() // and now at the goodbye
		mustPublish(t, topic, 2)
		c.want("bye")
		for {
			_, data, err := c.ws.ReadMessage()
			if err != nil {
				break
			}
			t.Errorf("behind the goodbye came %s", data)
		}
	})
}

// TestAKickedLoginPostsNothing, though its session lives and posts bring no
// credential where that comes with the hello.
func TestAKickedLoginPostsNothing(t *testing.T) {
	until := time.Now()
	o := &HubOptions{Authorize: func(r *http.Request) (Identity, error) {
		if r.Header.Get("Authorization") == "" {
			return Identity{}, ErrLater
		}
		return Identity{User: "ann", Login: "l", Until: until}, nil
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		until = time.Now().Add(time.Hour)
		p := n.poster(t)
		hello := func(w serverFrame) serverFrame {
			return p.list(fmt.Sprintf(`{"t":"hello","via":"poll","auth":"good","session":%q,"token":%q}`, w.Session, w.Token))[0]
		}
		w := hello(serverFrame{})
		post := func() int {
			resp := p.post(t.Context(), fmt.Sprintf(`{"t":"post","session":%q,"token":%q,"frames":[{"t":"ping","ts":1}]}`, w.Session, w.Token))
			resp.Body.Close()
			return resp.StatusCode
		}
		if got := post(); got != http.StatusOK {
			t.Errorf("before the kick: %d", got)
		}
		h.Kick("l")
		if got := post(); got != http.StatusGone {
			t.Errorf("after it: %d", got)
		}
		if again := hello(w); again.Session != w.Session {
			t.Error("the session changed")
		}
		if got := post(); got != http.StatusOK {
			t.Errorf("after another hello: %d", got)
		}
		until = time.Now().Add(time.Second)
		hello(w)
		advance(2 * time.Second)
		if got := post(); got != http.StatusGone {
			t.Errorf("when the login has expired: %d", got)
		}
	})
}

// TestOneLargeMessageKeepsNoOthers: the topic with the most bytes has nothing
// to spare.
func TestOneLargeMessageKeepsNoOthers(t *testing.T) {
	h := NewHub(&HubOptions{HistoryBytes: 64 << 10})
	defer h.Shutdown(t.Context())
	large := mustTopic(t, h, "large", Position{"e1", 0}, nil)
	if err := large.Publish(1, strings.Repeat("x", 40<<10)); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		topic := mustTopic(t, h, fmt.Sprint("t", i), Position{"e1", 0}, nil)
		for o := range uint64(10) {
			if err := topic.Publish(o+1, strings.Repeat("x", 2<<10)); err != nil {
				t.Fatal(err)
			}
			if got := h.Stats().HistoryBytes; got > 64<<10 {
				t.Fatalf("%d bytes are held", got)
			}
		}
	}
}

// TestPingsAreAnsweredAtTheirPace: those of the WebSocket too, which gorilla/websocket
// answers, and before the hello.
func TestPingsAreAnsweredAtTheirPace(t *testing.T) {
	for _, test := range []struct {
		name   string
		greets bool
		ping   func(c *rawClient) error
	}{
		{"WebSocket", true, func(c *rawClient) error { return c.ws.WriteControl(websocket.PingMessage, nil, time.Time{}) }},
		{"before the hello", false, func(c *rawClient) error { return c.ws.WriteControl(websocket.PingMessage, nil, time.Time{}) }},
		{"pong", true, func(c *rawClient) error { return c.ws.WriteControl(websocket.PongMessage, nil, time.Time{}) }},
		{"pong frame", true, func(c *rawClient) error {
			return c.ws.WriteMessage(websocket.TextMessage, []byte(`{"t":"pong","ts":1}`))
		}},
		{"ping frame", true, func(c *rawClient) error {
			return c.ws.WriteMessage(websocket.TextMessage, []byte(`{"t":"ping","ts":1}`))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, &HubOptions{MaxFrameRate: 100, MaxFrameBurst: 200}, func(t *testing.T, n *network, h *Hub) {
				c := n.connect(t)
				if test.greets {
					c.hello(nil)
				}
				go io.Copy(io.Discard, c.ws.NetConn())
				began := time.Now()
				for range 501 {
					if err := test.ping(c); err != nil {
						t.Fatal(err)
					}
				}
				// The last may be read and wait.
				if took := time.Since(began); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
					t.Errorf("501 were read in %s", took)
				}
				if got := h.Stats().Throttled; got < 290 {
					t.Errorf("%d were throttled", got)
				}
			})
		})
	}
}

// TestOneWriteIsBoundedOverAllTopics.
func TestOneWriteIsBoundedOverAllTopics(t *testing.T) {
	h := NewHub(nil)
	defer h.Shutdown(t.Context())
	c := h.newConn(newExchange(nil, time.Second, true, 1<<20), nil, 0, "")
	for i := range 20 {
		topic := mustTopic(t, h, fmt.Sprint("t", i), Position{"e1", 0}, nil)
		if err := topic.Publish(1, strings.Repeat("x", 30<<10)); err != nil {
			t.Fatal(err)
		}
		c.subs = append(c.subs, &subscription{conn: c, topic: topic, slot: -1, ready: true})
	}
	c.writing = true
	batches := 0
	for {
		pieces, _, _ := c.collect(nil)
		if len(pieces) == 0 {
			break
		}
		if got := total(pieces); got > writeLimit+31<<10 {
			t.Errorf("%d bytes in one write", got)
		}
		batches++
	}
	if batches < 7 {
		t.Errorf("%d writes", batches)
	}
}
