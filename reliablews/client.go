package reliablews

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// ClientOptions changes how a client works. The zero value is good; NewClient
// copies it. The functions named On are called one at a time, from the
// goroutine of Run, and hold up what comes after; they may call [Client.Send].
type ClientOptions struct {
	// Topics are subscribed to, each from a position; the zero Position asks
	// for a snapshot. The topic "@" is the inbox: what the server writes to
	// this session alone.
	Topics map[string]Position

	OnMessage  func(Message)  // a message, once and in order
	OnSnapshot func(Snapshot) // what stands for everything up to its position
	OnGap      func(Gap)      // messages that cannot be had any more
	OnState    func(State)    // connecting, live, waiting, closed

	// OnDirect subscribes to the inbox and gets its messages, which OnMessage
	// does not get then.
	OnDirect func(Message)

	// GetToken returns the credential that the server's Authorize wants, for
	// each connection anew. A server that refuses it is asked again with
	// another one, never with the same. Called from a goroutine of the client.
	// Default: none.
	GetToken func(context.Context) (string, error)

	// Session is that of an earlier client, as [Client.Session] gave it. With
	// it the inbox goes on; topics do not need it. Default: a new one.
	Session ClientSession

	// MaxQueued bounds the calls of Send that wait for their answer or for a
	// connection. Default: 1,000.
	MaxQueued int

	// MaxElapsed is how long the client tries to connect before Run returns
	// [ErrGaveUp]. Default: for ever.
	MaxElapsed time.Duration

	// Header goes with the handshake, and with the requests of a client that
	// does without WebSockets. Default: none.
	Header http.Header

	// Dialer makes the connection. Default: 10 s for the handshake, and the
	// proxy of the environment.
	Dialer *websocket.Dialer

	// HTTPClient makes the requests of a client that does without WebSockets.
	// Its Timeout must be 0, as one of them lasts as long as the connection.
	// Default: one that dials as Dialer does.
	HTTPClient *http.Client

	// WebSocketOnly makes the client wait for a WebSocket where there is none,
	// instead of doing without.
	WebSocketOnly bool

	// MaxFrameBytes bounds a frame from the server. Default: 64 MiB, for
	// snapshots.
	MaxFrameBytes int64

	// Logger hears of connections that end. Default: silent.
	Logger *slog.Logger
}

// ClientSession is what a server knows a client by. The token is a secret.
type ClientSession struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// Client subscribes to the topics of a hub and sends messages to it, over
// connections that break. Make one with [NewClient], and then use [Client.Run]
// or [Client.Events]; or with [Dial].
//
// One goroutine reads from the connection, another one, that of Run or of the
// loop over Events, hands over what came: so the connection is kept alive and
// Send is answered however long the application takes.
type Client struct {
	ws, http string // the hub's URL, for either
	opts     ClientOptions
	retry    chan struct{} // RetryNow
	ready    chan struct{} // there is something in the queue
	room     chan struct{} // something was taken from it
	live     chan struct{} // closed at the first welcome
	sends    clientSends

	// Of the goroutine that connects.
	via         Transport // what the next attempt begins with
	fallback    *http.Client
	refusedAuth string    // the credential that was not good (any more)
	dialed      time.Time // the latest WebSocket; of the goroutine that probes, while there is one

	// Of Dial.
	stop  context.CancelFunc
	ended chan struct{}
	err   error // valid once ended is closed

	mu        sync.Mutex // guards the fields below
	running   bool
	positions map[string]Position // behind what the application has taken
	handed    map[string]Position // the same, and behind what it is busy with
	busy      bool                // the application has an event that it has not taken yet
	queue     clientQueue
	session   ClientSession
	hellos    uint64 // number of the latest
	state     State
	link      *link     // the connection that is live
	unacked   int       // events of the inbox that were taken and not acknowledged
	ackBy     time.Time // when they must be
	stats     ClientStats
}

// NewClient returns a client for the hub at a ws:// or wss:// URL. It connects
// in [Client.Run] or [Client.Events].
func NewClient(url string, o *ClientOptions) *Client {
	c := &Client{
		ws: url, http: url,
		retry: make(chan struct{}, 1),
		ready: make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		live:  make(chan struct{}),
		via:   WebSocket,
	}
	if rest, ok := strings.CutPrefix(url, "http"); ok {
		c.ws = "ws" + rest
	} else if rest, ok := strings.CutPrefix(url, "ws"); ok {
		c.http = "http" + rest
	}
	if o != nil {
		c.opts = *o
	}
	if c.opts.Dialer == nil {
		c.opts.Dialer = &websocket.Dialer{Proxy: http.ProxyFromEnvironment}
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.opts.MaxFrameBytes, 64<<20)
	orDefault(&c.opts.MaxQueued, 1000)
	c.positions = maps.Clone(c.opts.Topics)
	if c.positions == nil {
		c.positions = map[string]Position{}
	}
	if _, asked := c.positions[inboxTopic]; c.opts.OnDirect != nil && !asked {
		c.positions[inboxTopic] = Position{}
	}
	c.session = c.opts.Session
	c.sends.max = c.opts.MaxQueued
	return c
}

// Dial connects and returns a client that is live: one that runs by itself
// until [Client.Close], through every lost connection, and calls the functions
// of o. It tries until ctx ends, which has no meaning afterwards; a server that
// refuses the client for good is a [*RefusedError].
func Dial(ctx context.Context, url string, o *ClientOptions) (*Client, error) {
	c := NewClient(url, o)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.ended = stop, make(chan struct{})
	go func() {
		defer close(c.ended)
		defer stop() // releases the context when Run ends by itself
		c.err = c.Run(running)
	}()
	select {
	case <-c.live:
		return c, nil
	case <-c.ended:
		return nil, c.err
	case <-ctx.Done():
		why := c.State().Err
		c.Close()
		if why != nil {
			return nil, fmt.Errorf("reliablews: dial: %w: %w", ctx.Err(), why)
		}
		return nil, fmt.Errorf("reliablews: dial: %w", ctx.Err())
	}
}

// Close ends a client of [Dial] and returns once all of it is gone. Not to be
// called from the client's own functions, which it waits for. The error is why
// the client had ended before, such as a [*RefusedError]; nil if it had not.
func (c *Client) Close() error {
	if c.stop == nil {
		return nil // Run and Events end with their context
	}
	select {
	case <-c.ended:
		return c.err
	default:
	}
	c.stop()
	<-c.ended
	return nil
}

// Done is closed when a client of [Dial] has ended: by Close, or because it
// was refused or gave up, which Close then returns. It is nil for others.
func (c *Client) Done() <-chan struct{} { return c.ended }

// Run connects, and connects again whenever the connection ends, until ctx
// ends, the server refuses the client for good, or MaxElapsed is over. It
// returns the error of ctx, a [*RefusedError], or [ErrGaveUp]. A client runs
// once at a time; it may run again afterwards, from where it was.
//
// A position counts as taken, and [Client.Positions] has it, when the function
// that got the message, snapshot or gap has returned. A function that ends the
// context and returns has taken its event; one that panics has not.
func (c *Client) Run(ctx context.Context) error {
	return c.consume(ctx, func(e Event) bool {
		switch e := e.(type) {
		case Message:
			if e.Topic == inboxTopic && c.opts.OnDirect != nil {
				c.opts.OnDirect(e)
			} else if c.opts.OnMessage != nil {
				c.opts.OnMessage(e)
			}
		case Snapshot:
			if c.opts.OnSnapshot != nil {
				c.opts.OnSnapshot(e)
			}
		case Gap:
			if c.opts.OnGap != nil {
				c.opts.OnGap(e)
			}
		}
		return true
	})
}

// RetryNow makes a client that waits connect at once, and one that is live find
// out within 5 s if its connection is alive: for when the program knows that
// the network has changed. Safe for concurrent use.
func (c *Client) RetryNow() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.doubt()
		return
	}
	nudge(c.retry)
}

// Positions returns where the client is in each topic: behind the last message,
// snapshot or gap that the application has taken, as [Client.Run] and
// [Client.Events] define it. A program that keeps them resumes with a new
// client where this one ended. Safe for concurrent use.
//
// What is done with a message and the position kept for it are two things, and
// a program may end between them. One that must do each thing once keeps the
// position of the message itself, in the same transaction as what it has done.
func (c *Client) Positions() map[string]Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.positions)
}

// Session returns the session of the latest connection, for
// [ClientOptions.Session]. Its zero value means that there was none yet. Safe
// for concurrent use.
func (c *Client) Session() ClientSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// nudge wakes whoever waits on a channel with room for one. It never waits.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// httpClient makes requests the way the dialer makes connections, if it was
// not given. idle lets go of what it keeps open.
func (o *ClientOptions) httpClient() (client *http.Client, idle func()) {
	if o.HTTPClient != nil {
		return o.HTTPClient, func() {}
	}
	d := o.Dialer
	t := &http.Transport{
		Proxy:              d.Proxy,
		DialContext:        d.NetDialContext,
		DialTLSContext:     d.NetDialTLSContext,
		TLSClientConfig:    d.TLSClientConfig.Clone(),
		ForceAttemptHTTP2:  true,
		IdleConnTimeout:    time.Minute,
		DisableCompression: true, // a compressed stream may be held back
	}
	return &http.Client{Transport: t, Jar: d.Jar}, t.CloseIdleConnections
}

// opening is how long the handshake may take.
func (o *ClientOptions) opening() time.Duration {
	return cmp.Or(o.Dialer.HandshakeTimeout, 10*time.Second)
}
