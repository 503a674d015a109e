package reliablews

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestTheLongestAwayMakesRoom: a new session takes the place of the one that has
// been without a connection for longest, and of none that has one.
func TestTheLongestAwayMakesRoom(t *testing.T) {
	inBubble(t, &HubOptions{MaxSessions: 3}, func(t *testing.T, n *network, h *Hub) {
		var clients []*rawClient
		var welcomes []serverFrame
		join := func() {
			c := n.connect(t)
			welcomes = append(welcomes, c.hello(map[string]*Position{inboxTopic: nil}))
			clients = append(clients, c)
		}
		for range 3 {
			join()
		}
		for _, i := range []int{1, 0, 2} { // in this order they go away
			clients[i].ws.Close()
			synctest.Wait()
			advance(time.Second)
		}
		mustSend(t, h, welcomes[0].Session, "lost")
		back := n.connect(t) // the longest away is back
		if w := back.ask(clientFrame{Session: welcomes[1].Session, Token: welcomes[1].Token}); w.Session != welcomes[1].Session {
			t.Error("a session was lost before there were too many")
		}
		join()
		if s := h.Stats(); s.Sessions != 3 || s.SessionsEvicted != 1 || s.InboxDropped != 1 {
			t.Errorf("got %+v", s)
		}
		late := n.connect(t)
		w := late.ask(clientFrame{Session: welcomes[0].Session, Token: welcomes[0].Token, Topics: map[string]*Position{inboxTopic: {welcomes[0].Session, 0}}})
		if w.Session == welcomes[0].Session {
			t.Error("the longest away was kept")
		}
		if f := late.want("gap"); f.S != inboxTopic || f.Reason != reasonEpoch {
			t.Errorf("got %+v", f)
		}
		if s := h.Stats(); s.Sessions != 3 || s.SessionsEvicted != 2 || s.SessionsRefused != 0 {
			t.Errorf("got %+v", s)
		}

		// Now each has a connection.
		c := n.connect(t)
		c.send(`{"t":"hello"}`)
		if code := c.closed(); code != websocket.CloseTryAgainLater {
			t.Errorf("one too many was closed with %d", code)
		}
		p := n.poster(t)
		for _, via := range []string{viaStream, viaPoll} {
			resp := p.post(t.Context(), fmt.Sprintf(`{"t":"hello","via":%q}`, via))
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "30" {
				t.Errorf("a %s: %s, Retry-After %q", via, resp.Status, resp.Header.Get("Retry-After"))
			}
		}
		synctest.Wait()
		if s := h.Stats(); s.Sessions != 3 || s.SessionsRefused != 3 || s.Connections != 3 {
			t.Errorf("got %+v", s)
		}
		back.ws.Close()
		synctest.Wait()
		join()
	})
}

// TestAPollWaitsWhenThereAreManySessions: it kept its session, so that it is not
// a newcomer each time, which is answered at once.
func TestAPollWaitsWhenThereAreManySessions(t *testing.T) {
	inBubble(t, &HubOptions{MaxSessions: 1}, func(t *testing.T, n *network, h *Hub) {
		n.connect(t).hello(nil)
		n.cut()
		synctest.Wait()
		p := n.poster(t)
		w := p.list(`{"t":"hello","via":"poll"}`)[0]
		began := time.Now()
		again := p.list(fmt.Sprintf(`{"t":"hello","via":"poll","session":%q,"token":%q}`, w.Session, w.Token))[0]
		if again.Session != w.Session || time.Since(began) != 25*time.Second {
			t.Errorf("another session %t, after %s", again.Session != w.Session, time.Since(began))
		}
	})
}

// A client that goes on with a session which another had meanwhile is not taken
// for one that the network held back; one whose clock was set back is, and comes
// to a new session by itself.
func TestASessionGoesFromClientToClientAndBack(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		inbox := map[string]Position{inboxTopic: {}}
		run := func(c *Client) {
			t.Helper()
			stop := runClient(c)
			synctest.Wait()
			if got := c.State(); got.Status != Live {
				t.Errorf("got %+v", got)
			}
			stop()
			advance(time.Minute)
		}
		first := NewClient("ws://memory/", newListener().options(n, inbox))
		run(first)
		o := newListener().options(n, inbox)
		o.Session = first.Session()
		run(NewClient("ws://memory/", o))
		was := first.Session()
		run(first)
		if got := first.Session(); got != was {
			t.Errorf("the session was lost: %s, then %s", was.ID, got.ID)
		}

		c := n.connect(t) // as of a clock that goes an hour ahead
		c.ask(clientFrame{Session: was.ID, Token: was.Token, N: uint64(time.Now().Add(time.Hour).UnixMilli())})
		c.ws.Close()
		synctest.Wait()
		mustSend(t, h, was.ID, "lost")
		l := newListener()
		o = l.options(n, map[string]Position{inboxTopic: {was.ID, 0}})
		o.Session = was
		behind := NewClient("ws://memory/", o)
		stop := runClient(behind)
		defer stop()
		l.wait(1)
		id := behind.Session().ID
		if want := fmt.Sprintf("gap @ 0 %s/0 epoch", id); id == was.ID || l.all()[0] != want {
			t.Errorf("in session %s: got %q, want %q", id, l.all(), want)
		}
		advance(time.Hour)
		if s := behind.Stats(); s.Connections != 1 || behind.Session().ID != id {
			t.Errorf("it goes on and on: %+v", s)
		}
	})
}
