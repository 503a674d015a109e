package main

import (
	"net/http"
	"runtime/metrics"
	"sync"
	"time"
)

// requestCounts adds up the requests since the start. Safe for concurrent use.
type requestCounts struct {
	mu      sync.Mutex // guards the fields below
	total   uint64
	refused uint64 // 4xx
	failed  uint64 // 5xx
	busy    time.Duration
	slowest time.Duration
}

func (c *requestCounts) add(status int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	switch status / 100 {
	case 4:
		c.refused++
	case 5:
		c.failed++
	}
	c.busy += took
	c.slowest = max(c.slowest, took)
}

func (c *requestCounts) numbers() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	average, errorRate := time.Duration(0), 0.0
	if c.total > 0 {
		average = c.busy / time.Duration(c.total)
		errorRate = float64(c.failed) / float64(c.total)
	}
	return map[string]any{
		"total":          c.total,
		"refused":        c.refused,
		"failed":         c.failed,
		"errorRate":      errorRate,
		"averageLatency": milliseconds(average),
		"maxLatency":     milliseconds(c.slowest),
	}
}

// metrics answers with numbers only: no name, address or text of anyone.
func (a *app) metrics(w http.ResponseWriter, r *http.Request) error {
	state, at := a.store.State()
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/cpu/classes/user:cpu-seconds"},
	}
	metrics.Read(samples)
	answer := map[string]any{
		"requests":    a.requests.numbers(),
		"connections": a.hub.Stats().Connections,
		"queue":       a.feed.lag(),
		"contest":     map[string]any{"entries": state.Len(), "position": at.Seq},
		"store":       a.store.Stats(),
		"uploads":     a.photos.Stats(),
		"memory":      map[string]any{"total": samples[0].Value.Uint64(), "heap": samples[1].Value.Uint64()},
		"goroutines":  samples[2].Value.Uint64(),
		"cpu":         map[string]any{"userSeconds": samples[3].Value.Float64()},
		"uptime":      time.Since(a.started).Milliseconds(),
	}
	if a.cloud != nil {
		answer["cloud"] = a.cloud.numbers()
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (a *app) realtimeMetrics(w http.ResponseWriter, r *http.Request) error {
	hub := a.hub.Stats()
	return writeJSON(w, http.StatusOK, map[string]any{
		"activeConnections":    hub.Connections,
		"totalConnected":       hub.Accepted,
		"queuedMessages":       a.feed.lag(),
		"averageLatency":       milliseconds(hub.RoundTrip),
		"reconnectionAttempts": hub.Resumed,
		"heartbeatFailures":    hub.HeartbeatFailures,
		"uptime":               time.Since(a.started).Milliseconds(),
	})
}
