package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/contestkit/contestkit/internal/browser"
	"github.com/contestkit/contestkit/reliablews"
	"github.com/contestkit/contestkit/reliablews/internal/middlebox"
)

// page is what the tests look at: it writes down each message, and each thing
// that happens, in the order in which it does.
const pageHTML = `<!doctype html>
<title>page</title>
<body>
<script type="module">
  import { Client } from "/reliablews.js";
  window.heard = [];
  window.log = [];
  // A slow machine is no dead network: what the client gives 5 or 10 seconds has
  // more than a minute, until a test hurries it.
  window.hurried = false;
  const later = setTimeout;
  window.setTimeout = (f, ms) => later(f, ms < 5000 || ms > 10000 || hurried ? ms : 15 * ms);
  window.client = new Client("/ws", {
    topics: { feed: "stored", "@": "stored" },
    storage: sessionStorage,
  });
  for (const type of ["message", "gap", "snapshot", "state"]) {
    client.addEventListener(type, ({ detail: d }) => {
      if (type === "message") heard.push(d.data);
      log.push(type + " " + (d.status ?? JSON.stringify(d.data ?? d)) + (d.reason ? " " + d.reason : ""));
    });
  }
  for (const type of ["freeze", "resume", "visibilitychange"]) {
    document.addEventListener(type, () => log.push(type + " " + document.visibilityState), true);
  }
  for (const type of ["pageshow", "pagehide", "online", "offline"]) {
    addEventListener(type, (e) => log.push(type + (e.persisted ? " persisted" : "")), true);
  }
  client.start();
</script>`

// site is a hub with its page, behind a proxy.
type site struct {
	t     *testing.T
	hub   *reliablews.Hub
	feed  *reliablews.Topic
	proxy *middlebox.Proxy
	front *httptest.Server // of the proxy
	url   string
	last  uint64
}

// newSite starts one. A connection that is silent for the timeout is dead, and a
// client that lost one waits for backoff at most.
func newSite(t *testing.T, timeout, backoff time.Duration) *site {
	t.Helper()
	s := &site{t: t}
	s.hub = reliablews.NewHub(&reliablews.HubOptions{
		HeartbeatInterval: timeout / 3,
		HeartbeatTimeout:  timeout,
		BackoffStart:      backoff,
		BackoffMax:        backoff,
		HelloTimeout:      browser.Patience,
	})
	var err error
	if s.feed, err = s.hub.Topic("feed", reliablews.Position{Epoch: "e1"}, nil); err != nil {
		t.Fatal(err)
	}
	s.hub.Handle("session", func(_ context.Context, r *reliablews.Request) (any, error) { return r.Session, nil })
	mux := http.NewServeMux()
	mux.Handle("/ws", s.hub)
	mux.Handle("/reliablews.js", reliablews.ScriptHandler())
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, pageHTML)
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>elsewhere</title><body>elsewhere")
	})
	origin := httptest.NewServer(mux)
	if s.proxy, err = middlebox.New(origin.URL); err != nil {
		t.Fatal(err)
	}
	s.front = httptest.NewServer(s.proxy)
	s.url = s.front.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.hub.Shutdown(ctx)
		s.proxy.CutWebSockets()
		s.front.CloseClientConnections()
		s.front.Close()
		origin.Close()
	})
	return s
}

// publish publishes the next numbers, from 1 on.
func (s *site) publish(n int) {
	s.t.Helper()
	for range n {
		s.last++
		if err := s.feed.Publish(s.last, s.last); err != nil {
			s.t.Fatal(err)
		}
	}
}

const live = `window.client?.state.status === "live"`

// newTab opens a tab that says in a failure what its page has seen.
func newTab(t *testing.T) *browser.Tab {
	t.Helper()
	tb := browser.NewTab(t, "the page")
	tb.Tells = "JSON.stringify(window.log)"
	return tb
}

// followed opens the page in a tab, and returns once it is live.
func (s *site) followed(tb *browser.Tab) {
	s.t.Helper()
	tb.Open(s.url + "/page")
	tb.Until("that it is live", live)
}

// hurry makes the page give up after seconds what does not answer, or not any more.
func hurry(tb *browser.Tab, yes bool) {
	tb.T.Helper()
	tb.Eval(fmt.Sprintf("(window.hurried = %t)", yes))
}

// all waits until the page has each number from one on, once and in order.
func (s *site) all(tb *browser.Tab, from uint64) {
	s.t.Helper()
	tb.Until(fmt.Sprintf("number %d", s.last), fmt.Sprintf(`window.heard.includes(%d)`, s.last))
	tb.Want(fmt.Sprintf(`heard.length === %d && heard.every((n, i) => n === i + %d)`, s.last-from+1, from))
}

// connections waits until the hub has that many.
func (s *site) connections(n int) {
	s.t.Helper()
	for begin := time.Now(); time.Since(begin) < browser.Patience; time.Sleep(time.Millisecond) {
		if s.hub.Stats().Connections == n {
			return
		}
	}
	s.t.Fatalf("the hub has %d connections, want %d", s.hub.Stats().Connections, n)
}

// session asks the hub which session the page has.
func (s *site) session(tb *browser.Tab) string {
	s.t.Helper()
	tb.Eval(`client.send("session", (window.session = undefined)).then((s) => (window.session = s))`)
	tb.Until("the answer", "window.session")
	return tb.Eval("window.session")
}
