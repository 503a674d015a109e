package reliablews

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"
)

// HubOptions changes how a hub works. The zero value is good; NewHub copies it.
// Zero means the default. Below zero is an error but where it says otherwise.
type HubOptions struct {
	// Authorize says who a request is and which topics it may read. An error
	// refuses the handshake with 401; after a panic the client comes back later.
	// It may return [ErrLater] when the credential is to come with the client's
	// hello: it is called once more then, with that in the request's header as
	// "Authorization: Bearer ...". Default: everyone may read every topic.
	Authorize func(*http.Request) (Identity, error)

	// Origins are those whose pages may connect besides the hub's own, such as
	// "https://hall.example": by WebSocket; what goes without one needs a page of
	// the same origin. Programs, which send no Origin, always may.
	Origins []string

	// CheckOrigin replaces the rule of Origins.
	CheckOrigin func(*http.Request) bool

	// Logger hears of snapshots, histories and handlers that fail, and, with the
	// stack, of functions of the application that panic: the hub goes on. Default:
	// silent.
	Logger *slog.Logger

	// HeartbeatInterval is how often each side says that it is there, and
	// HeartbeatTimeout, which is longer, after how long a silent connection is
	// given up. Clients count in milliseconds. Defaults: 30 s and 45 s.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration

	// HelloTimeout is how long a connection may take to say which topics it
	// wants. Default: 10 s.
	HelloTimeout time.Duration

	// AheadTimeout is how long a client that has seen more than this hub, as
	// after a restart, waits for the hub before it gets a snapshot. Default: 2 s.
	AheadTimeout time.Duration

	// PollTimeout is how long a poll, for clients without WebSockets, waits for
	// something to tell. It is less than HeartbeatTimeout, after which the client
	// takes the hub for dead. Default: 25 s, less than proxies wait, or 5/9 of
	// HeartbeatTimeout where that is less.
	PollTimeout time.Duration

	// MaxPollBytes is from how many bytes on a poll is answered without what is
	// missing still, which comes with the next one. Default: 256 KiB.
	MaxPollBytes int

	// MaxConnections bounds the connections, and apart from them as many requests
	// by POST, which clients without WebSockets send; more get 503. Default:
	// 10,000.
	MaxConnections int

	// MaxPerAddress bounds both for one address; more get 429. A hall full of
	// phones is one address. Default: 5,000.
	MaxPerAddress int

	// Address is what MaxPerAddress counts by, such as a header of a proxy that
	// is trusted. Default: the address of the network connection.
	Address func(*http.Request) string

	// MaxFrameBytes bounds a frame from a client, packed and unpacked. Default:
	// 64 KiB.
	MaxFrameBytes int64

	// MaxFrameRate is how many frames a second a client may send for long, pings
	// and pongs of the WebSocket included, and MaxFrameBurst how many at once.
	// More are read later, none is lost; a negative rate is no bound. Defaults:
	// 100 and 200.
	MaxFrameRate  int
	MaxFrameBurst int

	// MaxMessageBytes bounds a published message, one for an inbox, and the
	// answer of a handler. Default: 1 MiB.
	MaxMessageBytes int

	// HistoryBytes bounds the histories of all topics together: over it, the
	// topic with the largest lets its oldest messages go. What TopicOptions.History
	// reads back is held besides: up to a quarter as much, and 2 MiB at least.
	// Default: 64 MiB.
	HistoryBytes int

	// SessionLifetime is how long a session outlives its connection, and a
	// message waits in its inbox; both are looked for every minute. Default:
	// 5 minutes.
	SessionLifetime time.Duration

	// MaxSessions bounds the sessions, those without a connection included. A new
	// one over it takes the place of the one that has been without a connection
	// for longest; when each has one, the hello is refused with 503, or closed
	// with 1013, and the client comes back later. Default: 100,000, or twice MaxConnections
	// where that is more.
	MaxSessions int

	// MaxInbox bounds the messages that wait for one session, and MaxInboxBytes
	// their bytes. Over it the oldest go, and the client is told. Defaults:
	// 1,000 and 1 MiB.
	MaxInbox      int
	MaxInboxBytes int

	// InboxBytes bounds the inboxes of all sessions together: over it, the
	// largest let their oldest messages go, and their clients are told. Default:
	// 64 MiB.
	InboxBytes int

	// Window is how many messages a client may send before the first of them
	// is answered. Default: 64.
	Window int

	// OnPresence hears when a user comes, and when the user's last session has
	// been without a connection for PresenceGrace, so that a page that is
	// loaded again does not flicker. Calls come one at a time and in order. Of one
	// who has come and gone, or gone and come, while an earlier call lasts, it hears
	// nothing.
	// Default: nobody hears.
	OnPresence func(user string, here bool)

	// PresenceGrace is the time before OnPresence is told that somebody is gone.
	// Default: 5 s.
	PresenceGrace time.Duration

	// BatchDelay is how long a message may wait for others that then go out in
	// the same write: less work for the server in storms of single messages,
	// and that much more latency. Default: none. What is published while earlier
	// messages are written goes out together anyway: 500 messages a second to
	// 200 connections took 0.60 writes a delivery and a median of 5.0 ms on two
	// busy cores, with 5 ms of delay 0.25 and 7.1 ms, with 20 ms 0.09 and 15.8 ms
	// (BenchmarkBatchDelay, 2026-11-25).
	BatchDelay time.Duration

	// Compression offers permessage-deflate (RFC 7692) to clients. Each message
	// is packed once for all, which costs time and holds it in memory twice.
	// Default: off; short messages gain little.
	Compression bool

	// Backoff is told to clients: the first wait, the factor from one to the
	// next, at least 1, and the longest, before jitter. Defaults: 1 s, 2, 30 s.
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
	Topics []string // the topics it may read; those it asks for besides are denied, its inbox never

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
	if c.CheckOrigin == nil {
		c.CheckOrigin = sameOriginOr(c.Origins)
	}
	if c.Address == nil {
		c.Address = remoteHost
	}
	orDefault(&c.HeartbeatInterval, 30*time.Second)
	orDefault(&c.HeartbeatTimeout, 45*time.Second)
	orDefault(&c.HelloTimeout, 10*time.Second)
	orDefault(&c.AheadTimeout, 2*time.Second)
	orDefault(&c.PollTimeout, min(25*time.Second, c.HeartbeatTimeout*5/9))
	orDefault(&c.MaxPollBytes, 256<<10)
	orDefault(&c.MaxConnections, 10_000)
	orDefault(&c.MaxPerAddress, 5_000)
	orDefault(&c.MaxFrameBytes, 64<<10)
	orDefault(&c.MaxFrameRate, 100)
	orDefault(&c.MaxFrameBurst, 200)
	orDefault(&c.MaxMessageBytes, 1<<20)
	orDefault(&c.HistoryBytes, 64<<20)
	orDefault(&c.SessionLifetime, 5*time.Minute)
	orDefault(&c.MaxSessions, max(100_000, 2*c.MaxConnections))
	orDefault(&c.MaxInbox, 1000)
	orDefault(&c.MaxInboxBytes, 1<<20)
	orDefault(&c.InboxBytes, 64<<20)
	orDefault(&c.Window, 64)
	orDefault(&c.PresenceGrace, 5*time.Second)
	orDefault(&c.BackoffStart, time.Second)
	orDefault(&c.BackoffFactor, 2)
	orDefault(&c.BackoffMax, 30*time.Second)
	orDefault(&c.GoodbyeSpread, 5*time.Second)
	return c
}

// check says everything that is wrong with options that have their defaults.
func (o *HubOptions) check() error {
	var wrong []error
	for _, each := range []struct {
		name  string
		value int64
	}{
		{"HeartbeatInterval", int64(o.HeartbeatInterval)},
		{"HeartbeatTimeout", int64(o.HeartbeatTimeout)},
		{"HelloTimeout", int64(o.HelloTimeout)},
		{"AheadTimeout", int64(o.AheadTimeout)},
		{"PollTimeout", int64(o.PollTimeout)},
		{"MaxPollBytes", int64(o.MaxPollBytes)},
		{"MaxConnections", int64(o.MaxConnections)},
		{"MaxPerAddress", int64(o.MaxPerAddress)},
		{"MaxFrameBytes", o.MaxFrameBytes},
		{"MaxFrameBurst", int64(o.MaxFrameBurst)},
		{"MaxMessageBytes", int64(o.MaxMessageBytes)},
		{"HistoryBytes", int64(o.HistoryBytes)},
		{"SessionLifetime", int64(o.SessionLifetime)},
		{"MaxSessions", int64(o.MaxSessions)},
		{"MaxInbox", int64(o.MaxInbox)},
		{"MaxInboxBytes", int64(o.MaxInboxBytes)},
		{"InboxBytes", int64(o.InboxBytes)},
		{"Window", int64(o.Window)},
		{"PresenceGrace", int64(o.PresenceGrace)},
		{"BatchDelay", int64(o.BatchDelay)},
		{"BackoffStart", int64(o.BackoffStart)},
		{"BackoffMax", int64(o.BackoffMax)},
		{"GoodbyeSpread", int64(o.GoodbyeSpread)},
	} {
		if each.value < 0 {
			wrong = append(wrong, fmt.Errorf("%s is below zero", each.name))
		}
	}
	for _, rule := range []struct {
		holds bool
		text  string
	}{
		{o.HeartbeatInterval < 0 || o.HeartbeatInterval >= time.Millisecond, "HeartbeatInterval is under 1 ms"},
		{o.HeartbeatTimeout > o.HeartbeatInterval, "HeartbeatTimeout is not longer than HeartbeatInterval: every connection would be given up"},
		{o.PollTimeout < o.HeartbeatTimeout, "PollTimeout is not less than HeartbeatTimeout: clients would give each poll up"},
		{o.BackoffMax >= o.BackoffStart, "BackoffMax is less than BackoffStart"},
		{o.BackoffFactor >= 1 && o.BackoffFactor < math.Inf(1), "BackoffFactor is no number from 1 on"},
	} {
		if !rule.holds {
			wrong = append(wrong, errors.New(rule.text))
		}
	}
	if wrong != nil {
		return fmt.Errorf("reliablews: HubOptions: %w", errors.Join(wrong...))
	}
	return nil
}
