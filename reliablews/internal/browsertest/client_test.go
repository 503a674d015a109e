package browsertest

import (
	"os"
	"testing"
	"time"

	"github.com/contestkit/contestkit/internal/browser"
)

func TestMain(m *testing.M) { os.Exit(browser.Main{M: m}.Run()) }

func TestClientInChromium(t *testing.T) {
	for _, each := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"a connection that dies without a word is found", silence},
		{"a page that hears of the lost network finds out at once", offline},
		{"a hidden page listens, and does not dial", hidden},
		{"a frozen page comes back", frozen},
		{"a page out of the browser's cache goes on", cached},
		{"without WebSockets, and back", blocked},
		{"tabs have sessions of their own, reloaded ones keep theirs", tabs},
	} {
		t.Run(each.name, each.test)
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
func silence(t *testing.T) {
	s := newSite(t, 3*time.Second, quick)
	a := newTab(t)
	s.followed(a)
	s.publish(1)
	s.all(a, 1)
	a.Until("that it is live", live) // a slow machine may have been silent for so long before
	a.Offline(true, false)
	s.publish(1)
	a.Until("that it noticed", `client.state.status === "waiting"`)
	a.Want(`log.includes("state waiting silent") && !log.includes("offline") && heard.length === 1`)
	s.publish(1)
	a.Offline(false, false)
	s.all(a, 1)
}

// Without the two events it would do nothing for hours.
func offline(t *testing.T) {
	s := newSite(t, never, never)
	a := newTab(t)
	s.followed(a)
	hurry(a, true)
	a.Offline(true, true)
	s.publish(1)
	a.Until("that it noticed", `client.state.status === "waiting"`)
	a.Want(`log.includes("offline") && log.includes("state waiting silent")`)
	hurry(a, false)
	a.Offline(false, true)
	a.Until("that it is live", live)
	s.all(a, 1)
}

func hidden(t *testing.T) {
	s := newSite(t, never, quick)
	a := newTab(t)
	s.followed(a)
	a.NewTab()
	a.Until("that it is hidden", `document.visibilityState === "hidden"`)
	s.publish(1)
	s.all(a, 1)
	s.proxy.CutWebSockets()
	a.Until("that it waits to be seen", `client.state.reason === "hidden"`)
	s.publish(1)
	a.Want(`heard.length === 1 && ` + dialled + ` === 1`)
	a.Front()
	s.all(a, 1)
}

func frozen(t *testing.T) {
	s := newSite(t, never, never)
	a := newTab(t)
	s.followed(a)
	session := s.session(a)
	a.NewTab()
	s.connections(1)
	a.Freeze(true)
	s.connections(0) // it has hung up: nothing heaps up for a page that does not read
	s.publish(3)
	a.Want(`log.some((l) => l.startsWith("freeze")) && heard.length === 0`)
	a.Freeze(false)
	a.Want(dialled + ` === 1`) // still hidden
	a.Front()
	s.all(a, 1)
	if again := s.session(a); again != session {
		t.Errorf("it has session %s, had %s", again, session)
	}
}

func cached(t *testing.T) {
	s := newSite(t, never, never)
	a := newTab(t)
	s.followed(a)
	session := s.session(a)
	s.publish(1)
	s.all(a, 1)
	a.Open(s.url + "/elsewhere")
	s.connections(0)
	s.publish(2)
	a.Back("/page")
	a.Until("the page from the cache", `log.includes("pageshow persisted")`)
	s.all(a, 1)
	if again := s.session(a); again != session {
		t.Errorf("it has session %s, had %s", again, session)
	}
	a.Want(`sessionStorage.length === 0`) // or a duplicate of the tab had the session too
}

func blocked(t *testing.T) {
	s := newSite(t, never, quick)
	s.proxy.BlockWebSockets(true)
	a := newTab(t)
	s.followed(a)
	a.Want(`client.state.via === "stream"`)
	session := s.session(a)
	s.publish(2)
	s.all(a, 1)

	hurry(a, true)
	s.proxy.BufferAnswers(true)
	s.front.CloseClientConnections()
	a.Until("that it polls", live+` && client.state.via === "poll"`)
	hurry(a, false)
	s.publish(2)
	s.all(a, 1)
	s.session(a)

	// A minute later it tries a WebSocket beside the polls.
	s.proxy.BlockWebSockets(false)
	a.Eval(`((now) => (Date.now = () => now() + 60_000))(Date.now)`)
	s.publish(1) // each frame is an occasion
	a.Until("that it has a WebSocket", live+` && client.state.via === undefined`)
	s.publish(1)
	s.all(a, 1)
	if again := s.session(a); again != session {
		t.Errorf("it has session %s, had %s", again, session)
	}
	a.Want(`!log.some((l) => l.startsWith("gap"))`)
}

func tabs(t *testing.T) {
	s := newSite(t, never, quick)
	a := newTab(t)
	s.followed(a)
	session := s.session(a)
	s.publish(1)
	s.all(a, 1)

	// Whoever loads the page again is the same, and is where it was.
	a.Open(s.url + "/page")
	a.Until("that it is live", live)
	if again := s.session(a); again != session {
		t.Errorf("reloaded it has session %s, had %s", again, session)
	}
	s.publish(1)
	s.all(a, 2)

	b := a.Duplicate()
	b.Until("that it is live", live)
	c := a.NewWindow() // with nothing to begin with
	s.followed(c)
	sessions := map[string]bool{}
	for _, tb := range []*browser.Tab{a, b, c} {
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
