package reliablews

import (
	"bytes"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// simGate is what stands between the network and the hub: proxies that let no
// WebSocket through, or hold answers back until they are whole.
type simGate struct {
	hub http.Handler

	mu     sync.Mutex // guards the fields below
	refuse int        // what a handshake is answered with: 0 for nothing in the way, negative for never
	hold   bool
}

func (g *simGate) set(refuse int, hold bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse, g.hold = refuse, hold
}

func (g *simGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	refuse, hold := g.refuse, g.hold
	g.mu.Unlock()
	switch {
	case websocket.IsWebSocketUpgrade(r) && refuse < 0:
		<-r.Context().Done()
	case websocket.IsWebSocketUpgrade(r) && refuse > 0:
		http.Error(w, "no upgrades here", refuse)
	case hold && r.Method == http.MethodPost:
		held := &heldWriter{ResponseWriter: w}
		g.hub.ServeHTTP(held, r)
		if held.status != 0 {
			w.WriteHeader(held.status)
		}
		w.Write(held.body.Bytes())
	default:
		g.hub.ServeHTTP(w, r)
	}
}

// heldWriter holds an answer back until it is whole.
type heldWriter struct {
	http.ResponseWriter
	mu     sync.Mutex
	status int
	body   bytes.Buffer
}

func (w *heldWriter) WriteHeader(status int) { w.status = status }
func (w *heldWriter) Flush()                 {}
func (w *heldWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.body.Write(b)
}
