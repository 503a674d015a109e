package reliablews

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// jsClient is the JavaScript client in a process of Node.
type jsClient struct {
	t     *testing.T
	lines *bufio.Scanner
	in    io.Writer
	close func()
}

// jsEvent is what it writes of each event.
type jsEvent struct {
	Event    string
	Topic    string
	Position Position
	Data     json.RawMessage
	From     uint64
	Reason   string
	Status   Status
	Via      Transport
	Code     int
}

func (e jsEvent) String() string {
	switch e.Event {
	case "state":
		return string(e.Status)
	case "token", "clock":
		return e.Event
	case "answer":
		return strings.TrimSpace(fmt.Sprintf("answer %s %s", e.Data, e.Reason))
	case "gap":
		return fmt.Sprintf("gap %s %d %s %s", e.Topic, e.From, e.Position, e.Reason)
	}
	return fmt.Sprintf("%s %s %s %s", e.Event, e.Topic, e.Position, e.Data)
}

func startJS(t *testing.T, url string, topics map[string]*Position, flags ...string) *jsClient {
	t.Helper()
	node := needNode(t)
	from, err := json.Marshal(topics)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, append([]string{"js/testing/subscribe.mjs", url, string(from)}, flags...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &jsClient{t: t, lines: bufio.NewScanner(out), in: in}
	// It ends by itself once it is closed, if it has left no timer and no
	// connection behind.
	c.close = sync.OnceFunc(func() {
		in.Close()
		slow := time.AfterFunc(5*time.Second, func() {
			t.Error("the client does not end after close()")
			cmd.Process.Kill()
		})
		defer slow.Stop()
		for c.lines.Scan() {
		}
		cmd.Wait()
	})
	t.Cleanup(c.close)
	return c
}

// tell tells it what to do, as js/testing/subscribe.mjs says.
func (c *jsClient) tell(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next event that is not a state.
func (c *jsClient) next() jsEvent {
	c.t.Helper()
	for {
		if e := c.any(); e.Event != "state" {
			return e
		}
	}
}

// until reads up to a state.
func (c *jsClient) until(status Status) jsEvent {
	c.t.Helper()
	for {
		if e := c.any(); e.Event != "state" {
			c.t.Fatalf("got %s, want only states up to %s", e, status)
		} else if e.Status == status {
			return e
		}
	}
}

func (c *jsClient) any() (e jsEvent) {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatal("the client has ended")
	}
	if err := json.Unmarshal(c.lines.Bytes(), &e); err != nil {
		c.t.Fatalf("%s: %v", c.lines.Text(), err)
	}
	return e
}

func (c *jsClient) want(events ...string) {
	c.t.Helper()
	for _, want := range events {
		if got := c.next().String(); got != want {
			c.t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// loopback serves a hub on a real port, where a later hub can follow it.
type loopback struct {
	t      *testing.T
	addr   string
	server *http.Server
	ended  chan struct{}

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

// serve starts a server, on the port of the one before if there was one.
func (l *loopback) serve(h http.Handler) {
	l.t.Helper()
	if l.addr == "" {
		l.addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	l.ended = make(chan struct{})
	l.server = &http.Server{Handler: h, ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateHijacked {
			l.mu.Lock()
			l.conns = append(l.conns, c)
			l.mu.Unlock()
		}
	}}
	go func() {
		defer close(l.ended)
		l.server.Serve(listener)
	}()
}

// cut breaks every connection without a word.
func (l *loopback) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// stop ends the server.
func (l *loopback) stop() {
	l.server.Close()
	<-l.ended
	l.cut()
}

func (l *loopback) url() string { return "ws://" + l.addr }

var quickOptions = HubOptions{BackoffStart: 20 * time.Millisecond, BackoffMax: 100 * time.Millisecond, GoodbyeSpread: 20 * time.Millisecond}

// TestJavaScriptClientOnARealHub cuts its connection, kills the hub and starts
// another: every message arrives once and in order.
func TestJavaScriptClientOnARealHub(t *testing.T) {
	newHub := func(published ...uint64) (*Hub, *Topic) {
		h := NewHub(&quickOptions)
		topic, err := h.Topic("feed", Position{"e1", 0}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, offset := range published { // as from a durable log
			topic.Publish(offset, offset)
		}
		return h, topic
	}
	l := &loopback{t: t}
	hub, topic := newHub(1, 2)
	l.serve(hub)
	defer func() { l.stop() }()
	c := startJS(t, l.url(), map[string]*Position{"feed": {"e1", 1}, "secret": nil})
	c.want("message feed e1/2 2")

	topic.Publish(5, 5)
	c.want("message feed e1/5 5")

	l.cut()
	topic.Publish(6, 6)
	c.want("message feed e1/6 6")

	l.stop()
	c.until(Waiting)
	hub, _ = newHub(1, 2, 5, 6, 9)
	l.serve(hub)
	c.want("message feed e1/9 9")

	// A goodbye is obeyed, and the connection ends in peace.
	if err := hub.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if e := c.until(Waiting); e.Reason != "server-shutdown" {
		t.Errorf("after the goodbye it waits for %q", e.Reason)
	}
	l.stop()
	hub, topic = newHub(1, 2, 5, 6, 9)
	l.serve(hub)
	c.until(Live)                   // and nothing is told twice
	topic.Publish(10, "<é \u2028>") // among characters that JSON in a script must watch
	if e := c.next(); e.Position.Offset != 10 || !jsonEqual(e.Data, `"<é \u2028>"`) {
		t.Errorf("got %s", e)
	}
	c.close()
}

func jsonEqual(got json.RawMessage, want string) bool {
	var a, b any
	return json.Unmarshal(got, &a) == nil && json.Unmarshal([]byte(want), &b) == nil && a == b
}

func TestJavaScriptClientGetsSnapshotsAndGaps(t *testing.T) {
	h := NewHub(&quickOptions)
	var shown *Topic
	var err error
	shown, err = h.Topic("shown", Position{"e2", 3}, &TopicOptions{Snapshot: snapshotAt(&shown)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = h.Topic("told", Position{"e2", 7}, nil); err != nil {
		t.Fatal(err)
	}
	l := &loopback{t: t}
	l.serve(h)
	defer func() { l.stop() }()
	c := startJS(t, l.url(), map[string]*Position{"shown": {"e1", 900}, "told": {"e1", 900}})
	got := []string{c.next().String(), c.next().String()}
	slices.Sort(got)
	if got[0] != "gap told 0 e2/7 epoch" || !strings.HasPrefix(got[1], "snapshot shown e2/3 ") {
		t.Errorf("got %q", got)
	}
	c.close()
}

// The client goes away for ever when the hub says so.
func TestJavaScriptClientStaysAwayWhenRefused(t *testing.T) {
	l := &loopback{t: t}
	h := NewHub(&quickOptions)
	l.serve(h)
	defer func() { l.stop() }()
	c := startJS(t, l.url(), map[string]*Position{})
	c.until(Live)
	h.mu.Lock()
	for conn := range h.conns {
		conn.close(CloseForbidden, "kicked")
	}
	h.mu.Unlock()
	if e := c.until("refused"); e.Code != CloseForbidden || e.Reason != "kicked" {
		t.Errorf("got %+v", e)
	}
	c.close()
	if n := h.Stats().Accepted; n != 1 {
		t.Errorf("it connected %d times", n)
	}
}
