package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/gorilla/websocket"
)

// ClientOptions changes how a client works. The zero value is good but for
// Topics; NewClient copies it. The functions are called one at a time, from
// the goroutine of Run, and hold up what comes after.
type ClientOptions struct {
	// Topics are subscribed to, each from a position; the zero Position asks
	// for a snapshot.
	Topics map[string]Position

	OnMessage  func(Message)  // a message, once and in order
	OnSnapshot func(Snapshot) // what stands for everything up to its position
	OnGap      func(Gap)      // messages that cannot be had any more
	OnState    func(State)    // connecting, live, waiting

	// Header goes with the handshake. Default: none.
	Header http.Header

	// Dialer makes the connection. Default: 10 s for the handshake.
	Dialer *websocket.Dialer

	// MaxFrameBytes bounds a frame from the server. Default: 64 MiB, for
	// snapshots.
	MaxFrameBytes int64

	// Logger hears of connections that end. Default: silent.
	Logger *slog.Logger
}

// Message is one message of a topic.
type Message struct {
	Topic    string
	Position Position
	Data     json.RawMessage
}

// Snapshot stands for every message of a topic up to its position.
type Snapshot struct {
	Topic    string
	Position Position
	Data     json.RawMessage
}

// Gap says that messages are lost: those after From and up to Position.
type Gap struct {
	Topic    string
	From     uint64 // offset that the client had, 0 when of another epoch
	Position Position
	Reason   string // "epoch", "truncated", "ahead" or "slow"
}

// Status is what a client is doing.
type Status string

const (
	Connecting Status = "connecting"
	Live       Status = "live"
	Waiting    Status = "waiting" // for State.Retry, to connect again
)

// State is a change of status.
type State struct {
	Status Status
	Retry  time.Duration // Waiting: how long
	Err    error         // Waiting: why the connection ended
	Denied []string      // Live: topics that the server does not give
}

// Client subscribes to the topics of a hub. Make one with [NewClient].
type Client struct {
	url  string
	opts ClientOptions

	session, token string // of Run

	mu        sync.Mutex // guards positions
	positions map[string]Position
}

// stableAfter is how long a connection must live before the waits between
// attempts begin again at the shortest.
const stableAfter = 10 * time.Second

// goodbyeTimeout is how long a server that has said goodbye may take to close.
const goodbyeTimeout = 5 * time.Second

// NewClient returns a client for the hub at a ws:// or wss:// URL. It connects
// in Run.
func NewClient(url string, o *ClientOptions) *Client {
	c := &Client{url: url}
	if o != nil {
		c.opts = *o
	}
	if c.opts.Dialer == nil {
		c.opts.Dialer = &websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.opts.MaxFrameBytes, 64<<20)
	c.positions = maps.Clone(c.opts.Topics)
	return c
}

// Positions returns where the client is in each topic: after the last message
// or snapshot that was handed over. A program that keeps them resumes with a
// new client where this one ended. Safe for concurrent use.
func (c *Client) Positions() map[string]Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.positions)
}

// Run connects, and connects again whenever the connection ends, until ctx
// ends or the server refuses the client for good. It returns the error of ctx,
// or a [*RefusedError].
func (c *Client) Run(ctx context.Context) error {
	schedule := backoffState{Start: 1000, Factor: 2, Max: 30_000}
	waits := c.waits(schedule)
	for {
		c.state(State{Status: Connecting})
		began := time.Now()
		l := &link{client: c, ctx: ctx}
		err := l.run()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refused *RefusedError
		if errors.As(err, &refused) {
			return err
		}
		if l.backoff != nil && *l.backoff != schedule {
			schedule = *l.backoff
			waits = c.waits(schedule)
		} else if l.live && time.Since(began) >= stableAfter {
			waits.Reset()
		}
		wait := fullJitter(waits)
		if l.delay > 0 {
			wait = l.delay // the server has spread its clients itself
		}
		c.opts.Logger.Info("connection ended", "error", err, "retry", wait)
		c.state(State{Status: Waiting, Retry: wait, Err: err})
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// waits makes the waits between attempts grow as the server wants it.
func (c *Client) waits(b backoffState) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Duration(b.Start)*time.Millisecond),
		backoff.WithMultiplier(b.Factor),
		backoff.WithMaxInterval(time.Duration(b.Max)*time.Millisecond),
		backoff.WithRandomizationFactor(0), // fullJitter does it, within the cap
		backoff.WithMaxElapsedTime(0),      // never give up
	)
}

// fullJitter spreads a wait over its whole length, so that clients that were
// cut off together do not come back together.
func fullJitter(b *backoff.ExponentialBackOff) time.Duration {
	return rand.N(b.NextBackOff()) + time.Millisecond
}

func (c *Client) state(s State) {
	if c.opts.OnState != nil {
		c.opts.OnState(s)
	}
}

func (c *Client) position(topic string) Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.positions[topic]
}

func (c *Client) move(topic string, p Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.positions[topic] = p
}

// link is one connection of a client.
type link struct {
	client  *Client
	ctx     context.Context
	ws      *websocket.Conn
	live    bool
	delay   time.Duration // from the server's goodbye
	backoff *backoffState // from its welcome
	timeout time.Duration
}

var errHole = errors.New("reliablews: a message is missing")

// run serves the connection until it ends.
func (l *link) run() error {
	c := l.client
	dialer := *c.opts.Dialer
	dialer.Subprotocols = []string{Subprotocol}
	ws, resp, err := dialer.DialContext(l.ctx, c.url, c.opts.Header)
	if err != nil {
		if resp != nil && resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout {
			return &RefusedError{Code: resp.StatusCode, Reason: resp.Status}
		}
		return fmt.Errorf("reliablews: connect: %w", err)
	}
	defer ws.Close()
	// A read has no context of its own: closing is what ends it.
	defer context.AfterFunc(l.ctx, func() { ws.Close() })()
	if ws.Subprotocol() != Subprotocol {
		return &RefusedError{Code: websocket.CloseProtocolError, Reason: "the server does not speak " + Subprotocol}
	}
	ws.SetReadLimit(c.opts.MaxFrameBytes)
	l.ws, l.timeout = ws, 45*time.Second

	hello := clientFrame{T: "hello", Session: c.session, Token: c.token, Topics: map[string]*Position{}}
	for name, p := range c.Positions() {
		hello.Topics[name] = nil
		if p != (Position{}) {
			hello.Topics[name] = &p
		}
	}
	if err := l.send(hello); err != nil {
		return err
	}
	for {
		ws.SetReadDeadline(time.Now().Add(l.timeout))
		_, data, err := ws.ReadMessage()
		if err != nil {
			return l.ended(err)
		}
		f, err := decodeServerFrame(data)
		if err != nil {
			return err
		}
		if err := l.handle(f); err != nil {
			return err
		}
	}
}

// ended says what the end of a connection means for the client.
func (l *link) ended(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		switch {
		case final(closed.Code):
			return &RefusedError{Code: closed.Code, Reason: closed.Text}
		case closed.Code == CloseTakenOver:
			l.client.session, l.client.token = "", ""
		}
	}
	return fmt.Errorf("reliablews: connection lost: %w", err)
}

func (l *link) send(f clientFrame) error {
	l.ws.SetWriteDeadline(time.Now().Add(l.timeout))
	if err := l.ws.WriteJSON(f); err != nil {
		return fmt.Errorf("reliablews: send: %w", err)
	}
	return nil
}

func (l *link) handle(f serverFrame) error {
	c := l.client
	if !l.live && f.T != "welcome" && f.T != "bye" {
		return fmt.Errorf("%w: %s before the welcome", errFrame, f.T)
	}
	switch f.T {
	case "welcome":
		l.welcome(f)
	case "msg":
		at := c.position(f.S)
		switch {
		case f.O <= at.Offset:
			return nil // seen, on an earlier connection or in a snapshot
		case f.P > at.Offset:
			return fmt.Errorf("%w: %s goes on with %d after %d, this client has %d", errHole, f.S, f.O, f.P, at.Offset)
		}
		at.Offset = f.O
		if c.opts.OnMessage != nil {
			c.opts.OnMessage(Message{f.S, at, f.D})
		}
		c.move(f.S, at)
	case "snap":
		at := Position{f.E, f.O}
		if c.opts.OnSnapshot != nil {
			c.opts.OnSnapshot(Snapshot{f.S, at, f.D})
		}
		c.move(f.S, at)
	case "gap":
		at := Position{f.E, f.O}
		if c.opts.OnGap != nil {
			c.opts.OnGap(Gap{f.S, f.P, at, f.Reason})
		}
		c.move(f.S, at)
	case "ping":
		for topic, offset := range f.Pos {
			if at := c.position(topic); offset > at.Offset {
				at.Offset = offset
				c.move(topic, at)
			}
		}
		return l.send(clientFrame{T: "pong", TS: f.TS})
	case "bye":
		l.delay = time.Duration(f.Delay) * time.Millisecond
		l.timeout = min(l.timeout, goodbyeTimeout) // for the close frame, which may never come
	}
	return nil
}

func (l *link) welcome(f serverFrame) {
	c := l.client
	c.session, c.token = f.Session, f.Token
	if f.Timeout > 0 {
		l.timeout = time.Duration(f.Timeout) * time.Millisecond
	}
	if b := f.Backoff; b != nil && b.Start > 0 && b.Factor >= 1 && b.Max >= b.Start {
		l.backoff = b
	}
	for name, state := range f.Topics {
		if state.Resumed {
			// For one who is new to a topic without snapshots this is where it
			// begins; for others it is where they are.
			c.move(name, Position{state.Epoch, state.Offset})
		}
	}
	l.live = true
	c.state(State{Status: Live, Denied: f.Denied})
}
