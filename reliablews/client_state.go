package reliablews

import "time"

// Status is what a client is doing.
type Status string

const (
	Connecting Status = "connecting"
	Live       Status = "live"
	Waiting    Status = "waiting" // for State.Retry, to connect again
	Closed     Status = "closed"  // Run has ended, or has not begun
)

// Transport is what carries the frames of a connection.
type Transport string

const (
	WebSocket Transport = "websocket"
	Stream    Transport = viaStream // server to client in one long answer, client to server in requests
	Poll      Transport = viaPoll   // all in requests, where a proxy holds long answers back
)

// State is a change of status.
type State struct {
	Status    Status
	Transport Transport     // Connecting, Live
	Retry     time.Duration // Waiting: how long
	Err       error         // Waiting, Closed: why the connection ended; Connecting: why it is not a WebSocket
	Denied    []string      // Live: topics that the server does not give
}

// ClientStats are a client's numbers since it was made.
type ClientStats struct {
	Connections uint64        `json:"connections"` // that had their welcome
	Received    uint64        `json:"received"`    // messages, snapshots and gaps that the application has taken
	Repeated    uint64        `json:"repeated"`    // messages that came again and were dropped
	Answered    uint64        `json:"answered"`    // messages to the server
	Queued      int           `json:"queued"`      // messages to the server without an answer, now
	RoundTrip   time.Duration `json:"roundTrip"`   // the latest: of a ping, or of the hello, ns
	LastHeard   time.Time     `json:"lastHeard"`   // of the server
}

// State returns what the client is doing. It may be ahead of OnState, which is
// called behind the messages that came before. Safe for concurrent use.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Status == "" {
		return State{Status: Closed}
	}
	return c.state
}

// Stats returns the numbers of this moment. Safe for concurrent use.
func (c *Client) Stats() ClientStats {
	answered, queued := c.sends.counts()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Answered, s.Queued = answered, queued
	return s
}

// become changes the state and queues it for OnState.
func (c *Client) become(s State) {
	c.mu.Lock()
	c.state = s
	if s.Status != Live {
		c.link = nil
	}
	c.queue.state(s)
	c.mu.Unlock()
	nudge(c.ready)
}
