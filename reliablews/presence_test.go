package reliablews

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// connectAs opens a connection of a user, for hubs whose Authorize reads it.
func (n *network) connectAs(t testing.TB, user string) *rawClient {
	t.Helper()
	d := n.dialer()
	d.Subprotocols = []string{Subprotocol}
	ws, _, err := d.Dial("ws://memory/", http.Header{"User": {user}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return &rawClient{t, ws}
}

func TestPresenceIsOfUsersOverTheirTabs(t *testing.T) {
	var mu sync.Mutex
	var told []string
	o := &HubOptions{
		Authorize: func(r *http.Request) (Identity, error) { return Identity{User: r.Header.Get("User")}, nil },
		OnPresence: func(user string, here bool) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, map[bool]string{true: "+", false: "-"}[here]+user)
		},
	}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		want := func(events ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, events) {
				t.Errorf("told %q, want %q", told, events)
			}
			told = nil
		}
		ann := n.connectAs(t, "ann")
		ann.hello(nil)
		second := n.connectAs(t, "ann")
		second.hello(nil)
		n.connectAs(t, "").hello(nil)
		want("+ann")
		if got := h.Present(); len(got) != 1 || got[0].User != "ann" || got[0].Connections != 2 || !h.Online("ann") {
			t.Errorf("present are %+v", got)
		}
		ann.ws.Close()
		advance(20 * time.Second)
		want()
		second.ws.Close()
		synctest.Wait()
		advance(4 * time.Second) // a page that is loaded again
		again := n.connectAs(t, "ann")
		again.hello(nil)
		advance(10 * time.Second)
		want()
		again.ws.Close()
		synctest.Wait()
		advance(5*time.Second - time.Nanosecond)
		want()
		advance(time.Nanosecond)
		want("-ann")
		if h.Online("ann") || len(h.Present()) != 0 {
			t.Error("ann is still there")
		}
	})
}

// TestPresenceDoesNotPileUp while OnPresence takes its time.
func TestPresenceDoesNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		release := make(chan struct{})
		p := newPresence(time.Second, func(user string, here bool) {
			<-release
			told = append(told, map[bool]string{true: "+", false: "-"}[here]+user)
		})
		p.join("ann")
		synctest.Wait() // it is being told
		p.join("bob")
		for i := range 100 {
			p.join(fmt.Sprint("guest ", i))
			p.leave(fmt.Sprint("guest ", i))
		}
		advance(2 * time.Second)
		for range 101 { // in the end she is gone
			p.leave("ann")
			advance(2 * time.Second)
			p.join("ann")
		}
		p.leave("ann")
		advance(2 * time.Second)
		p.mu.Lock()
		if got := p.news.Len(); got != 2 || len(p.waiting) != 2 {
			t.Errorf("%d wait to be told, want bob and ann", got)
		}
		p.mu.Unlock()
		close(release)
		p.close()
		if want := []string{"+ann", "+bob", "-ann"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if len(p.waiting) != 0 {
			t.Errorf("%d are still there", len(p.waiting))
		}
	})
}

func TestShutdownTellsThatEverybodyIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0 // what Shutdown waits for needs no lock
		h := NewHub(&HubOptions{
			Authorize: func(r *http.Request) (Identity, error) { return Identity{User: r.Header.Get("User")}, nil },
			OnPresence: func(user string, here bool) {
				advance(time.Second)
				told++
			},
		})
		n := new(network)
		stop := n.serve(h)
		defer stop()
		c := n.connectAs(t, "ann")
		c.hello(nil)
		go c.closed()
		if err := h.Shutdown(t.Context()); err != nil || told != 2 {
			t.Errorf("told %d times, %v", told, err)
		}
	})
}

func TestACredentialMayComeWithTheHello(t *testing.T) {
	o := &HubOptions{Authorize: func(r *http.Request) (Identity, error) {
		switch r.Header.Get("Authorization") {
		case "":
			return Identity{}, ErrLater
		case "Bearer good":
			return Identity{User: "ann", Topics: []string{"feed"}}, nil
		}
		return Identity{}, http.ErrNoCookie
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		mustTopic(t, h, "staff", Position{"e1", 0}, nil)
		c := n.connect(t)
		w := c.ask(clientFrame{Auth: "good", Topics: map[string]*Position{"feed": nil, "staff": nil}})
		if len(w.Topics) != 1 || !slices.Equal(w.Denied, []string{"staff"}) || !h.Online("ann") {
			t.Errorf("got %+v", w)
		}
		for _, hello := range []string{`{"t":"hello","auth":"bad"}`, `{"t":"hello"}`} {
			c := n.connect(t)
			c.send(hello)
			if code := c.closed(); code != CloseUnauthorized {
				t.Errorf("%s was closed with %d, want %d", hello, code, CloseUnauthorized)
			}
		}
	})
}

func TestCompressedMessages(t *testing.T) {
	inBubble(t, &HubOptions{Compression: true, MaxFrameBytes: 1 << 10}, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		d := n.dialer()
		d.Subprotocols = []string{Subprotocol}
		d.EnableCompression = true
		ws, resp, err := d.Dial("ws://memory/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if resp.Header.Get("Sec-WebSocket-Extensions") == "" {
			t.Fatal("compression was not agreed upon")
		}
		packed, plain := &rawClient{t, ws}, n.connect(t)
		for _, c := range []*rawClient{packed, plain} {
			c.hello(map[string]*Position{"feed": {"e1", 0}})
		}
		zeros := make([]int, 1000)
		if err := topic.Publish(1, zeros); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, topic, 2)
		for _, c := range []*rawClient{packed, plain} {
			if f := c.want("msg"); f.O != 1 || len(f.D) != 2001 {
				t.Errorf("got %d bytes", len(f.D))
			}
			if f := c.want("msg"); f.O != 2 || string(f.D) != "2" {
				t.Errorf("got %+v", f)
			}
		}
		// A frame that unpacks to more than the limit.
		ws.EnableWriteCompression(true)
		if err := ws.WriteJSON(map[string]any{"t": "ack", "zeros": zeros}); err != nil {
			t.Fatal(err)
		}
		if code := packed.closed(); code != websocket.CloseMessageTooBig {
			t.Errorf("closed with %d, want %d", code, websocket.CloseMessageTooBig)
		}
	})
}

// Somebody whose timer runs in the moment of Shutdown is told of before that
// returns, and once.
func TestNothingIsToldOfPresenceAfterShutdown(t *testing.T) {
	var told []string
	p := newPresence(time.Hour, func(user string, here bool) { told = append(told, fmt.Sprint(user, here)) })
	p.join("ann")
	p.leave("ann")
	p.users["ann"].leaving.Stop() // as a timer that has fired and waits for the lock
	p.close()
	if want := []string{"anntrue", "annfalse"}; !slices.Equal(told, want) && len(told) > 0 {
		t.Errorf("told %q, want %q", told, want)
	}
	if len(p.users) != 0 {
		t.Error("ann is told of later, when nobody waits for it")
	}
}
