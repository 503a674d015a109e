package reliablews

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are a hub's numbers since it was made.
type Stats struct {
	Connections       int           `json:"connections"`       // now
	Topics            int           `json:"topics"`            // now
	Sessions          int           `json:"sessions"`          // now, those without a connection included
	SessionsEvicted   uint64        `json:"sessionsEvicted"`   // forgotten early, for a new one
	SessionsRefused   uint64        `json:"sessionsRefused"`   // hellos that there was no room for
	Users             int           `json:"users"`             // now, see Hub.Present
	HistoryBytes      int64         `json:"historyBytes"`      // now, of all topics
	PageBytes         int64         `json:"pageBytes"`         // now, read back from durable histories
	Accepted          uint64        `json:"accepted"`          // connections
	Resumed           uint64        `json:"resumed"`           // connections that brought their session
	Published         uint64        `json:"published"`         // messages, over all topics
	Delivered         uint64        `json:"delivered"`         // messages, over all connections
	Writes            uint64        `json:"writes"`            // network writes that delivered them
	Snapshots         uint64        `json:"snapshots"`         // made
	SnapshotErrors    uint64        `json:"snapshotErrors"`    // attempts that failed
	SnapshotsFailing  int           `json:"snapshotsFailing"`  // now: topics whose latest attempt failed
	SnapshotError     string        `json:"snapshotError"`     // of one of those, "" while there are none
	Gaps              uint64        `json:"gaps"`              // notices
	HistoryReads      uint64        `json:"historyReads"`      // pages read back from durable histories
	HistoryErrors     uint64        `json:"historyErrors"`     // attempts that failed
	Sent              uint64        `json:"sent"`              // messages put into inboxes
	InboxBytes        int64         `json:"inboxBytes"`        // now, of all sessions
	InboxDropped      uint64        `json:"inboxDropped"`      // of those, gone before the client had them
	Received          uint64        `json:"received"`          // messages from clients, handled
	Repeated          uint64        `json:"repeated"`          // messages from clients that were handled before
	HandlerErrors     uint64        `json:"handlerErrors"`     // of the handled, those that failed
	Throttled         uint64        `json:"throttled"`         // frames that came too fast and were handled later
	TurnedAway        uint64        `json:"turnedAway"`        // connections and posts over a limit
	Panics            uint64        `json:"panics"`            // of the application's functions, contained
	HeartbeatFailures uint64        `json:"heartbeatFailures"` // connections given up as silent
	RoundTrip         time.Duration `json:"roundTrip"`         // of heartbeats, a moving average, ns
	LastHeartbeat     time.Time     `json:"lastHeartbeat"`     // answered
}

type counts struct {
	accepted, resumed, published, delivered, writes atomic.Uint64
	snapshots, snapshotErrors, gaps, silent         atomic.Uint64
	historyReads, historyErrors, sent, inboxDropped atomic.Uint64
	received, repeated, handlerErrors               atomic.Uint64
	sessionsEvicted, sessionsRefused                atomic.Uint64
	throttled, turnedAway, panics                   atomic.Uint64

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
	connections, topics := len(h.conns), slices.Collect(maps.Values(h.topics))
	h.mu.Unlock()
	failing, failure := 0, ""
	for _, t := range topics {
		if count, latest, _ := t.trouble(); count > 0 {
			failing, failure = failing+1, firstLine(latest)
		}
	}
	h.presence.mu.Lock()
	users := len(h.presence.users)
	h.presence.mu.Unlock()
	sessions := h.sessions.len()
	h.counts.mu.Lock()
	defer h.counts.mu.Unlock()
	return Stats{
		Connections:       connections,
		Topics:            len(topics),
		Sessions:          sessions,
		SessionsEvicted:   h.counts.sessionsEvicted.Load(),
		SessionsRefused:   h.counts.sessionsRefused.Load(),
		Users:             users,
		HistoryBytes:      h.held.Load(),
		PageBytes:         h.pageBytes.Load(),
		Accepted:          h.counts.accepted.Load(),
		Resumed:           h.counts.resumed.Load(),
		Published:         h.counts.published.Load(),
		Delivered:         h.counts.delivered.Load(),
		Writes:            h.counts.writes.Load(),
		Snapshots:         h.counts.snapshots.Load(),
		SnapshotErrors:    h.counts.snapshotErrors.Load(),
		SnapshotsFailing:  failing,
		SnapshotError:     failure,
		Gaps:              h.counts.gaps.Load(),
		HistoryReads:      h.counts.historyReads.Load(),
		HistoryErrors:     h.counts.historyErrors.Load(),
		Sent:              h.counts.sent.Load(),
		InboxBytes:        h.sessions.inboxBytes.Load(),
		InboxDropped:      h.counts.inboxDropped.Load(),
		Received:          h.counts.received.Load(),
		Repeated:          h.counts.repeated.Load(),
		HandlerErrors:     h.counts.handlerErrors.Load(),
		Throttled:         h.counts.throttled.Load(),
		Panics:            h.counts.panics.Load(),
		TurnedAway:        h.counts.turnedAway.Load(),
		HeartbeatFailures: h.counts.silent.Load(),
		RoundTrip:         h.counts.roundTrip,
		LastHeartbeat:     h.counts.last,
	}
}
