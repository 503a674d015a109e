package reliablews

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// HubOptions changes how a hub works. The zero value is good; NewHub copies it.
type HubOptions struct {
	// Authorize says who a request is and which topics it may read. An error
	// refuses the handshake with 401. Default: everyone may read every topic.
	Authorize func(*http.Request) (Identity, error)

	// CheckOrigin says whether a browser's page may connect. Default: pages of
	// the same host, and programs, which send no Origin.
	CheckOrigin func(*http.Request) bool

	// Logger hears of snapshots that fail. Default: silent.
	Logger *slog.Logger

	// HeartbeatInterval is how often each side says that it is there, and
	// HeartbeatTimeout after how long a silent connection is given up.
	// Defaults: 30 s and 45 s.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration

	// HelloTimeout is how long a connection may take to say which topics it
	// wants. Default: 10 s.
	HelloTimeout time.Duration

	// AheadTimeout is how long a client that has seen more than this hub, as
	// after a restart, waits for the hub before it gets a snapshot. Default: 2 s.
	AheadTimeout time.Duration

	// MaxConnections bounds the connections; more get 503. Default: 10,000.
	MaxConnections int

	// MaxFrameBytes bounds a frame from a client. Default: 64 KiB.
	MaxFrameBytes int64

	// MaxMessageBytes bounds a published message. Default: 1 MiB.
	MaxMessageBytes int

	// Backoff is told to clients: the first wait, the factor from one to the
	// next, and the longest, before jitter. Defaults: 1 s, 2, 30 s.
	BackoffStart  time.Duration
	BackoffFactor float64
	BackoffMax    time.Duration

	// GoodbyeSpread is the time over which clients are told to come back at a
	// shutdown, so that they do not all come at once. Default: 5 s.
	GoodbyeSpread time.Duration
}

// Identity is who is at the other end of a connection.
type Identity struct {
	User   string   // "" for a stranger
	Topics []string // the topics it may read; those it asks for besides are denied

	// Login is what Kick finds a connection by, such as a login session. It
	// never leaves the hub. Optional.
	Login string

	// Until is when the identity expires: the connection ends with the first
	// heartbeat after it and is authorized anew. Default: never.
	Until time.Time
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (o *HubOptions) withDefaults() HubOptions {
	var c HubOptions
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.HeartbeatInterval, 30*time.Second)
	orDefault(&c.HeartbeatTimeout, 45*time.Second)
	orDefault(&c.HelloTimeout, 10*time.Second)
	orDefault(&c.AheadTimeout, 2*time.Second)
	orDefault(&c.MaxConnections, 10_000)
	orDefault(&c.MaxFrameBytes, 64<<10)
	orDefault(&c.MaxMessageBytes, 1<<20)
	orDefault(&c.BackoffStart, time.Second)
	orDefault(&c.BackoffFactor, 2)
	orDefault(&c.BackoffMax, 30*time.Second)
	orDefault(&c.GoodbyeSpread, 5*time.Second)
	return c
}

// Hub serves WebSocket connections. Make one with [NewHub]. Safe for
// concurrent use.
type Hub struct {
	opts     HubOptions
	upgrader websocket.Upgrader
	sessions *sessions
	counts   counts

	mu      sync.Mutex // guards the fields below
	topics  map[string]*Topic
	conns   map[*conn]struct{}
	entered int // connections, those in their handshake included
	closing bool

	running sync.WaitGroup // connections and snapshots under way
}

// NewHub returns a hub without topics.
func NewHub(o *HubOptions) *Hub {
	h := &Hub{
		opts:     o.withDefaults(),
		sessions: newSessions(),
		topics:   map[string]*Topic{},
		conns:    map[*conn]struct{}{},
	}
	h.upgrader = websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   512,
		WriteBufferSize:  512, // control frames only: messages go past it
		Subprotocols:     []string{Subprotocol},
		CheckOrigin:      h.opts.CheckOrigin,
	}
	return h
}

// Topic makes a topic that begins at a position: its first message must have a
// higher offset. It returns [ErrTopicExists], [ErrTopicName] or [ErrShutdown].
func (h *Hub) Topic(name string, at Position, o *TopicOptions) (*Topic, error) {
	if !validTopic(name) {
		return nil, ErrTopicName
	}
	var opts TopicOptions
	if o != nil {
		opts = *o
	}
	orDefault(&opts.HistoryMessages, 1024)
	orDefault(&opts.HistoryBytes, 8<<20)
	t := &Topic{
		hub:      h,
		name:     name,
		snapshot: opts.Snapshot,
		epoch:    at.Epoch,
		at:       at.Offset,
		last:     at.Offset,
		replay:   replay{maxMessages: opts.HistoryMessages, maxBytes: opts.HistoryBytes, base: at.Offset},
		readers:  map[*subscription]struct{}{},
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return nil, ErrShutdown
	}
	if h.topics[name] != nil {
		return nil, ErrTopicExists
	}
	h.topics[name] = t
	return t, nil
}

func (h *Hub) topic(name string) *Topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[name]
}

// ServeHTTP takes a connection and serves it until it ends.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(websocket.Subprotocols(r), Subprotocol) && websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "This server speaks the subprotocol "+Subprotocol+".", http.StatusBadRequest)
		return
	}
	identity, err := h.authorize(r)
	if err != nil {
		http.Error(w, "Not allowed.", http.StatusUnauthorized)
		return
	}
	if !h.enter() {
		w.Header().Set("Retry-After", strconv.Itoa(int(h.opts.BackoffMax/time.Second)))
		http.Error(w, "No more connections are taken now.", http.StatusServiceUnavailable)
		return
	}
	defer h.leave()
	ws, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	h.serve(ws, identity)
}

func (h *Hub) authorize(r *http.Request) (*Identity, error) {
	if h.opts.Authorize == nil {
		return nil, nil
	}
	id, err := h.opts.Authorize(r)
	return &id, err
}

// enter counts a connection in, unless there are too many or the hub closes.
func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || h.entered >= h.opts.MaxConnections {
		return false
	}
	h.entered++
	h.running.Add(1)
	return true
}

func (h *Hub) leave() {
	h.mu.Lock()
	h.entered--
	h.mu.Unlock()
	h.running.Done()
}

func (h *Hub) serve(ws *websocket.Conn, identity *Identity) {
	c := newConn(h, ws, identity)
	h.mu.Lock()
	h.conns[c] = struct{}{}
	closing := h.closing
	h.mu.Unlock()
	h.counts.accepted.Add(1)
	if closing {
		c.goodbye(h.opts.BackoffStart, shutdownReason)
	}
	c.run()
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
}

// Shutdown says goodbye to every connection, each with a delay of its own
// after which to come back, and returns when all have ended. When ctx ends
// first, it cuts those off that are left and returns the error of ctx.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	for c := range h.conns {
		c.goodbye(h.opts.BackoffStart+rand.N(h.opts.GoodbyeSpread), shutdownReason)
	}
	h.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		h.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		h.mu.Lock()
		for c := range h.conns {
			c.raw.Close()
		}
		h.mu.Unlock()
		<-ended
		return ctx.Err()
	}
}

// Kick ends the connections of a login. Their clients come back after
// BackoffStart and are authorized anew: call it once the login is worth
// nothing any more. It returns how many there were.
func (h *Hub) Kick(login string) (kicked int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if login != "" && c.identity != nil && c.identity.Login == login {
			c.goodbye(h.opts.BackoffStart, "kicked")
			kicked++
		}
	}
	return kicked
}

const shutdownReason = "server-shutdown" // of the goodbye, as the old server's event was named

// Health returns nil while the hub does its work, with visitors or without.
func (h *Hub) Health() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return ErrShutdown
	}
	return nil
}
