// Package toxitest runs the Go client against a hub through toxiproxy: networks
// that are slow, narrow, broken or dead. It is a module of its own so that
// nobody else fetches toxiproxy.
package toxitest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/contestkit/contestkit/reliablews"
)

const (
	heartbeatTimeout = 900 * time.Millisecond
	patience         = 30 * time.Second // for one step
)

// rig is a hub, a client, and the proxy between them.
type rig struct {
	t      *testing.T
	hub    *reliablews.Hub
	feed   *reliablews.Topic
	proxy  *toxiproxy.Proxy
	client *reliablews.Client
	data   string // of each message

	mu        sync.Mutex // guards the fields below
	more      chan struct{}
	published uint64
	heard     uint64
	lost      int            // connections
	handled   map[string]int // messages of the client, by their data
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, more: make(chan struct{}), handled: map[string]int{}, data: strings.Repeat("x", 100)}
	r.hub = reliablews.NewHub(&reliablews.HubOptions{
		HeartbeatInterval: heartbeatTimeout / 3,
		HeartbeatTimeout:  heartbeatTimeout,
		BackoffStart:      10 * time.Millisecond,
		BackoffMax:        50 * time.Millisecond,
	})
	var err error
	if r.feed, err = r.hub.Topic("feed", reliablews.Position{Epoch: "e1"}, nil); err != nil {
		t.Fatal(err)
	}
	r.hub.Handle("say", func(_ context.Context, q *reliablews.Request) (any, error) {
		r.note(func() { r.handled[string(q.Data)]++ })
		return q.Data, nil
	})
	server := httptest.NewServer(r.hub)
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	r.proxy = toxiproxy.NewProxy(api, "rig", "127.0.0.1:0", server.Listener.Addr().String())
	if err := r.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	r.client = reliablews.NewClient("ws://"+r.proxy.Listen, &reliablews.ClientOptions{
		Topics:        map[string]reliablews.Position{"feed": {Epoch: "e1"}},
		WebSocketOnly: true,
		OnMessage: func(m reliablews.Message) {
			r.note(func() {
				if m.Position.Offset != r.heard+1 {
					t.Errorf("message %d came after %d", m.Position.Offset, r.heard)
				}
				r.heard = m.Position.Offset
			})
		},
		OnGap: func(g reliablews.Gap) { t.Errorf("a gap: %+v", g) },
		OnState: func(s reliablews.State) {
			r.note(func() {
				if s.Status == reliablews.Waiting {
					r.lost++
				}
			})
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		r.proxy.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.hub.Shutdown(ctx)
		server.Close()
	})
	r.publish(1)
	r.all()
	return r
}

func (r *rig) note(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.more)
	r.more = make(chan struct{})
}

// until waits for something that note changes.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		yes, more := is(), r.more
		r.mu.Unlock()
		if yes {
			return
		}
		select {
		case <-more:
		case <-deadline:
			r.t.Fatalf("never saw %s; heard %d of %d, %s", what, r.heard, r.published, r.client.State().Status)
		}
	}
}

func (r *rig) publish(n int) {
	r.t.Helper()
	for range n {
		r.published++
		if err := r.feed.Publish(r.published, r.data); err != nil {
			r.t.Fatal(err)
		}
	}
}

// all waits until the client has everything.
func (r *rig) all() {
	r.t.Helper()
	r.until("everything", func() bool { return r.heard == r.published })
}

// losses is how many connections the client has lost.
func (r *rig) losses() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// poison adds a toxic; cure takes it away.
func (r *rig) poison(kind, stream string, attributes map[string]any) (cure func()) {
	r.t.Helper()
	name := kind + stream
	b, err := json.Marshal(map[string]any{"name": name, "type": kind, "stream": stream, "toxicity": 1, "attributes": attributes})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.proxy.Toxics.AddToxicJson(strings.NewReader(string(b))); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		if err := r.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) say(data int) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	_, err := r.client.Send(ctx, "say", data)
	return err
}

func TestADelayLosesNothing(t *testing.T) {
	r := newRig(t)
	r.poison("latency", "downstream", map[string]any{"latency": 100, "jitter": 50})
	r.poison("latency", "upstream", map[string]any{"latency": 100, "jitter": 50})
	began := time.Now()
	for i := range 5 {
		r.publish(5)
		if err := r.say(i); err != nil {
			t.Fatal(err)
		}
	}
	r.all()
	if took := time.Since(began); took < 5*100*time.Millisecond {
		t.Errorf("it took %s: there was no delay", took)
	}
	if n := r.losses(); n != 0 {
		t.Errorf("%d connections were lost", n)
	}
}

// The network breaks behind any byte: of the handshake, the welcome, a message,
// an answer. The seed of a run that fails is in its output.
func TestCutsAtAnyByteLoseNothing(t *testing.T) {
	for stream, most := range map[string]int{"downstream": 900, "upstream": 350} { // bytes; all that goes in a round is more
		t.Run(stream, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			r := newRig(t)
			said := make(chan error)
			const rounds, each = 20, 5
			for round := range rounds {
				before := r.losses()
				cure := r.poison("limit_data", stream, map[string]any{"bytes": 1 + random.IntN(most)})
				for i := range each {
					go func() { said <- r.say(round*each + i) }()
				}
				r.publish(10)
				r.until("two cuts", func() bool { return r.lost >= before+2 }) // the connection, and one that begins
				cure()
				for range each {
					if err := <-said; err != nil {
						t.Error(err)
					}
				}
				r.all()
			}
			for i := range rounds * each {
				if n := r.handled[fmt.Sprint(i)]; n != 1 {
					t.Errorf("message %d was handled %d times", i, n)
				}
			}
			t.Logf("%d connections were lost, %d messages of the client repeated", r.losses(), r.hub.Stats().Repeated)
		})
	}
}

// A network that is dead and does not say so is found out within the timeout.
func TestAHalfOpenNetworkIsFoundOut(t *testing.T) {
	for _, stream := range []string{"downstream", "upstream"} {
		t.Run(stream, func(t *testing.T) {
			r := newRig(t)
			began := time.Now()
			cure := r.poison("timeout", stream, map[string]any{"timeout": 0}) // nothing passes, nothing closes
			r.publish(5)
			r.until("a loss", func() bool { return r.lost > 0 })
			if took := time.Since(began); took < heartbeatTimeout/2 {
				t.Errorf("the connection was lost after %s: something closed it", took)
			}
			cure()
			r.publish(5)
			if err := r.say(1); err != nil {
				t.Error(err)
			}
			r.all()
		})
	}
}

func TestANarrowNetworkGetsEverything(t *testing.T) {
	r := newRig(t)
	r.data = strings.Repeat("x", 1000)
	r.poison("bandwidth", "downstream", map[string]any{"rate": 40}) // KB/s
	began := time.Now()
	r.publish(60)
	if err := r.say(1); err != nil {
		t.Error(err)
	}
	r.all()
	if took := time.Since(began); took < time.Second {
		t.Errorf("60 KB took %s at 40 KB/s", took)
	}
	if n := r.losses(); n != 0 {
		t.Errorf("%d connections were lost: slow is not dead", n)
	}
}
