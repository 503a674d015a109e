package reliablews

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask says hello with a session and returns the welcome.
func (c *rawClient) ask(f clientFrame) serverFrame {
	c.t.Helper()
	f.T = "hello"
	b, err := json.Marshal(f)
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(b))
	return c.want("welcome")
}

func mustSend(t *testing.T, h *Hub, session string, data any) {
	t.Helper()
	if err := h.Send(session, data); err != nil {
		t.Fatal(err)
	}
}

// wantDirect reads messages of the inbox up to an offset.
func (c *rawClient) wantDirect(from, to uint64) {
	c.t.Helper()
	for o := from; o <= to; o++ {
		if f := c.want("msg"); f.S != inboxTopic || f.O != o || f.P != o-1 || string(f.D) != fmt.Sprint(o) {
			c.t.Fatalf("got %+v, want message %d of the inbox", f, o)
		}
	}
}

func TestAnInboxWaitsForItsClient(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		first := n.connect(t)
		w := first.hello(map[string]*Position{inboxTopic: nil})
		if s := w.Topics[inboxTopic]; s != (topicState{Epoch: w.Session, Resumed: true}) {
			t.Fatalf("the inbox begins at %+v", s)
		}
		mustSend(t, h, w.Session, 1)
		mustSend(t, h, w.Session, 2)
		first.wantDirect(1, 2)
		first.ws.Close()
		synctest.Wait()
		mustSend(t, h, w.Session, 3)

		second := n.connect(t)
		again := second.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{inboxTopic: {w.Session, 1}}})
		if s := again.Topics[inboxTopic]; s != (topicState{Epoch: w.Session, Offset: 1, Resumed: true}) {
			t.Fatalf("resumed at %+v", s)
		}
		second.wantDirect(2, 3)
		second.send(`{"t":"ack","pos":{"@":2}}`)
		synctest.Wait()
		second.ws.Close()
		synctest.Wait()

		// A client that has lost its position gets what it has not acknowledged.
		third := n.connect(t)
		third.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{inboxTopic: nil}})
		third.wantDirect(3, 3)
		if err := h.Send("nobody", 1); !errors.Is(err, ErrNoSession) {
			t.Errorf("a session that is not there: %v", err)
		}
		if err := h.Send(w.Session, strings.Repeat("x", 1<<20)); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a message over the limit: %v", err)
		}
		if s := h.Stats(); s.Sent != 3 || s.InboxDropped != 0 || s.Sessions != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// A client that does not know yet that it has another session acknowledges what
// it had in the one before.
func TestAnInboxKeepsWhatWasNotSent(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		c := n.connect(t)
		w := c.ask(clientFrame{Session: "another", Token: "secret"}) // without its inbox yet
		mustSend(t, h, w.Session, 1)
		c.send(`{"t":"ack","pos":{"@":7}}`)
		c.send(`{"t":"ping","ts":1,"pos":{"@":1}}`)
		c.want("pong")
		again := n.connect(t)
		again.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{"@": nil}})
		again.wantDirect(1, 1)
		again.send(`{"t":"ping","ts":1,"pos":{"@":1}}`)
		again.want("pong")
		h.sessions.each(w.Session, "", func(s *session) {
			box := s.inbox.Load()
			box.mu.Lock()
			defer box.mu.Unlock()
			if len(box.messages) != 0 {
				t.Errorf("%d messages are held that were acknowledged", len(box.messages))
			}
		})
	})
}

func TestAnInboxIsBounded(t *testing.T) {
	inBubble(t, &HubOptions{MaxInbox: 3, MaxInboxBytes: 1 << 10}, func(t *testing.T, n *network, h *Hub) {
		c := n.connect(t)
		w := c.hello(map[string]*Position{inboxTopic: nil})
		c.ws.Close()
		synctest.Wait()
		back := func(offset uint64) *rawClient {
			c := n.connect(t)
			c.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{inboxTopic: {w.Session, offset}}})
			return c
		}
		for o := range 5 {
			mustSend(t, h, w.Session, o+1)
		}
		c = back(0)
		if f := c.want("gap"); f.S != inboxTopic || f.P != 0 || f.O != 2 || f.E != w.Session || f.Reason != reasonFull {
			t.Errorf("got %+v", f)
		}
		c.wantDirect(3, 5)
		c.ws.Close()
		synctest.Wait()
		mustSend(t, h, w.Session, strings.Repeat("x", 800))
		mustSend(t, h, w.Session, strings.Repeat("x", 800))
		if s := h.Stats(); s.InboxDropped != 2+2+2 { // 3 and 4 by number, 5 and 6 by bytes
			t.Errorf("%d were dropped", s.InboxDropped)
		}
		// What waits longer than the lifetime goes with the next sweep, and a client
		// that is connected without having acknowledged it is not told of what it has.
		advance(30 * time.Second)
		c = back(6)
		if f := c.want("msg"); f.O != 7 {
			t.Errorf("got %+v", f)
		}
		go func() {
			for range 12 {
				c.want("ping")
				c.send(`{"t":"pong","ts":1}`)
			}
			c.want("msg")
		}()
		advance(6*time.Minute + time.Second)
		mustSend(t, h, w.Session, 8)
		synctest.Wait()
		if s := h.Stats(); s.InboxDropped != 7 || s.Gaps != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// TestAllInboxesAreBoundedTogether: over the bound the largest have less, and are
// told; the small ones keep what they have.
func TestAllInboxesAreBoundedTogether(t *testing.T) {
	const bound = 16 << 10
	inBubble(t, &HubOptions{InboxBytes: bound}, func(t *testing.T, n *network, h *Hub) {
		join := func() (*rawClient, serverFrame) {
			c := n.connect(t)
			return c, c.hello(map[string]*Position{inboxTopic: nil})
		}
		away := func() serverFrame {
			c, w := join()
			c.ws.Close()
			synctest.Wait()
			return w
		}
		small, large := away(), away()
		online, w := join()
		mustSend(t, h, small.Session, 1)
		for range 10 {
			mustSend(t, h, large.Session, strings.Repeat("x", 1000))
		}
		const rounds = 30
		for range rounds { // nobody reads, but for one that is written already
			mustSend(t, h, w.Session, strings.Repeat("x", 1000))
			if got := h.Stats().InboxBytes; got > bound {
				t.Fatalf("%d bytes are held", got)
			}
		}
		if got := h.Stats().InboxDropped; got < rounds+10-16 {
			t.Errorf("%d were dropped", got)
		}
		at, gaps := uint64(0), 0
		for at < rounds {
			f := online.next()
			if f.T == "gap" {
				if gaps++; f.Reason != reasonFull || f.P != at {
					t.Errorf("after %d came %+v", at, f)
				}
			} else if f.P != at {
				t.Errorf("after %d came %+v", at, f)
			}
			at = f.O
		}
		if gaps == 0 {
			t.Error("nobody was told of the gap")
		}
		back := func(w serverFrame) *rawClient {
			c := n.connect(t)
			c.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{inboxTopic: {w.Session, 0}}})
			return c
		}
		back(small).wantDirect(1, 1)
		if f := back(large).want("gap"); f.Reason != reasonFull || f.O < 2 || f.O > 6 {
			t.Errorf("got %+v", f)
		}
		n.cut()
		synctest.Wait()
		advance(5*time.Minute + 2*sessionSweep)
		if s := h.Stats(); s.InboxBytes != 0 || s.Sessions != 0 {
			t.Errorf("in the end there are %+v", s)
		}
	})
}

func TestAnInboxExpires(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		c := n.connect(t)
		w := c.hello(map[string]*Position{inboxTopic: nil})
		mustSend(t, h, w.Session, 1)
		c.wantDirect(1, 1)
		advance(30 * time.Second)
		c.ws.Close()
		synctest.Wait()
		mustSend(t, h, w.Session, 2)
		advance(4*time.Minute + 59*time.Second) // the session lives
		c = n.connect(t)
		again := c.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{inboxTopic: {w.Session, 1}}})
		if again.Session != w.Session {
			t.Fatal("the session was forgotten early")
		}
		c.wantDirect(2, 2)
		c.ws.Close()
		synctest.Wait()
		mustSend(t, h, w.Session, 3)
		advance(6 * time.Minute)
		c = n.connect(t)
		again = c.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{inboxTopic: {w.Session, 2}}})
		if again.Session == w.Session || again.Topics[inboxTopic].Resumed {
			t.Fatalf("the session was kept: %+v", again)
		}
		if f := c.want("gap"); f.S != inboxTopic || f.E != again.Session || f.O != 0 || f.Reason != reasonEpoch {
			t.Errorf("got %+v", f)
		}
		if s := h.Stats(); s.InboxDropped != 3 { // none was acknowledged in time
			t.Errorf("got %+v", s)
		}
	})
}

func TestSendUserReachesEverySession(t *testing.T) {
	o := &HubOptions{Authorize: func(r *http.Request) (Identity, error) {
		return Identity{User: r.Header.Get("User")}, nil
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		tabs := []*rawClient{n.connectAs(t, "ann"), n.connectAs(t, "ann"), n.connectAs(t, "bob")}
		for _, c := range tabs {
			c.hello(map[string]*Position{inboxTopic: nil})
		}
		if got, err := h.SendUser("ann", 1); got != 2 || err != nil {
			t.Errorf("ann has %d sessions, %v", got, err)
		}
		if got, err := h.SendUser("", 1); got != 0 || err != nil {
			t.Errorf("strangers have %d sessions, %v", got, err)
		}
		tabs[0].wantDirect(1, 1)
		tabs[1].wantDirect(1, 1)
		mustUser, err := h.SendUser("bob", 1)
		if mustUser != 1 || err != nil {
			t.Errorf("bob has %d sessions, %v", mustUser, err)
		}
		tabs[2].wantDirect(1, 1)
	})
}
