package reliablews

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are a hub's numbers since it was made.
type Stats struct {
	Connections       int           `json:"connections"`       // now
	Topics            int           `json:"topics"`            // now
	Accepted          uint64        `json:"accepted"`          // connections
	Resumed           uint64        `json:"resumed"`           // connections that brought their session
	Published         uint64        `json:"published"`         // messages, over all topics
	Delivered         uint64        `json:"delivered"`         // messages, over all connections
	Writes            uint64        `json:"writes"`            // network writes that delivered them
	Snapshots         uint64        `json:"snapshots"`         // made
	SnapshotErrors    uint64        `json:"snapshotErrors"`    // attempts that failed
	Gaps              uint64        `json:"gaps"`              // notices
	HeartbeatFailures uint64        `json:"heartbeatFailures"` // connections given up as silent
	RoundTrip         time.Duration `json:"roundTrip"`         // of heartbeats, a moving average, ns
	LastHeartbeat     time.Time     `json:"lastHeartbeat"`     // answered
}

type counts struct {
	accepted, resumed, published, delivered, writes atomic.Uint64
	snapshots, snapshotErrors, gaps, silent         atomic.Uint64

	mu        sync.Mutex // guards the fields below
	roundTrip time.Duration
	last      time.Time
}

// heartbeat notes an answered heartbeat.
func (c *counts) heartbeat(took time.Duration) {
	took = max(0, took) // the client sends our own clock back, or anything
	if took > time.Hour {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.IsZero() {
		c.roundTrip = took
	} else {
		c.roundTrip += (took - c.roundTrip) / 16
	}
	c.last = time.Now()
}

// Stats returns the numbers of this moment.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	connections, topics := len(h.conns), len(h.topics)
	h.mu.Unlock()
	h.counts.mu.Lock()
	defer h.counts.mu.Unlock()
	return Stats{
		Connections:       connections,
		Topics:            topics,
		Accepted:          h.counts.accepted.Load(),
		Resumed:           h.counts.resumed.Load(),
		Published:         h.counts.published.Load(),
		Delivered:         h.counts.delivered.Load(),
		Writes:            h.counts.writes.Load(),
		Snapshots:         h.counts.snapshots.Load(),
		SnapshotErrors:    h.counts.snapshotErrors.Load(),
		Gaps:              h.counts.gaps.Load(),
		HeartbeatFailures: h.counts.silent.Load(),
		RoundTrip:         h.counts.roundTrip,
		LastHeartbeat:     h.counts.last,
	}
}
