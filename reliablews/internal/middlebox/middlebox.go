// Package middlebox is the proxy of an office or a hotel, for tests: it lets no
// WebSocket through, holds answers back until they are complete, and breaks
// connections.
package middlebox

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// Proxy is an http.Handler that passes requests on to a server. What it does to
// them may change at any time and holds for those that come after.
type Proxy struct {
	blocks  atomic.Bool
	buffers atomic.Bool
	blocked atomic.Int64
	proxy   *httputil.ReverseProxy

	mu    sync.Mutex // guards conns
	conns []net.Conn // WebSockets
}

// New returns a proxy that harms nothing yet. target is the server's address,
// such as http://127.0.0.1:3000.
func New(target string) (*Proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	p := &Proxy{}
	p.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // for the rule of the same origin
		},
		ModifyResponse: p.hold,
		// A request that its client gave up is an error of the proxy's; it would
		// fill the output of the tests.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	return p, nil
}

// BlockWebSockets makes it refuse them, or let them through again.
func (p *Proxy) BlockWebSockets(yes bool) { p.blocks.Store(yes) }

// BufferAnswers makes it hold answers back until they are complete, which the
// stream of a client without WebSockets never is.
func (p *Proxy) BufferAnswers(yes bool) { p.buffers.Store(yes) }

// Blocked returns how many WebSockets it has refused.
func (p *Proxy) Blocked() int { return int(p.blocked.Load()) }

// ServeHTTP passes a request on, or not.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.blocks.Load() && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		p.blocked.Add(1)
		http.Error(w, "Not through here.", http.StatusForbidden)
		return
	}
	p.proxy.ServeHTTP(&hijacker{w, p}, r)
}

// CutWebSockets breaks every WebSocket without a word.
func (p *Proxy) CutWebSockets() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// hijacker notes which connections have become WebSockets.
type hijacker struct {
	http.ResponseWriter
	proxy *Proxy
}

func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err == nil {
		h.proxy.mu.Lock()
		h.proxy.conns = append(h.proxy.conns, c)
		h.proxy.mu.Unlock()
	}
	return c, rw, err
}

func (p *Proxy) hold(r *http.Response) error {
	if r.StatusCode == http.StatusSwitchingProtocols || !p.buffers.Load() {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}
