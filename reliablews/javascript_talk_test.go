package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/contestkit/contestkit/reliablews/internal/middlebox"
)

// answering is a hub that answers, and counts how often it did.
func answering(t *testing.T, o HubOptions, heard *atomic.Int64) (*Hub, *Topic) {
	t.Helper()
	h := NewHub(&o)
	h.Handle("say", func(_ context.Context, r *Request) (any, error) {
		heard.Add(1)
		if string(r.Data) == `"no"` {
			return nil, &ReplyError{Refused: "closed", Text: "The contest is closed."}
		}
		return r.Data, nil
	})
	h.Handle("me", func(_ context.Context, r *Request) (any, error) {
		return nil, h.Send(r.Session, map[string]string{"to": r.User})
	})
	return h, mustTopic(t, h, "feed", Position{"e1", 0}, nil)
}

func TestJavaScriptClientTalksToARealHub(t *testing.T) {
	var heard atomic.Int64
	h, feed := answering(t, quickOptions, &heard)
	l := &loopback{t: t}
	l.serve(h)
	defer func() { l.stop() }()
	c := startJS(t, l.url(), map[string]*Position{"feed": {"e1", 0}, "@": nil})
	c.until(Live)
	c.tell(`{"send":"say","data":{"text":"é→𝄞"}}`)
	c.want(`answer {"text":"é→𝄞"}`)
	c.tell(`{"send":"say","data":"no"}`)
	c.want(`answer "The contest is closed." closed`)
	c.tell(`{"send":"nothing"}`)
	if e := c.next(); e.Reason != RefusedUnknown {
		t.Errorf("got %s, want a refusal as %s", e, RefusedUnknown)
	}

	// The inbox of its session: what comes, and what comes while it is away.
	c.tell(`{"send":"me"}`)
	e, answer := c.next(), c.next()
	if e.Event == "answer" { // topics and answers have no order among them
		e, answer = answer, e
	}
	if e.Topic != "@" || e.Position.Offset != 1 || string(e.Data) != `{"to":""}` || answer.String() != "answer null" {
		t.Errorf("got %s and %s", e, answer)
	}
	session := e.Position.Epoch // of an inbox: the session
	l.cut()
	if err := h.Send(session, "while away"); err != nil {
		t.Fatal(err)
	}
	feed.Publish(1, 1)
	got := map[string]bool{c.next().String(): true, c.next().String(): true}
	if !got["message feed e1/1 1"] || !got[`message @ `+session+`/2 "while away"`] {
		t.Errorf("got %v", got)
	}

	// What it says while the server is down is handled by the next one, once.
	l.stop()
	c.until(Waiting)
	before := heard.Load()
	c.tell(`{"send":"say","data":7}`)
	h, _ = answering(t, quickOptions, &heard)
	l.serve(h)
	// The session is another one, and with it the inbox.
	for range 2 {
		switch e := c.next(); e.Event {
		case "answer":
			if string(e.Data) != "7" {
				t.Errorf("got %s", e)
			}
		case "gap":
			if e.Topic != "@" || e.Reason != "epoch" {
				t.Errorf("got %s", e)
			}
		default:
			t.Errorf("got %s", e)
		}
	}
	if n := heard.Load() - before; n != 1 {
		t.Errorf("it was handled %d times", n)
	}
	c.close()
}

// A credential comes with the hello. One that is not good any more is replaced.
func TestJavaScriptClientBringsTokensToARealHub(t *testing.T) {
	var good atomic.Value
	good.Store("first")
	o := quickOptions
	o.Authorize = func(r *http.Request) (Identity, error) {
		token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !given:
			return Identity{}, ErrLater
		case token != good.Load():
			return Identity{}, errors.New("not this one")
		}
		return Identity{User: "ada", Topics: []string{"feed"}, Login: token}, nil
	}
	var heard atomic.Int64
	h, feed := answering(t, o, &heard)
	l := &loopback{t: t}
	l.serve(h)
	defer func() { l.stop() }()
	c := startJS(t, l.url(), map[string]*Position{"feed": {"e1", 0}, "@": nil}, "--tokens")
	asked := func() {
		t.Helper()
		for {
			if e := c.any(); e.Event == "token" {
				return
			} else if e.Event != "state" {
				t.Fatalf("got %s, want that it asks for a token", e)
			}
		}
	}
	asked()
	c.tell(`{"token":"wrong"}`)
	asked()
	c.tell(`{"token":"first"}`)
	c.until(Live)
	c.tell(`{"send":"me"}`)
	e, answer := c.next(), c.next()
	if e.Event == "answer" {
		e, answer = answer, e
	}
	if string(e.Data) != `{"to":"ada"}` || answer.String() != "answer null" {
		t.Errorf("got %s and %s", e, answer)
	}

	good.Store("second")
	if n := h.Kick("first"); n != 1 {
		t.Errorf("kicked %d", n)
	}
	asked()
	feed.Publish(1, 1)
	c.tell(`{"token":"second"}`)
	c.want("message feed e1/1 1")
	c.close()
}

// TestJavaScriptClientBehindAProxy has no WebSockets, then no streams either,
// then WebSockets again, with the real hub behind all of it.
func TestJavaScriptClientBehindAProxy(t *testing.T) {
	var heard atomic.Int64
	h, feed := answering(t, quickOptions, &heard)
	l := &loopback{t: t}
	l.serve(h)
	defer func() { l.stop() }()
	proxy, err := middlebox.New("http://" + l.addr)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(proxy)
	defer front.Close()
	defer front.CloseClientConnections()
	defer proxy.CutWebSockets()
	proxy.BlockWebSockets(true)

	c := startJS(t, front.URL, map[string]*Position{"feed": {"e1", 0}, "@": nil})
	published, said := uint64(0), 0
	// works wants a message, an answer and a message of the inbox, each once and
	// in any order.
	session := ""
	works := func(via Transport) {
		t.Helper()
		for {
			if e := c.until(Live); e.Via == via {
				break
			}
		}
		published++
		said++
		feed.Publish(published, published)
		c.tell(`{"send":"say","data":%d}`, said)
		c.tell(`{"send":"me"}`)
		got := map[string]jsEvent{}
		for range 4 {
			e := c.next()
			got[e.Event+e.Topic+string(e.Data)] = e
		}
		data, _ := json.Marshal(published)
		message, inbox := got["messagefeed"+string(data)], got[`message@{"to":""}`]
		_, answered := got["answer"+string(data)]
		if _, done := got["answernull"]; !done || !answered || message.Position != (Position{"e1", published}) || inbox.Position.Offset != published {
			t.Errorf("via %q it got %v", via, got)
		}
		if session == "" {
			session = inbox.Position.Epoch
		}
		if inbox.Position.Epoch != session {
			t.Errorf("via %q it has another session", via)
		}
	}
	works(Stream)

	proxy.BufferAnswers(true)
	front.CloseClientConnections()
	works(Poll) // after 5 s without a welcome

	proxy.BlockWebSockets(false)
	c.tell(`{"minutes":1}`)
	c.want("clock")
	published++
	feed.Publish(published, published) // what is heard is an occasion to try
	if got := c.any(); got.Event != "message" {
		t.Fatalf("got %s", got)
	}
	// Its numbers in the inbox are behind those of the topic now.
	if e := c.until(Live); e.Via != "" {
		t.Errorf("it is live via %q", e.Via)
	}
	c.tell(`{"send":"me"}`)
	inbox, answer := c.next(), c.next()
	if inbox.Event == "answer" {
		inbox, answer = answer, inbox
	}
	if inbox.Position != (Position{session, 3}) || answer.String() != "answer null" {
		t.Errorf("back on a WebSocket it got %s and %s", inbox, answer)
	}
	published++
	feed.Publish(published, published)
	if e := c.next(); e.Position.Offset != published {
		t.Errorf("back on a WebSocket it got %s", e)
	}
	if n := heard.Load(); n != int64(said) {
		t.Errorf("%d messages were handled, %d were said", n, said)
	}
	c.close()
}
