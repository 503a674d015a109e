package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (c *rawClient) wantDone(n uint64, want string) {
	c.t.Helper()
	f := c.want("done")
	got := string(f.D)
	if f.Refused != "" {
		got = f.Refused + ": " + f.Error
	}
	if f.N != n || got != want {
		c.t.Errorf("answer %d is %q, want %d %q", f.N, got, n, want)
	}
}

func TestAMessageIsHandledOnceAndAnswered(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		var handled []string
		h.Handle("say", func(_ context.Context, r *Request) (any, error) {
			handled = append(handled, r.ID+" "+string(r.Data))
			return len(handled), nil
		})
		h.Handle("refuse", func(context.Context, *Request) (any, error) {
			return nil, &ReplyError{"closed", "The contest is closed."}
		})
		h.Handle("fail", func(context.Context, *Request) (any, error) { return nil, errors.New("the secret is 42") })
		h.Handle("panic", func(context.Context, *Request) (any, error) { panic("the secret is 42") })
		h.Handle("large", func(context.Context, *Request) (any, error) { return strings.Repeat("x", 1<<20), nil })
		c := n.connect(t)
		w := c.hello(nil)
		if w.Window != 64 {
			t.Errorf("the window is %d", w.Window)
		}
		c.send(`{"t":"send","c":"k","n":1,"m":"say","d":{"a":1}}`)
		c.wantDone(1, "1")
		c.send(`{"t":"send","c":"k","n":1,"m":"say","d":{"a":1}}`)
		c.wantDone(1, "1")
		for i, want := range []string{
			"closed: The contest is closed.",
			"internal: The server could not do that.",
			"internal: The server could not do that.",
			"internal: The server could not do that.",
			"unknown: Nothing here handles that message.",
		} {
			name := []string{"refuse", "fail", "panic", "large", "nothing"}[i]
			c.send(fmt.Sprintf(`{"t":"send","c":"k","n":%d,"m":"%s"}`, i+2, name))
			c.wantDone(uint64(i+2), want)
		}
		c.ws.Close()

		// The session remembers over connections.
		c = n.connect(t)
		c.ask(clientFrame{Session: w.Session, Token: w.Token})
		c.send(`{"t":"send","c":"k","n":1,"m":"say","d":{"a":1}}`)
		c.wantDone(1, "1")
		c.send(`{"t":"send","c":"k","n":2,"m":"refuse"}`)
		c.wantDone(2, "closed: The contest is closed.")
		c.send(`{"t":"send","c":"another","n":1,"m":"say","d":2}`)
		c.wantDone(1, "2")
		if want := []string{`k.1 {"a":1}`, "another.1 2"}; !slices.Equal(handled, want) {
			t.Errorf("handled %q, want %q", handled, want)
		}
		if s := h.Stats(); s.Received != 7 || s.Repeated != 3 || s.HandlerErrors != 3 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestAMessageOlderThanTheWindowIsRefused(t *testing.T) {
	inBubble(t, &HubOptions{Window: 4}, func(t *testing.T, n *network, h *Hub) {
		h.Handle("say", func(context.Context, *Request) (any, error) { return nil, nil })
		c := n.connect(t)
		c.hello(nil)
		for i := range uint64(6) {
			c.send(fmt.Sprintf(`{"t":"send","c":"k","n":%d,"m":"say"}`, i+1))
			c.wantDone(i+1, "")
		}
		c.send(`{"t":"send","c":"k","n":3,"m":"say"}`) // 3, 4, 5, 6 may be repeated
		c.wantDone(3, "")
		c.send(`{"t":"send","c":"k","n":2,"m":"say"}`)
		if code := c.closed(); code != CloseProtocol {
			t.Errorf("closed with %d, want %d", code, CloseProtocol)
		}
	})
}

// A page that the browser kept comes back behind others that had its session.
func TestEachOfSeveralClientsOfASessionIsHandledOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		var handled []string
		h.Handle("say", func(_ context.Context, r *Request) (any, error) {
			handled = append(handled, r.ID)
			return len(handled), nil
		})
		c := n.connect(t)
		c.hello(nil)
		say := func(client string, n uint64, want string) {
			t.Helper()
			c.send(fmt.Sprintf(`{"t":"send","c":%q,"n":%d,"m":"say"}`, client, n))
			c.wantDone(n, want)
		}
		say("a", 1, "1")
		say("b", 1, "2")
		say("a", 1, "1")
		say("b", 1, "2")
		say("a", 2, "3")
		say("c", 1, "4")
		say("d", 1, "5")
		say("e", 1, "6") // b was silent for longest
		say("a", 2, "3")
		say("e", 1, "6")
		if want := []string{"a.1", "b.1", "a.2", "c.1", "d.1", "e.1"}; !slices.Equal(handled, want) {
			t.Errorf("handled %q, want %q", handled, want)
		}
		say("b", 1, "7")
		for i := range 10 { // and the one that sends is never the one to be forgotten
			say(fmt.Sprint("f", i), 1, fmt.Sprint(8+i))
			say(fmt.Sprint("f", i), 1, fmt.Sprint(8+i))
		}
		if s := h.Stats(); s.Received != 17 || s.Repeated != 14 {
			t.Errorf("got %+v", s)
		}
	})
}

// Whoever waits for its turn behind a handler ends with its connection or its
// request, and what it brought is not handled.
func TestARepeatStopsWaitingWithWhatBroughtIt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		release := make(chan struct{})
		calls := 0
		h.Handle("slow", func(context.Context, *Request) (any, error) {
			calls++
			<-release
			return calls, nil
		})
		const message = `{"t":"send","c":"k","n":1,"m":"slow"}`
		first := n.connect(t)
		w := first.hello(nil)
		first.send(message)
		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		posted := make(chan error, 1)
		go func() {
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://memory/", strings.NewReader(
				fmt.Sprintf(`{"t":"post","session":%q,"token":%q,"frames":[%s]}`, w.Session, w.Token, message)))
			r.Header.Set("Content-Type", "application/json")
			_, err := n.poster(t).http.Do(r)
			posted <- err
		}()
		second := n.connect(t)
		second.ask(clientFrame{Session: w.Session, Token: w.Token})
		second.send(message)
		synctest.Wait()
		third := n.connect(t) // takes over: the second ends
		third.ask(clientFrame{Session: w.Session, Token: w.Token})
		cancel()
		if err := <-posted; err == nil {
			t.Error("the post was answered")
		}
		if code := second.closed(); code != CloseTakenOver {
			t.Errorf("closed with %d", code)
		}
		second.ws.Close()
		advance(2 * lingering)
		h.mu.Lock()
		entered := len(h.conns)
		h.mu.Unlock()
		if entered != 2 { // the first, whose handler is at work, and the third
			t.Errorf("%d connections are left", entered)
		}
		close(release)
		third.send(message)
		third.wantDone(1, "1")
	})
}

// TestARepeatWaitsForTheFirst: the connection broke while the handler was at
// work, and the client asks again at once.
func TestARepeatWaitsForTheFirst(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		calls := 0
		h.Handle("slow", func(ctx context.Context, _ *Request) (any, error) {
			calls++
			advance(10 * time.Second)
			return calls, ctx.Err()
		})
		first := n.connect(t)
		w := first.hello(nil)
		first.send(`{"t":"send","c":"k","n":1,"m":"slow"}`)
		synctest.Wait()
		first.ws.Close()
		second := n.connect(t)
		second.ask(clientFrame{Session: w.Session, Token: w.Token})
		second.send(`{"t":"send","c":"k","n":1,"m":"slow"}`)
		began := time.Now()
		second.wantDone(1, "1")
		if took := time.Since(began); took != 10*time.Second || calls != 1 {
			t.Errorf("the answer took %s and %d calls", took, calls)
		}
	})
}

// Answers are held within a bound; what is handled is known all the same.
func TestLargeAnswersAreNotHeldForEver(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		calls := 0
		h.Handle("large", func(context.Context, *Request) (any, error) {
			calls++
			return strings.Repeat("x", 100<<10), nil
		})
		c := n.connect(t)
		c.hello(nil)
		for i := range 5 {
			c.send(fmt.Sprintf(`{"t":"send","c":"k","n":%d,"m":"large"}`, i+1))
			c.want("done")
		}
		c.send(`{"t":"send","c":"k","n":1,"m":"large"}`)
		c.wantDone(1, "forgotten: The message was handled; its answer is not held any more.")
		c.send(`{"t":"send","c":"k","n":5,"m":"large"}`)
		if f := c.want("done"); len(f.D) < 100<<10 {
			t.Errorf("the latest answer is gone: %+v", f)
		}
		if calls != 5 {
			t.Errorf("%d calls", calls)
		}
		h.sessions.mu.Lock()
		defer h.sessions.mu.Unlock()
		for _, s := range h.sessions.byID {
			if held := s.answers.Load().bytes; held > maxAnswers {
				t.Errorf("%d bytes are held", held)
			}
		}
	})
}

func TestHandlersAreRegisteredOnce(t *testing.T) {
	h := NewHub(nil)
	f := func(context.Context, *Request) (any, error) { return nil, nil }
	h.Handle("say", f)
	for name, f := range map[string]Handler{"say": f, "": f, strings.Repeat("x", 65): f, "nil": nil} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Handle(%q) did not panic", name)
				}
			}()
			h.Handle(name, f)
		}()
	}
}

func TestFramesThatComeTooFastAreHandledLater(t *testing.T) {
	inBubble(t, &HubOptions{MaxFrameRate: 10, MaxFrameBurst: 5}, func(t *testing.T, n *network, h *Hub) {
		h.Handle("say", func(_ context.Context, r *Request) (any, error) { return json.RawMessage(r.Data), nil })
		c := n.connect(t)
		c.hello(nil)
		began := time.Now()
		go func() {
			for i := range 25 {
				c.send(fmt.Sprintf(`{"t":"send","c":"k","n":%d,"m":"say","d":%d}`, i+1, i+1))
			}
		}()
		for i := range uint64(25) {
			c.wantDone(i+1, fmt.Sprint(i+1))
		}
		if took := time.Since(began); took != 2*time.Second { // 5 at once, 20 at 10 a second
			t.Errorf("25 frames took %s", took)
		}
		if s := h.Stats(); s.Throttled != 20 {
			t.Errorf("got %+v", s)
		}
	})
}
