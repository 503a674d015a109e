package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// advance lets the bubble's clock run on.
func advance(d time.Duration) { <-time.After(d) }

// inBubble runs a test on a clock of its own, with a hub that is shut down at
// the end.
func inBubble(t *testing.T, o *HubOptions, test func(t *testing.T, n *network, h *Hub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n, h := new(network), NewHub(o)
		stop := n.serve(h)
		defer func() {
			stop()
			if err := h.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		test(t, n, h)
	})
}

func mustTopic(t *testing.T, h *Hub, name string, at Position, o *TopicOptions) *Topic {
	t.Helper()
	topic, err := h.Topic(name, at, o)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func mustPublish(t *testing.T, topic *Topic, offsets ...uint64) {
	t.Helper()
	for _, o := range offsets {
		if err := topic.Publish(o, o); err != nil {
			t.Fatal(err)
		}
	}
}

// countTo is the snapshot of a topic whose messages are their offsets.
func snapshotAt(topic **Topic) func(context.Context) (Position, any, error) {
	return func(context.Context) (Position, any, error) {
		p := (*topic).Position()
		return p, fmt.Sprintf("all up to %d", p.Offset), nil
	}
}

func TestSubscriberGetsWhatItMissedAndThenWhatIsNew(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 10}, nil)
		mustPublish(t, topic, 11, 13, 20)
		c := n.connect(t)
		w := c.hello(map[string]*Position{"feed": {"e1", 11}})
		if s := w.Topics["feed"]; !s.Resumed || s.Offset != 11 || w.Session == "" || w.Token == "" || w.Heartbeat != 30_000 || w.Timeout != 45_000 {
			t.Errorf("got welcome %+v", w)
		}
		mustPublish(t, topic, 21)
		previous := uint64(11)
		for _, want := range []uint64{13, 20, 21} {
			if m := c.want("msg"); m.O != want || m.P != previous || string(m.D) != fmt.Sprint(want) || m.S != "feed" {
				t.Errorf("got %+v, want %d after %d", m, want, previous)
			}
			previous = want
		}
	})
}

func TestWhereASubscriberStarts(t *testing.T) {
	tests := map[string]struct {
		at       *Position
		snapshot bool
		want     topicState
		then     string // the next frame
	}{
		"new, with snapshots":          {nil, true, topicState{"e1", 40, false, "new", 35}, "snap 40"},
		"new, without":                 {nil, false, topicState{"e1", 40, true, "", 35}, "msg 41"},
		"in history":                   {&Position{"e1", 38}, true, topicState{"e1", 38, true, "", 35}, "msg 40"},
		"at the edge of history":       {&Position{"e1", 35}, true, topicState{"e1", 35, true, "", 35}, "msg 36"},
		"too old, with snapshots":      {&Position{"e1", 34}, true, topicState{"e1", 40, false, "truncated", 35}, "snap 40"},
		"too old, without":             {&Position{"e1", 34}, false, topicState{"e1", 40, false, "truncated", 35}, "gap 35"},
		"of another epoch, with":       {&Position{"e0", 38}, true, topicState{"e1", 40, false, "epoch", 35}, "snap 40"},
		"of another epoch, without":    {&Position{"e0", 38}, false, topicState{"e1", 40, false, "epoch", 35}, "gap 35"},
		"at the present":               {&Position{"e1", 40}, true, topicState{"e1", 40, true, "", 35}, "msg 41"},
		"between two messages":         {&Position{"e1", 37}, false, topicState{"e1", 37, true, "", 35}, "msg 38"},
		"of another epoch and too far": {&Position{"e0", 99}, true, topicState{"e1", 40, false, "epoch", 35}, "snap 40"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
				var topic *Topic
				o := &TopicOptions{HistoryMessages: 3}
				if test.snapshot {
					o.Snapshot = snapshotAt(&topic)
				}
				topic = mustTopic(t, h, "feed", Position{"e1", 30}, o)
				mustPublish(t, topic, 33, 35, 36, 38, 40)
				c := n.connect(t)
				if s := c.hello(map[string]*Position{"feed": test.at}).Topics["feed"]; s != test.want {
					t.Errorf("got %+v, want %+v", s, test.want)
				}
				synctest.Wait()
				mustPublish(t, topic, 41)
				f := c.next()
				if got := fmt.Sprintf("%s %d", f.T, f.O); got != test.then {
					t.Errorf("then came %s, want %s", got, test.then)
				}
				for f.O < 41 { // and everything up to the present, without a hole
					next := c.next()
					if next.T != "msg" || next.P > f.O {
						t.Errorf("after %d came %+v", f.O, next)
					}
					f = next
				}
			})
		})
	}
}

func TestOneWhoIsAheadWaitsTwoSecondsForTheHub(t *testing.T) {
	for name, arrives := range map[string]time.Duration{"in time": 1900 * time.Millisecond, "too late": 2100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			var topic *Topic
			inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
				topic = mustTopic(t, h, "feed", Position{"e1", 10}, &TopicOptions{Snapshot: snapshotAt(&topic)})
				c := n.connect(t)
				if s := c.hello(map[string]*Position{"feed": {"e1", 12}}).Topics["feed"]; s.Resumed || s.Reason != "ahead" {
					t.Errorf("got %+v", s)
				}
				var publishing sync.WaitGroup
				publishing.Go(func() {
					advance(arrives)
					mustPublish(t, topic, 11, 12, 13)
				})
				f := c.next()
				publishing.Wait()
				if late := arrives > 2*time.Second; late && (f.T != "snap" || f.O != 10) || !late && (f.T != "msg" || f.O != 13) {
					t.Errorf("got %+v", f)
				}
			})
		})
	}
}

func TestASnapshotServesAllWhoWaitAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		release := make(chan struct{})
		n, h := new(network), NewHub(nil)
		stop := n.serve(h)
		topic := mustTopic(t, h, "feed", Position{"e1", 5}, &TopicOptions{Snapshot: func(context.Context) (Position, any, error) {
			calls++
			<-release
			if calls == 1 {
				return Position{}, nil, errors.New("not now")
			}
			return Position{"e1", 5}, "five", nil
		}})
		var clients []*rawClient
		for range 10 {
			c := n.connect(t)
			c.hello(map[string]*Position{"feed": nil})
			clients = append(clients, c)
		}
		synctest.Wait()
		if calls != 1 {
			t.Errorf("ten who wait asked for %d snapshots, want 1", calls)
		}
		close(release)
		for _, c := range clients {
			if f := c.want("snap"); f.O != 5 || f.E != "e1" || string(f.D) != `"five"` {
				t.Errorf("got %+v", f)
			}
		}
		mustPublish(t, topic, 6)
		for _, c := range clients {
			if f := c.want("msg"); f.O != 6 {
				t.Errorf("got %+v", f)
			}
		}
		if s := h.Stats(); s.SnapshotErrors != 1 || s.Snapshots != 1 {
			t.Errorf("got %+v, want one snapshot for all, after one that failed", s)
		}
		stop()
		h.Shutdown(t.Context())
	})
}

func TestHeartbeats(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		mustPublish(t, topic, 3)
		if err := topic.Advance(7); err != nil {
			t.Fatal(err)
		}
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		c.want("msg")
		began := time.Now()
		for beat := 1; beat <= 3; beat++ {
			p := c.want("ping")
			if got := time.Since(began); got != time.Duration(beat)*30*time.Second {
				t.Errorf("heartbeat %d came after %s", beat, got)
			}
			// The position that the topic has advanced to is told once.
			if (p.Pos["feed"] == 7) != (beat == 1) || p.TS != time.Now().UnixMilli() {
				t.Errorf("heartbeat %d: got %+v", beat, p)
			}
			advance(10 * time.Millisecond)
			c.send(fmt.Sprintf(`{"t":"pong","ts":%d}`, p.TS))
		}
		c.send(`{"t":"ping","ts":5}`)
		if p := c.want("pong"); p.TS != 5 {
			t.Errorf("got %+v", p)
		}
		if s := h.Stats(); s.RoundTrip != 10*time.Millisecond || s.LastHeartbeat.IsZero() || s.Connections != 1 {
			t.Errorf("got %+v", s)
		}
		// Nothing more is heard from this client.
		silent := time.Now()
		if code := c.closed(); code != CloseSilent {
			t.Errorf("closed with %d, want %d", code, CloseSilent)
		}
		if got := time.Since(silent); got != 45*time.Second {
			t.Errorf("a silent connection was given up after %s, want 45s", got)
		}
		synctest.Wait()
		if s := h.Stats(); s.HeartbeatFailures != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// The deadline of writes moves along with each of them, however short it is.
func TestAShortTimeoutKeepsALivelyConnection(t *testing.T) {
	o := &HubOptions{HeartbeatInterval: 100 * time.Millisecond, HeartbeatTimeout: 300 * time.Millisecond}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		l := newListener()
		c := NewClient("ws://memory/", l.options(n, map[string]Position{"feed": {"e1", 0}}))
		stop := runClient(c)
		defer stop()
		for i := range uint64(50) {
			advance(70 * time.Millisecond)
			mustPublish(t, topic, i+1)
		}
		synctest.Wait()
		if s := c.Stats(); s.Connections != 1 || s.Received != 50 {
			t.Errorf("%d messages over %d connections, want 50 over one", s.Received, s.Connections)
		}
	})
}

func TestAHeartbeatDoesNotRunAheadOfWhatWasSent(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		advance(29 * time.Second)
		// More than one write, and a client that does not read: the heartbeat is
		// due while most of it waits.
		for o := range uint64(100) {
			if err := topic.Publish(o+1, strings.Repeat("x", 4<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := topic.Advance(105); err != nil {
			t.Fatal(err)
		}
		advance(2 * time.Second)
		for want := uint64(1); ; want++ {
			f := c.next()
			if f.T == "ping" {
				if f.Pos["feed"] != 105 || want != 101 {
					t.Errorf("after %d messages came %+v", want-1, f)
				}
				return
			}
			if f.O != want {
				t.Fatalf("got %d, want %d", f.O, want)
			}
		}
	})
}

func TestASlowSubscriberGetsASnapshotAndHoldsUpNobody(t *testing.T) {
	var topic *Topic
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic = mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{HistoryMessages: 10, Snapshot: snapshotAt(&topic)})
		slow, fast := n.connect(t), n.connect(t)
		slow.hello(map[string]*Position{"feed": {"e1", 0}})
		fast.hello(map[string]*Position{"feed": {"e1", 0}})
		for o := range uint64(200) {
			if err := topic.Publish(o+1, strings.Repeat("x", 1<<10)); err != nil {
				t.Fatal(err)
			}
			if f := fast.want("msg"); f.O != o+1 {
				t.Fatalf("the fast one got %d, want %d", f.O, o+1)
			}
		}
		topic.mu.Lock()
		heldBytes := topic.replay.bytes
		topic.mu.Unlock()
		if heldBytes > 11*(1<<10+100) {
			t.Errorf("the topic holds %d bytes for the slow one", heldBytes)
		}
		at, snapshots := uint64(0), 0
		for at < 200 {
			switch f := slow.next(); {
			case f.T == "snap":
				at, snapshots = f.O, snapshots+1
			case f.P > at:
				t.Fatalf("after %d came %d, which follows %d", at, f.O, f.P)
			default:
				at = f.O
			}
		}
		if snapshots == 0 {
			t.Error("the slow one lost messages and got no snapshot")
		}
	})
}

func TestASlowSubscriberWithoutSnapshotsIsToldOfTheGap(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{HistoryMessages: 10})
		slow := n.connect(t)
		slow.hello(map[string]*Position{"feed": {"e1", 0}})
		for o := range uint64(200) {
			mustPublish(t, topic, o+1)
			synctest.Wait()
		}
		at, gaps := uint64(0), 0
		for at < 200 {
			switch f := slow.next(); {
			case f.T == "gap" && f.P == at && f.O > at && f.Reason == "slow" && f.E == "e1":
				at, gaps = f.O, gaps+1
			case f.T != "msg" || f.P > at:
				t.Fatalf("after %d came %+v", at, f)
			default:
				at = f.O
			}
		}
		if gaps == 0 {
			t.Error("no gap was told")
		}
	})
}

func TestTopicsAreGivenOnlyToThoseAllowed(t *testing.T) {
	o := &HubOptions{Authorize: func(r *http.Request) (Identity, error) {
		if r.Header.Get("Knock") == "wrong" {
			return Identity{}, errors.New("no")
		}
		return Identity{User: "visitor", Topics: []string{"feed"}}, nil
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		feed := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		staff := mustTopic(t, h, "staff", Position{"e1", 0}, nil)
		c := n.connect(t)
		w := c.hello(map[string]*Position{"staff": {"e1", 0}, "feed": nil, "nothing": nil})
		if !slices.Equal(w.Denied, []string{"nothing", "staff"}) || len(w.Topics) != 1 {
			t.Errorf("got %+v", w)
		}
		mustPublish(t, staff, 1)
		if err := feed.Advance(1); err != nil {
			t.Fatal(err)
		}
		if f := c.want("ping"); len(f.Pos) != 1 || f.Pos["feed"] != 1 {
			t.Errorf("a stranger hears of %v", f.Pos)
		}

		client := NewClient("ws://memory/", &ClientOptions{Dialer: n.dialer(), Header: http.Header{"Knock": {"wrong"}}})
		var refused *RefusedError
		if err := client.Run(t.Context()); !errors.As(err, &refused) || refused.Code != http.StatusUnauthorized {
			t.Errorf("got %v, want a refusal with 401", err)
		}
	})
}

func TestHandshakesThatAreRefused(t *testing.T) {
	inBubble(t, &HubOptions{MaxConnections: 1}, func(t *testing.T, n *network, h *Hub) {
		try := func(header http.Header, protocols ...string) int {
			d := n.dialer()
			d.Subprotocols = protocols
			ws, resp, err := d.Dial("ws://memory/", header)
			if err == nil {
				ws.Close()
			}
			return resp.StatusCode
		}
		if got := try(http.Header{"Origin": {"http://elsewhere.example"}}, Subprotocol); got != http.StatusForbidden {
			t.Errorf("another origin: %d, want 403", got)
		}
		if got := try(nil, "chat"); got != http.StatusBadRequest {
			t.Errorf("another protocol: %d, want 400", got)
		}
		n.connect(t).hello(nil)
		if got := try(nil, Subprotocol); got != http.StatusServiceUnavailable {
			t.Errorf("one too many: %d, want 503", got)
		}
		plain := http.Client{Transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}
		resp, err := plain.Get("http://memory/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("what is no handshake: %s, X-Content-Type-Options is %q", resp.Status, got)
		}
	})
}

// TestHandshakesCountAsConnections: many that come at once must not pass the
// limit together while each is still shaking hands.
func TestHandshakesCountAsConnections(t *testing.T) {
	h := NewHub(&HubOptions{MaxConnections: 3, MaxPerAddress: 2})
	for _, step := range []struct {
		address string
		want    admission
	}{{"hall", admitted}, {"hall", admitted}, {"hall", crowded}, {"home", admitted}, {"home", full}} {
		if got := h.enter(step.address); got != step.want {
			t.Fatalf("one of the %s: %d, want %d", step.address, got, step.want)
		}
	}
	h.leave("hall")
	if h.enter("hall") != admitted {
		t.Error("the place of one who left is not free")
	}
}

func TestCloseCodes(t *testing.T) {
	tests := map[string]struct {
		frames []string
		want   int
		after  time.Duration
	}{
		"no hello":               {nil, CloseNoHello, 10 * time.Second},
		"something before hello": {[]string{`{"t":"ping","ts":1}`}, CloseProtocol, 0},
		"a second hello":         {[]string{`{"t":"hello"}`, `{"t":"hello"}`}, CloseProtocol, 0},
		"no JSON":                {[]string{`{"t":"hello"}`, `]`}, CloseProtocol, 0},
		"a frame that is large":  {[]string{`{"t":"hello"}`, `{"t":"` + strings.Repeat("x", 64<<10) + `"}`}, websocket.CloseMessageTooBig, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
				c := n.connect(t)
				began := time.Now()
				go func() {
					for _, f := range test.frames {
						c.ws.WriteMessage(websocket.TextMessage, []byte(f))
					}
				}()
				if code := c.closed(); code != test.want {
					t.Errorf("closed with %d, want %d", code, test.want)
				}
				if got := time.Since(began); got != test.after {
					t.Errorf("closed after %s, want %s", got, test.after)
				}
			})
		})
	}
}

func TestASessionIsTakenOverByWhoHasItsToken(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		first := n.connect(t)
		w := first.hello(nil)
		join := func(session, token string) serverFrame {
			c := n.connect(t)
			b, _ := json.Marshal(clientFrame{T: "hello", Session: session, Token: token})
			c.send(string(b))
			return c.want("welcome")
		}
		if other := join(w.Session, "guessed"); other.Session == w.Session {
			t.Error("a wrong token got the session")
		}
		if again := join(w.Session, w.Token); again.Session != w.Session {
			t.Error("the right token did not get the session")
		}
		if code := first.closed(); code != CloseTakenOver {
			t.Errorf("the old connection was closed with %d, want %d", code, CloseTakenOver)
		}
		if s := h.Stats(); s.Resumed != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// What a client has given up may be on its way still: it says hello behind the
// next connection, or asks for another poll.
func TestAHelloThatComesLateTakesNothingOver(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		first := n.connect(t)
		w := first.hello(nil)
		hello := func(number uint64, via string) string {
			b, _ := json.Marshal(clientFrame{T: "hello", Session: w.Session, Token: w.Token, N: number, Via: via})
			return string(b)
		}
		used := n.connect(t)
		used.send(hello(8, ""))
		if again := used.want("welcome"); again.Session != w.Session {
			t.Fatalf("got %+v", again)
		}
		if code := first.closed(); code != CloseTakenOver {
			t.Errorf("the one before was closed with %d", code)
		}
		late := n.connect(t)
		late.send(hello(7, ""))
		if code := late.closed(); code != CloseTakenOver {
			t.Errorf("a late hello was closed with %d, want %d", code, CloseTakenOver)
		}
		p := n.poster(t)
		if frames := p.list(hello(7, viaPoll)); len(frames) != 1 || frames[0].T != "close" || frames[0].Code != CloseTakenOver {
			t.Errorf("a late poll got %+v", frames)
		}
		used.send(`{"t":"ping","ts":1}`)
		used.want("pong")
		used.ws.Close()
		synctest.Wait()
		for _, number := range []uint64{8, 0} { // a copy of the session counts on from the same; a client without numbers
			c := n.connect(t)
			c.send(hello(number, ""))
			if again := c.want("welcome"); again.Session != w.Session {
				t.Errorf("hello %d got another session", number)
			}
		}
	})
}

func TestSessionsAreForgotten(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		c := n.connect(t)
		w := c.hello(nil)
		c.ws.Close()
		synctest.Wait()
		advance(5*time.Minute + sessionSweep)
		n.connect(t).hello(nil)
		h.sessions.mu.Lock()
		defer h.sessions.mu.Unlock()
		if h.sessions.byID[w.Session] != nil || len(h.sessions.byID) != 1 {
			t.Errorf("%d sessions are kept", len(h.sessions.byID))
		}
	})
}

func TestShutdownSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := new(network), NewHub(nil)
		stop := n.serve(h)
		defer stop()
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		var clients []*rawClient
		for range 20 {
			c := n.connect(t)
			c.hello(map[string]*Position{"feed": nil})
			clients = append(clients, c)
		}
		mustPublish(t, topic, 1)
		ended := make(chan error)
		go func() { ended <- h.Shutdown(t.Context()) }()
		delays := map[int64]bool{}
		for _, c := range clients {
			c.want("msg") // what was published comes before the goodbye
			f := c.want("bye")
			if f.Delay < 1000 || f.Delay > 6000 || f.Reason != "server-shutdown" {
				t.Errorf("got %+v", f)
			}
			delays[f.Delay] = true
			if code := c.closed(); code != websocket.CloseServiceRestart {
				t.Errorf("closed with %d, want 1012", code)
			}
		}
		if len(delays) < 10 {
			t.Errorf("20 clients come back at %d different times", len(delays))
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := h.Health(); !errors.Is(err, ErrShutdown) {
			t.Errorf("Health gives %v", err)
		}
		if _, err := h.Topic("late", Position{}, nil); !errors.Is(err, ErrShutdown) {
			t.Errorf("Topic gives %v", err)
		}
	})
}

func TestShutdownCutsOffWhoDoesNotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := new(network), NewHub(nil)
		stop := n.serve(h)
		defer stop()
		n.connect(t).hello(nil) // and reads no more
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("it took %s", got)
		}
	})
}

func TestTopicRefuses(t *testing.T) {
	h := NewHub(nil)
	topic := mustTopic(t, h, "feed", Position{"e1", 5}, nil)
	for _, name := range []string{"", "a b", "ä", strings.Repeat("x", 65), `"`} {
		if _, err := h.Topic(name, Position{}, nil); !errors.Is(err, ErrTopicName) {
			t.Errorf("topic %q: %v", name, err)
		}
	}
	for _, o := range []TopicOptions{{HistoryMessages: -1}, {HistoryBytes: -1}} {
		if _, err := h.Topic("less", Position{}, &o); err == nil {
			t.Errorf("a topic was made with %+v", o)
		}
	}
	if _, err := h.Topic("feed", Position{}, nil); !errors.Is(err, ErrTopicExists) {
		t.Errorf("the same topic twice: %v", err)
	}
	if err := topic.Publish(5, 1); !errors.Is(err, ErrOffset) {
		t.Errorf("an offset that was passed: %v", err)
	}
	if err := topic.Advance(4); !errors.Is(err, ErrOffset) {
		t.Errorf("back: %v", err)
	}
	if err := topic.Advance(5); err != nil {
		t.Errorf("to where it is: %v", err)
	}
	for _, over := range []error{topic.Publish(1<<53, 1), topic.Advance(1 << 53)} {
		if !errors.Is(over, ErrOffset) {
			t.Errorf("what browsers cannot count: %v", over)
		}
	}
	if err := topic.Publish(6, make(chan int)); err == nil {
		t.Error("what is no JSON was published")
	}
	if err := topic.Publish(6, strings.Repeat("x", 1<<20)); !errors.Is(err, ErrMessageTooLarge) {
		t.Errorf("a large message: %v", err)
	}
	mustPublish(t, topic, 6) // refusals used nothing up
}

func FuzzClientFrame(f *testing.F) {
	var vectors []struct{ Frame string }
	b := []byte(`[{"Frame":"{\"t\":\"hello\",\"topics\":{\"feed\":{\"epoch\":\"e\",\"offset\":1}}}"},{"Frame":"{\"t\":\"pong\",\"ts\":1}"}]`)
	if err := json.Unmarshal(b, &vectors); err != nil {
		f.Fatal(err)
	}
	for _, v := range vectors {
		f.Add([]byte(v.Frame))
	}
	f.Add([]byte(`{"t":"send","c":"k","n":12,"m":"say","d":{"a":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b)
		frame, err := decodeClientFrame(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(frame)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeClientFrame(again); err != nil {
			t.Fatalf("%s was read, %s is not: %v", b, again, err)
		}
	})
}

func TestATruncatedTopicGivesSnapshotsAndGoesOn(t *testing.T) {
	for _, snapshots := range []bool{true, false} {
		var topic *Topic
		inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
			o := &TopicOptions{}
			if snapshots {
				o.Snapshot = snapshotAt(&topic)
			}
			topic = mustTopic(t, h, "feed", Position{"e1", 0}, o)
			mustPublish(t, topic, 1)
			there, back := n.connect(t), n.connect(t)
			there.hello(map[string]*Position{"feed": {"e1", 0}})
			there.want("msg")
			synctest.Wait()
			if err := topic.Truncate(5); err != nil {
				t.Fatal(err)
			}
			if err := topic.Truncate(4); !errors.Is(err, ErrOffset) {
				t.Errorf("back: %v", err)
			}
			back.hello(map[string]*Position{"feed": {"e1", 1}})
			kind := "gap"
			if snapshots {
				kind = "snap"
			}
			for _, c := range []*rawClient{there, back} {
				if f := c.want(kind); f.O != 5 {
					t.Errorf("got %+v, want a %s at 5", f, kind)
				}
			}
			mustPublish(t, topic, 6)
			for _, c := range []*rawClient{there, back} {
				if f := c.want("msg"); f.O != 6 || f.P != 5 {
					t.Errorf("got %+v, want 6 after 5", f)
				}
			}
		})
	}
}

func TestAnIdentityEndsByKickAndByTime(t *testing.T) {
	var known atomic.Bool
	known.Store(true)
	o := &HubOptions{Authorize: func(*http.Request) (Identity, error) {
		if !known.Load() {
			return Identity{Topics: []string{"feed"}}, nil
		}
		return Identity{User: "eva", Topics: []string{"feed", "staff"}, Login: "L1", Until: time.Now().Add(time.Hour)}, nil
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		mustTopic(t, h, "staff", Position{"e1", 0}, nil)
		var states []State
		c := NewClient("ws://memory/", &ClientOptions{
			Topics: map[string]Position{"feed": {"e1", 0}, "staff": {"e1", 0}},
			Dialer: n.dialer(),
			OnState: func(s State) {
				if s.Status == Live {
					states = append(states, s)
				}
			},
		})
		stop := runClient(c)
		defer stop()
		synctest.Wait()
		if got := h.Kick("") + h.Kick("L2"); got != 0 {
			t.Errorf("%d connections of nobody were ended", got)
		}
		known.Store(false)
		if got := h.Kick("L1"); got != 1 {
			t.Errorf("%d connections were ended, want 1", got)
		}
		advance(2 * time.Second)
		synctest.Wait()
		if len(states) != 2 || len(states[0].Denied) != 0 || !slices.Equal(states[1].Denied, []string{"staff"}) {
			t.Errorf("the states were %+v, want a second one without staff", states)
		}

		known.Store(true)
		n.cut()
		advance(2 * time.Second)
		synctest.Wait()
		before := len(states)
		known.Store(false)
		advance(time.Hour + time.Minute)
		synctest.Wait()
		if len(states) != before+1 || !slices.Equal(states[before].Denied, []string{"staff"}) {
			t.Errorf("after the login has expired the states were %+v", states[before:])
		}
	})
}

// A login that ends while its connection is being authorized ends that one too.
func TestAKickFindsWhoIsBeingAuthorized(t *testing.T) {
	for _, later := range []bool{false, true} {
		var hub *Hub
		calls := 0
		o := &HubOptions{Authorize: func(r *http.Request) (Identity, error) {
			if later && r.Header.Get("Authorization") == "" {
				return Identity{}, ErrLater
			}
			if calls++; calls == 1 {
				hub.Kick("L1") // by another request
			}
			return Identity{Login: "L1"}, nil
		}}
		inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
			hub = h
			c := n.connect(t)
			if later {
				c.send(`{"t":"hello","auth":"secret"}`)
			}
			if f := c.next(); f.T != "bye" || f.Reason != "kicked" {
				t.Errorf("later %t: got %+v", later, f)
			}
			again := n.connect(t)
			again.send(`{"t":"hello","auth":"secret"}`)
			again.want("welcome")
		})
	}
}

// So do the posts of a session that comes with a hello from before the kick.
func TestAKickFindsTheSessionOfAHelloOnItsWay(t *testing.T) {
	var hub *Hub
	kick := false
	o := &HubOptions{Authorize: func(*http.Request) (Identity, error) {
		if kick {
			kick = false
			hub.Kick("L1") // by another request
		}
		return Identity{Login: "L1"}, nil
	}}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		hub = h
		p := n.poster(t)
		w := p.list(`{"t":"hello","via":"poll","topics":{}}`)[0]
		session := fmt.Sprintf(`"session":%q,"token":%q`, w.Session, w.Token)
		status := func() int {
			resp := p.post(t.Context(), `{"t":"post",`+session+`,"frames":[]}`)
			resp.Body.Close()
			return resp.StatusCode
		}
		hello := `{"t":"hello","via":"poll",` + session + `,"topics":{"@":null}}`
		if got := status(); got != http.StatusOK {
			t.Errorf("before the kick: status %d", got)
		}
		kick = true
		if frames := p.list(hello); frames[len(frames)-1].T != "close" {
			t.Errorf("got %+v", frames)
		}
		if got := status(); got != http.StatusGone {
			t.Errorf("after the kick: status %d, want %d", got, http.StatusGone)
		}
		p.list(hello)
		if got := status(); got != http.StatusOK {
			t.Errorf("after the next hello: status %d", got)
		}
	})
}
