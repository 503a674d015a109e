package reliablews

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// logbook keeps what a hub logs.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logbook) lines(with string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), with)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// bomb panics when it is encoded.
type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("bomb") }

// wantPanics looks for panics that were counted, and logged with their stacks.
func wantPanics(t *testing.T, h *Hub, l *logbook, n int) {
	t.Helper()
	if got := h.Stats().Panics; got != uint64(n) {
		t.Errorf("%d panics are counted, want %d", got, n)
	}
	if got := l.lines("contain_test.go"); got < n {
		t.Errorf("%d lines of stacks are logged, want at least %d: %s", got, n, l.b.String())
	}
}

func TestASnapshotThatPanicsIsMadeAgain(t *testing.T) {
	l := new(logbook)
	inBubble(t, &HubOptions{Logger: l.logger()}, func(t *testing.T, n *network, h *Hub) {
		calls := 0
		mustTopic(t, h, "feed", Position{"e1", 5}, &TopicOptions{Snapshot: func(context.Context) (Position, any, error) {
			switch calls++; calls {
			case 1:
				panic("not yet")
			case 2:
				return Position{"e1", 5}, bomb{}, nil
			}
			return Position{"e1", 5}, "five", nil
		}})
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": nil})
		if f := c.want("snap"); f.O != 5 || string(f.D) != `"five"` {
			t.Errorf("got %+v", f)
		}
		if s := h.Stats(); s.Panics != 2 || s.SnapshotErrors != 2 {
			t.Errorf("got %+v", s)
		}
		if l.lines("contain_test.go") == 0 {
			t.Errorf("no stack is logged: %s", l.b.String())
		}
	})
}

func TestAHistoryThatPanicsFailsForItsReadersOnly(t *testing.T) {
	l := new(logbook)
	inBubble(t, &HubOptions{Logger: l.logger()}, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 10}, &TopicOptions{
			History: func(context.Context, uint64, uint64) iter.Seq2[HistoryMessage, error] {
				return func(yield func(HistoryMessage, error) bool) {
					yield(HistoryMessage{6, 6}, nil)
					panic("the disk is away")
				}
			},
		})
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 5}})
		if f := c.want("gap"); f.O != 10 || f.P != 5 { // and no message 6
			t.Errorf("got %+v", f)
		}
		mustPublish(t, topic, 11)
		c.wantRun(10, 11)
		wantPanics(t, h, l, 1)
		if s := h.Stats(); s.HistoryErrors != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestPresenceIsToldOnAfterAPanic(t *testing.T) {
	l := new(logbook)
	var mu sync.Mutex
	var told []string
	o := &HubOptions{
		Logger:    l.logger(),
		Authorize: func(r *http.Request) (Identity, error) { return Identity{User: r.Header.Get("User")}, nil },
		OnPresence: func(user string, _ bool) {
			mu.Lock()
			told = append(told, user)
			mu.Unlock()
			if user == "ann" {
				panic("not ann")
			}
		},
	}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		for _, user := range []string{"ann", "bea"} {
			n.connectAs(t, user).hello(nil)
			synctest.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(told, []string{"ann", "bea"}) {
			t.Errorf("told %q", told)
		}
		wantPanics(t, h, l, 1)
	})
}

func TestAnAnswerThatPanicsWhenItIsEncoded(t *testing.T) {
	l := new(logbook)
	inBubble(t, &HubOptions{Logger: l.logger()}, func(t *testing.T, n *network, h *Hub) {
		h.Handle("bomb", func(context.Context, *Request) (any, error) { return bomb{}, nil })
		c := n.connect(t)
		c.hello(nil)
		c.send(`{"t":"send","c":"k","n":1,"m":"bomb"}`)
		c.wantDone(1, "internal: The server could not do that.")
		wantPanics(t, h, l, 1)
	})
}

// A panic in Authorize or CheckOrigin is the server's fault: the client comes
// back, and nothing of the connection stays behind.
func TestAPanicBeforeTheWelcomeLeavesNothingBehind(t *testing.T) {
	l := new(logbook)
	o := &HubOptions{
		Logger: l.logger(),
		Authorize: func(r *http.Request) (Identity, error) {
			switch {
			case r.Header.Get("Authorization") != "":
				panic("the hello's credential")
			case r.Header.Get("User") == "boom":
				panic("the request's credential")
			}
			return Identity{}, ErrLater
		},
		CheckOrigin: func(r *http.Request) bool {
			if r.Header.Get("User") == "origin" {
				panic("origin")
			}
			return true
		},
	}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		d := n.dialer()
		d.Subprotocols = []string{Subprotocol}
		for user, want := range map[string]int{"boom": http.StatusInternalServerError, "origin": http.StatusForbidden} {
			_, resp, err := d.Dial("ws://memory/", http.Header{"User": {user}})
			if err == nil || resp == nil || resp.StatusCode != want {
				t.Errorf("%s: got %v, %v, want status %d", user, resp, err, want)
			}
			r := n.poster(t).post(t.Context(), `{"t":"hello","via":"stream"}`, "User", user)
			r.Body.Close()
			if r.StatusCode != want {
				t.Errorf("%s: a post got %s, want %d", user, r.Status, want)
			}
		}
		c := n.connect(t)
		c.send(`{"t":"hello","auth":"any"}`)
		if code := c.closed(); code != websocket.CloseInternalServerErr {
			t.Errorf("closed with %d, want %d", code, websocket.CloseInternalServerErr)
		}
		s := n.poster(t).stream(`{"t":"hello","via":"stream","auth":"any"}`)
		if f := s.want("close"); f.Code != websocket.CloseInternalServerErr {
			t.Errorf("got %+v", f)
		}
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.entered.total != 0 || len(h.conns) != 0 {
			t.Errorf("%d connections are counted, %d are known", h.entered.total, len(h.conns))
		}
		if got := h.counts.panics.Load(); got != 6 {
			t.Errorf("%d panics are counted", got)
		}
	})
}

// A snapshot that fails for ever is asked for ever less often, and does not fill
// the log; whoever looks at the hub sees it.
func TestASnapshotThatFailsForEverIsSeen(t *testing.T) {
	l := new(logbook)
	inBubble(t, &HubOptions{Logger: l.logger()}, func(t *testing.T, n *network, h *Hub) {
		var mu sync.Mutex
		calls, broken := 0, true
		mustTopic(t, h, "feed", Position{"e1", 5}, &TopicOptions{Snapshot: func(context.Context) (Position, any, error) {
			mu.Lock()
			defer mu.Unlock()
			if calls++; broken {
				return Position{}, nil, errors.New("no such table")
			}
			return Position{"e1", 5}, "five", nil
		}})
		heard := newListener()
		for range 20 {
			stop := runClient(NewClient("ws://memory/", heard.options(n, map[string]Position{"feed": {}})))
			defer stop()
		}
		synctest.Wait()
		advance(snapshotWait / 2)
		if err := h.Health(); err != nil {
			t.Errorf("after the first failure: %v", err)
		}
		advance(2 * time.Minute)
		mu.Lock()
		if calls < 8 || calls > 14 {
			t.Errorf("twenty who wait have asked %d times in two minutes", calls)
		}
		s, failed := h.Stats(), uint64(calls)
		mu.Unlock()
		if s.SnapshotErrors != failed || s.SnapshotsFailing != 1 || s.SnapshotError != "no such table" {
			t.Errorf("got %+v", s)
		}
		if err := h.Health(); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), "no such table") || !strings.Contains(err.Error(), "feed") {
			t.Errorf("the hub's health is %v", err)
		}
		if n := l.lines("no such table"); n < 1 || n > 3 {
			t.Errorf("it is in the log %d times in two minutes", n)
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		for _, what := range heard.wait(20) {
			if what != `snapshot feed e1/5 "five"` {
				t.Errorf("heard %q", what)
			}
		}
		if s := h.Stats(); s.SnapshotsFailing != 0 || s.SnapshotError != "" || h.Health() != nil {
			t.Errorf("it works: %+v, %v", s, h.Health())
		}
		if l.lines("work again") != 1 {
			t.Error("the log does not say that it works again")
		}
	})
}
