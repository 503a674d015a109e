package main

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/reliablews"
)

const retryAfterRestart = 5 * time.Second

// health answers as long as the process can answer at all; it touches neither
// disk nor network, because a machine with a bad disk still shows the contest.
func (a *app) health(w http.ResponseWriter, r *http.Request) error {
	answer := map[string]any{
		"status":    "ok",
		"uptime":    time.Since(a.started).Seconds(),
		"timestamp": time.Now().UTC().Format(time.RFC3339),
	}
	if a.cloud != nil {
		answer["cloud"] = a.cloud.numbers().cloudHealth
	}
	return writeJSON(w, http.StatusOK, answer)
}

// ready tells the proxy whether to send visitors here. A store that cannot
// write, a disk that is full, or a topic without snapshots is degraded, not
// unready: this is the only machine that can show what it has, and readers do not
// need the disk. So is a cloud that does not work: every photo is here.
func (a *app) ready(w http.ResponseWriter, r *http.Request) error {
	hub := a.hub.Health()
	switch {
	case a.draining.Load():
		return notReady(w, "draining")
	case a.feed.err() != nil:
		return notReady(w, "live updates have stopped")
	case hub != nil && !errors.Is(hub, reliablews.ErrSnapshot):
		return notReady(w, "the hub cannot do its work")
	}
	answer := map[string]any{"ready": true}
	var parts, reasons []string
	if part, reason := degraded(a.store.Stats(), hub); part != "" {
		parts, reasons = append(parts, part), append(reasons, reason)
	}
	if a.cloud != nil {
		health := a.cloud.numbers().cloudHealth
		answer["cloud"] = health
		if reason := health.trouble(); reason != "" {
			parts, reasons = append(parts, "cloud"), append(reasons, reason)
		}
	}
	if parts != nil {
		answer["degraded"] = parts
		answer["reason"] = strings.Join(reasons, "; ")
	}
	return writeJSON(w, http.StatusOK, answer)
}

// degraded names the part that does not do its work, and says what ends that. A
// store that failed does not notice any more that the disk is full. hub is the
// hub's health.
func degraded(s atomicstore.Stats, hub error) (part, reason string) {
	switch {
	case s.Replaced:
		return "store", "another data.json was put there; entries are refused until a restart takes it over"
	case s.Failed:
		return "store", "the store cannot save; entries are refused until a restart"
	case s.DiskFull:
		return "disk", "the disk is nearly full; entries are refused until there is room"
	case hub != nil:
		return "live", "pages without a position wait for live updates until a snapshot can be made"
	}
	return "", ""
}

func notReady(w http.ResponseWriter, reason string) error {
	return writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": reason})
}

// realtimeHealth is 200 with no visitors at all, and 503 when the hub cannot
// do its work.
func (a *app) realtimeHealth(w http.ResponseWriter, r *http.Request) error {
	status, code := "healthy", http.StatusOK
	if a.draining.Load() || a.feed.err() != nil || a.hub.Health() != nil {
		status, code = "degraded", http.StatusServiceUnavailable
	}
	hub := a.hub.Stats()
	return writeJSON(w, code, map[string]any{
		"status":            status,
		"activeConnections": hub.Connections,
		"totalConnected":    hub.Accepted,
		"messageQueueSize":  a.feed.lag(),
		"averageLatency":    milliseconds(hub.RoundTrip),
		"uptime":            time.Since(a.started).Milliseconds(),
		"lastHeartbeat":     unixMilliseconds(hub.LastHeartbeat),
	})
}

// realtimeFallback tells old clients whether they should poll instead.
func (a *app) realtimeFallback(w http.ResponseWriter, r *http.Request) error {
	degraded := a.draining.Load() || a.feed.err() != nil || a.hub.Health() != nil
	recommendations, mode := []string{}, "none"
	if degraded {
		recommendations, mode = append(recommendations, "Read /api/feed every ten seconds until /ready answers 200."), "polling"
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"available":       true,
		"degraded":        degraded,
		"recommendations": recommendations,
		"fallbackMode":    mode,
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// unixMilliseconds is 0 for a time that has not come yet.
func unixMilliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
