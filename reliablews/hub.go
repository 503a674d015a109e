package reliablews

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Hub serves connections. Make one with [NewHub]. Safe for concurrent use.
type Hub struct {
	opts      HubOptions
	upgrader  websocket.Upgrader
	sessions  *sessions
	presence  *presence
	beats     beats
	counts    counts
	handlers  atomic.Pointer[map[string]Handler]
	held      atomic.Int64  // bytes in the histories of all topics
	pageBytes atomic.Int64  // and of what was read back for some
	kicks     atomic.Uint64 // calls of Kick

	ctx    context.Context // of handlers: ends when Shutdown gives up
	cancel context.CancelFunc

	trimming sync.Mutex

	mu      sync.Mutex // guards the fields below
	topics  map[string]*Topic
	conns   map[*conn]struct{}
	entered places // connections, those in their handshake included
	asking  places // requests by POST that are none, or not yet
	closing bool

	running sync.WaitGroup // connections, and what is done for several of them
}

// NewHub returns a hub without topics. It panics, and says why, when options are
// below zero or contradict each other: a program must not start with them.
func NewHub(o *HubOptions) *Hub {
	opts := o.withDefaults()
	if err := opts.check(); err != nil {
		panic(err)
	}
	h := &Hub{
		opts:    opts,
		topics:  map[string]*Topic{},
		conns:   map[*conn]struct{}{},
		entered: places{addresses: map[string]int{}},
		asking:  places{addresses: map[string]int{}},
	}
	h.beats.interval = h.opts.HeartbeatInterval
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.sessions = newSessions(h.opts.SessionLifetime, h.opts.MaxSessions, &h.counts)
	h.presence = newPresence(h.opts.PresenceGrace, h.tellPresence())
	h.handlers.Store(&map[string]Handler{})
	h.upgrader = websocket.Upgrader{
		HandshakeTimeout:  10 * time.Second,
		ReadBufferSize:    256,
		WriteBufferPool:   new(sync.Pool), // control frames only: messages go past it
		Subprotocols:      []string{Subprotocol},
		CheckOrigin:       h.originAllowed,
		EnableCompression: h.opts.Compression,
	}
	return h
}

// Topic makes a topic that begins at a position: its first message must have a
// higher offset. It returns [ErrTopicExists], [ErrTopicName], [ErrShutdown], or an
// error when an option is below zero.
func (h *Hub) Topic(name string, at Position, o *TopicOptions) (*Topic, error) {
	if !validTopic(name) {
		return nil, ErrTopicName
	}
	var opts TopicOptions
	if o != nil {
		opts = *o
	}
	if opts.HistoryMessages < 0 || opts.HistoryBytes < 0 {
		return nil, fmt.Errorf("reliablews: TopicOptions of %s: HistoryMessages or HistoryBytes is below zero", name)
	}
	orDefault(&opts.HistoryMessages, 1024)
	orDefault(&opts.HistoryBytes, 8<<20)
	t := &Topic{
		hub:      h,
		name:     name,
		snapshot: opts.Snapshot,
		history:  opts.History,
		epoch:    at.Epoch,
		at:       at.Offset,
		last:     at.Offset,
		replay:   replay{maxMessages: opts.HistoryMessages, maxBytes: opts.HistoryBytes, base: at.Offset},
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

// ServeHTTP takes a connection. A WebSocket is served on after it has returned,
// which is when the client has said hello; what goes without one, as PROTOCOL.md says, is served until it returns.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff") // what a client said may be in an answer
	if r.Method == http.MethodPost {
		h.servePost(w, r)
		return
	}
	if !slices.Contains(websocket.Subprotocols(r), Subprotocol) && websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "This server speaks the subprotocol "+Subprotocol+".", http.StatusBadRequest)
		return
	}
	kicks := h.kicks.Load()
	identity, later, err := h.authorize(r)
	if err != nil {
		notAllowed(w, err)
		return
	}
	address := h.opts.Address(r)
	if !h.admit(w, address) {
		return
	}
	s, err := h.upgrade(w, r)
	if err != nil {
		h.leave(address)
		return // upgrade has answered
	}
	c := h.newConn(s, identity, kicks, address)
	if later {
		c.request = r.Clone(context.WithoutCancel(r.Context()))
	}
	c.begin()
	greeted := false
	defer func() {
		if !greeted {
			c.end()
		}
	}()
	if greeted = c.greet(s); greeted {
		go c.serve(s) // not here: the request and its buffers would be held as long
	}
}

// authorize returns who a request is, nil when everyone may read everything.
// later says that the credential is to come with the hello.
func (h *Hub) authorize(r *http.Request) (_ *Identity, later bool, err error) {
	if h.opts.Authorize == nil {
		return nil, false, nil
	}
	id, err := h.callAuthorize(r)
	if errors.Is(err, ErrLater) {
		return nil, true, nil
	}
	return &id, false, err
}

// admit counts a connection in, or answers why not.
func (h *Hub) admit(w http.ResponseWriter, address string) bool {
	return h.pass(w, h.enter(address))
}

// pass answers one who is not admitted.
func (h *Hub) pass(w http.ResponseWriter, a admission) bool {
	status, text := http.StatusServiceUnavailable, "No more connections are taken now."
	switch a {
	case admitted:
		return true
	case crowded:
		status, text = http.StatusTooManyRequests, "No more connections are taken from this address now."
	}
	h.turnAway(w, status, text)
	h.counts.turnedAway.Add(1)
	return false
}

// turnAway answers a client that may come back later.
func (h *Hub) turnAway(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(h.opts.BackoffMax/time.Second)))
	http.Error(w, text, status)
}

type admission int

const (
	admitted admission = iota
	full               // or closing
	crowded            // too many of one address
)

// enter counts a connection in, unless there are too many or the hub closes.
func (h *Hub) enter(address string) admission {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return full
	}
	a := h.entered.enter(address, &h.opts)
	if a == admitted {
		h.running.Add(1)
	}
	return a
}

func (h *Hub) leave(address string) {
	h.vacate(address)
	h.running.Done()
}

// vacate is leave for what Shutdown does not wait for any more.
func (h *Hub) vacate(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entered.leave(address)
}

// ask counts a request by POST in, or answers why not. They have places of their
// own: a client with a stream needs both.
func (h *Hub) ask(w http.ResponseWriter, address string) bool {
	h.mu.Lock()
	a := h.asking.enter(address, &h.opts)
	h.mu.Unlock()
	return h.pass(w, a)
}

func (h *Hub) asked(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking.leave(address)
}

// places are those of connections, or of requests, that are taken.
type places struct {
	total     int
	addresses map[string]int // by address
}

func (c *places) enter(address string, o *HubOptions) admission {
	if c.total >= o.MaxConnections {
		return full
	}
	if c.addresses[address] >= o.MaxPerAddress {
		return crowded
	}
	c.total++
	c.addresses[address]++
	return admitted
}

func (c *places) leave(address string) {
	c.total--
	if c.addresses[address]--; c.addresses[address] == 0 {
		delete(c.addresses, address)
	}
}

// trim lets the oldest messages of the largest histories go while all together
// are over the bound.
func (h *Hub) trim() {
	if h.held.Load() <= int64(h.opts.HistoryBytes) {
		return
	}
	h.trimming.Lock() // two would drop the same excess twice
	defer h.trimming.Unlock()
	h.mu.Lock()
	topics := slices.Collect(maps.Values(h.topics))
	h.mu.Unlock()
	for h.held.Load() > int64(h.opts.HistoryBytes) {
		topics = slices.DeleteFunc(topics, func(t *Topic) bool { return !t.spareable.Load() })
		if len(topics) == 0 {
			return // nothing but the newest of each
		}
		largest := slices.MaxFunc(topics, func(a, b *Topic) int { return cmp.Compare(a.held.Load(), b.held.Load()) })
		largest.shrink(int(h.held.Load()) - h.opts.HistoryBytes)
	}
}

// Shutdown says goodbye to every connection, each with a delay of its own
// after which to come back, and returns when all have ended. When ctx ends
// first, it cuts those off that are left, ends the context of handlers, and
// returns the error of ctx once they, and OnPresence, have returned.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	for c := range h.conns {
		c.goodbye(h.opts.BackoffStart+rand.N(h.opts.GoodbyeSpread), shutdownReason)
	}
	h.mu.Unlock()

	h.sessions.close()
	defer h.cancel()
	ended := make(chan struct{})
	go func() {
		h.running.Wait()
		h.presence.close()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		h.cancel()
		h.mu.Lock()
		for c := range h.conns {
			c.cancel()
			c.out.abort()
		}
		h.mu.Unlock()
		<-ended
		return ctx.Err()
	}
}

// Kick ends the connections of a login, and lets its sessions send nothing by
// post until their next hello. Their clients come back after
// BackoffStart and are authorized anew: call it once the login is worth
// nothing any more. It returns how many there were.
func (h *Hub) Kick(login string) (kicked int) {
	if login == "" {
		return 0
	}
	h.kicks.Add(1)           // before it looks: see conn.kicked
	h.sessions.revoke(login) // what comes by post brings no credential of its own
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if who := c.identity.Load(); who != nil && who.Login == login {
			c.dismiss(kickedReason)
			kicked++
		}
	}
	return kicked
}

// Reasons of goodbyes.
const (
	shutdownReason = "server-shutdown" // as the old server's event was named
	kickedReason   = "kicked"
)

// Health returns nil while the hub does its work, with visitors or without. It
// returns [ErrShutdown], or an [ErrSnapshot] that names the topic and the latest
// failure, while subscribers wait for a snapshot that fails again and again;
// everybody else is served then.
func (h *Hub) Health() error {
	h.mu.Lock()
	closing, topics := h.closing, slices.Collect(maps.Values(h.topics))
	h.mu.Unlock()
	if closing {
		return ErrShutdown
	}
	for _, t := range topics {
		if count, latest, waiting := t.trouble(); waiting && count >= snapshotAlarm {
			return fmt.Errorf("%w: of %s, %d times in a row: %s", ErrSnapshot, t.name, count, firstLine(latest))
		}
	}
	return nil
}
