package browsertest

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// TestClientInChromium has one browser for all: it takes longer to start than
// each of them.
func TestClientInChromium(t *testing.T) {
	chromium := startChromium(t)
	for _, each := range []struct {
		name string
		test func(t *testing.T, chromium context.Context)
	}{
		{"a connection that dies without a word is found", silence},
		{"a page that hears of the lost network finds out at once", offline},
		{"a hidden page listens, and does not dial", hidden},
		{"a frozen page comes back", frozen},
		{"a page out of the browser's cache goes on", cached},
		{"without WebSockets, and back", blocked},
		{"tabs have sessions of their own, reloaded ones keep theirs", tabs},
	} {
		t.Run(each.name, func(t *testing.T) { each.test(t, chromium) })
	}
}

const (
	quick = 100 * time.Millisecond
	never = 24 * time.Hour // is when by itself the client would notice or do something
)

// dialled tells how often the page has begun to connect.
const dialled = `log.filter((l) => l === "state connecting").length`

// Nothing says that the network is gone, and no close comes: only the client's
// clock can tell.
func silence(t *testing.T, chromium context.Context) {
	s := newSite(t, 2*time.Second, quick)
	a := newTab(t, chromium)
	s.followed(a)
	s.publish(1)
	s.all(a, 1)
	a.offline(true, false)
	s.publish(1)
	a.until("that it noticed", `client.state.status === "waiting"`)
	a.want(`log.includes("state waiting silent") && !log.includes("offline") && heard.length === 1`)
	s.publish(1)
	a.offline(false, false)
	s.all(a, 1)
}

// Without the two events it would do nothing for hours.
func offline(t *testing.T, chromium context.Context) {
	s := newSite(t, never, never)
	a := newTab(t, chromium)
	s.followed(a)
	a.offline(true, true)
	s.publish(1)
	a.until("that it noticed", `client.state.status === "waiting"`)
	a.want(`log.includes("offline") && log.includes("state waiting silent")`)
	a.offline(false, true)
	a.until("that it is live", live)
	s.all(a, 1)
}

func hidden(t *testing.T, chromium context.Context) {
	s := newSite(t, never, quick)
	a := newTab(t, chromium)
	s.followed(a)
	b := newTab(t, a.ctx, chromedp.WithNewWindow(false))
	b.front()
	a.until("that it is hidden", `document.visibilityState === "hidden"`)
	s.publish(1)
	s.all(a, 1)
	s.proxy.CutWebSockets()
	a.until("that it waits to be seen", `client.state.reason === "hidden"`)
	s.publish(1)
	a.want(`heard.length === 1 && ` + dialled + ` === 1`)
	a.front()
	s.all(a, 1)
}

func frozen(t *testing.T, chromium context.Context) {
	s := newSite(t, never, never)
	a := newTab(t, chromium)
	s.followed(a)
	session := s.session(a)
	b := newTab(t, a.ctx, chromedp.WithNewWindow(false))
	b.front()
	s.connections(1)
	a.lifecycle(page.SetWebLifecycleStateStateFrozen)
	s.connections(0) // it has hung up: nothing heaps up for a page that does not read
	s.publish(3)
	a.want(`log.some((l) => l.startsWith("freeze")) && heard.length === 0`)
	a.lifecycle(page.SetWebLifecycleStateStateActive)
	a.want(dialled + ` === 1`) // still hidden
	a.front()
	s.all(a, 1)
	if again := s.session(a); again != session {
		t.Errorf("it has session %s, had %s", again, session)
	}
}

func cached(t *testing.T, chromium context.Context) {
	s := newSite(t, never, never)
	a := newTab(t, chromium)
	s.followed(a)
	session := s.session(a)
	s.publish(1)
	s.all(a, 1)
	a.open(s.url + "/elsewhere")
	s.connections(0)
	s.publish(2)
	a.back()
	a.until("the page from the cache", `log.includes("pageshow persisted")`)
	s.all(a, 1)
	if again := s.session(a); again != session {
		t.Errorf("it has session %s, had %s", again, session)
	}
	a.want(`sessionStorage.length === 0`) // or a duplicate of the tab had the session too
}

func blocked(t *testing.T, chromium context.Context) {
	s := newSite(t, never, quick)
	s.proxy.BlockWebSockets(true)
	a := newTab(t, chromium)
	s.followed(a)
	a.want(`client.state.via === "stream"`)
	session := s.session(a)
	s.publish(2)
	s.all(a, 1)

	s.proxy.BufferAnswers(true)
	s.front.CloseClientConnections()
	a.until("that it polls", live+` && client.state.via === "poll"`)
	s.publish(2)
	s.all(a, 1)
	s.session(a)

	// A minute later it tries a WebSocket beside the polls.
	s.proxy.BlockWebSockets(false)
	a.do("a minute", chromedp.Evaluate[chromedp.Void](`{ const now = Date.now; Date.now = () => now() + 60_000; }`))
	s.publish(1) // each frame is an occasion
	a.until("that it has a WebSocket", live+` && client.state.via === undefined`)
	s.publish(1)
	s.all(a, 1)
	if again := s.session(a); again != session {
		t.Errorf("it has session %s, had %s", again, session)
	}
	a.want(`!log.some((l) => l.startsWith("gap"))`)
}

func tabs(t *testing.T, chromium context.Context) {
	s := newSite(t, never, quick)
	a := newTab(t, chromium)
	s.followed(a)
	session := s.session(a)
	s.publish(1)
	s.all(a, 1)

	// Whoever loads the page again is the same, and is where it was.
	a.open(s.url + "/page")
	a.until("that it is live", live)
	if again := s.session(a); again != session {
		t.Errorf("reloaded it has session %s, had %s", again, session)
	}
	s.publish(1)
	s.all(a, 2)

	// A page that opens another gives it a copy of its sessionStorage, as a
	// browser does that duplicates a tab.
	opened := chromedp.WaitNewTarget(a.ctx, func(*target.Info) bool { return true })
	a.do("duplicate", chromedp.Evaluate[chromedp.Void](`window.open(location.href); 0`, byHand))
	b := newTab(t, a.ctx, chromedp.WithTargetID(<-opened))
	b.until("that it is live", live)
	c := newTab(t, a.ctx, chromedp.WithNewWindow(true)) // and one with nothing to begin with
	s.followed(c)
	sessions := map[string]bool{}
	for _, tb := range []*tab{a, b, c} {
		sessions[s.session(tb)] = true
	}
	if len(sessions) != 3 || !sessions[session] {
		t.Errorf("three tabs have the sessions %v", sessions)
	}
	accepted := s.hub.Stats().Accepted
	s.publish(2)
	s.all(a, 2)
	s.all(b, 3)
	s.all(c, 3)
	if n := s.hub.Stats(); n.Connections != 3 || n.Accepted != accepted || accepted != 4 {
		t.Errorf("%d connections, %d accepted, %d before; the tabs fight", n.Connections, n.Accepted, accepted)
	}
}
