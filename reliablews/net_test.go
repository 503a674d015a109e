package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// network joins clients and a server in memory, so that a test's clock may
// stand still. Its server can go and come back.
type network struct {
	mu      sync.Mutex
	listen  *memListener // nil while the server is down
	clients []net.Conn
}

type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *memListener) Addr() net.Addr { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "memory" }

// serve runs a server for h until stop.
func (n *network) serve(h http.Handler) (stop func()) {
	l := &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	n.mu.Lock()
	n.listen = l
	n.mu.Unlock()
	ended := make(chan struct{})
	go func() { server.Serve(l); close(ended) }()
	return func() {
		n.mu.Lock()
		n.listen = nil
		n.mu.Unlock()
		server.Close()
		n.cut()
		<-ended
	}
}

// cut breaks every connection.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.clients {
		c.Close()
	}
	n.clients = nil
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	listen := n.listen
	n.mu.Unlock()
	if listen == nil {
		return nil, errors.New("the server is down")
	}
	client, server := net.Pipe()
	select {
	case listen.conns <- server:
	case <-listen.done:
		return nil, errors.New("the server has gone down")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	n.clients = append(n.clients, client)
	n.mu.Unlock()
	return client, nil
}

func (n *network) dialer() *websocket.Dialer {
	return &websocket.Dialer{NetDialContext: n.dial}
}

// acted is a server that plays a part on each connection instead of a hub.
func acted(play func(ws *websocket.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{Subprotocol}}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		defer ws.Close()
		play(ws)
	})
}

// connect opens a connection without a client behind it.
func (n *network) connect(t testing.TB) *rawClient {
	t.Helper()
	d := n.dialer()
	d.Subprotocols = []string{Subprotocol}
	ws, resp, err := d.Dial("ws://memory/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	t.Cleanup(func() { ws.Close() })
	return &rawClient{t, ws}
}

// rawClient speaks the protocol frame by frame.
type rawClient struct {
	t  testing.TB
	ws *websocket.Conn
}

func (c *rawClient) send(frame string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawClient) hello(topics map[string]*Position) serverFrame {
	c.t.Helper()
	b, err := json.Marshal(clientFrame{T: "hello", Topics: topics})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(b))
	return c.want("welcome")
}

// next returns the next frame.
func (c *rawClient) next() serverFrame {
	c.t.Helper()
	_, data, err := c.ws.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := decodeServerFrame(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *rawClient) want(kind string) serverFrame {
	c.t.Helper()
	f := c.next()
	if f.T != kind {
		c.t.Fatalf("got frame %+v, want a %s", f, kind)
	}
	return f
}

// closed reads to the end and returns the close code.
func (c *rawClient) closed() int {
	c.t.Helper()
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				return closed.Code
			}
			return websocket.CloseAbnormalClosure
		}
	}
}

// listener writes down what a client hears.
type listener struct {
	mu    sync.Mutex
	heard []string
	live  int
	more  chan struct{} // one signal, when there is something new
}

func newListener() *listener { return &listener{more: make(chan struct{}, 1)} }

func (l *listener) note(format string, args ...any) {
	l.mu.Lock()
	l.heard = append(l.heard, fmt.Sprintf(format, args...))
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *listener) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.heard)
}

// wait returns what was heard once there are n things.
func (l *listener) wait(n int) []string {
	for {
		if heard := l.all(); len(heard) >= n {
			return heard
		}
		<-l.more
	}
}

func (l *listener) options(n *network, topics map[string]Position) *ClientOptions {
	return &ClientOptions{
		Topics:     topics,
		Dialer:     n.dialer(),
		OnMessage:  func(m Message) { l.note("message %s %s %s", m.Topic, m.Position, m.Data) },
		OnSnapshot: func(s Snapshot) { l.note("snapshot %s %s %s", s.Topic, s.Position, s.Data) },
		OnGap:      func(g Gap) { l.note("gap %s %d %s %s", g.Topic, g.From, g.Position, g.Reason) },
		OnState: func(s State) {
			if s.Status == Live {
				l.mu.Lock()
				l.live++
				l.mu.Unlock()
			}
		},
	}
}

// runClient runs a client until stop.
func runClient(c *Client) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}
