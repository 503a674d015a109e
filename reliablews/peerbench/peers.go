package main

import (
	"net/http"
	"time"
)

// server is a peer at work. publish sends every message to every connection, in
// order; subscribers says how many those are now.
type server interface {
	http.Handler
	publish(messages []string)
	subscribers() int
}

// peer is one way to send messages to many connections.
type peer struct {
	name    string
	what    string // for the notes under the tables
	start   func() (server, error)
	dialect dialect

	node    bool // started by Node, see socketio/server.mjs
	recover bool // gives what was missed to those who come back
}

const (
	nameOurs       = "reliablews"
	nameDurable    = "reliablews, durable"
	nameRaw        = "raw"
	nameNaive      = "naive gorilla"
	nameCentrifuge = "centrifuge"
	nameDelay      = "centrifuge, delay"
	nameSocketIO   = "Socket.IO"
)

// What each peer that has a history keeps, and how long.
const (
	historyMessages = 1024
	historyTime     = 5 * time.Minute
)

var peers = []peer{
	{
		name: nameOurs, start: func() (server, error) { return startOurs(false) }, dialect: reliablewsDialect, recover: true,
		what: "default options, so a session for each connection, history (1,024 messages) and heartbeats; one topic",
	},
	{
		name: nameDurable, start: func() (server, error) { return startOurs(true) }, dialect: reliablewsDialect, recover: true,
		what: "the same with a history of 10 messages in memory; the rest is read back from a file",
	},
	{
		name: nameRaw, start: startRaw, dialect: dialect{path: "/"},
		what: "the limit: one goroutine a core writes the frames of a batch, put together once, with one write to each connection; no session, history, heartbeat or queue, and no word on the wire but the message",
	},
	{
		name: nameNaive, start: startNaive, dialect: naiveDialect(),
		what: "gorilla/websocket as its chat example uses it, with PreparedMessage: a goroutine that reads and one that writes for each connection, a channel of 256 between; acknowledging is a loop of ReadMessage and WriteMessage; nothing is recovered",
	},
	{
		name: nameCentrifuge, start: func() (server, error) { return startCentrifuge(0) }, dialect: centrifugeDialect, recover: true,
		what: "centrifugal/centrifuge, JSON protocol, memory broker with history (1,024 messages), subscriptions with recovery, else as it comes; acknowledging is RPC",
	},
	{
		name: nameDelay, start: func() (server, error) { return startCentrifuge(writeDelay) }, dialect: centrifugeDialect, recover: true,
		what: "the same with WriteDelay " + writeDelay.String() + ", WriteWithTimer and no limit of messages in a frame: the cheapest of 1, 5, 20 and 50 ms",
	},
	{
		name: "melody", start: startMelody, dialect: plain,
		what: "olahol/melody, default options, Broadcast; nothing is recovered",
	},
	{
		name: "gws", start: startGWS, dialect: plain,
		what: "lxzan/gws, default options, Broadcaster; nothing is recovered",
	},
	{
		name: nameSocketIO, dialect: socketIODialect, node: true, recover: true,
		what: "socket.io on Node, WebSocket only, connectionStateRecovery, io.emit; acknowledging is its acknowledgement callback",
	},
}

func naiveDialect() dialect {
	d := plain
	d.askPath = "/echo"
	return d
}
