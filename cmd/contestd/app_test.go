package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/reliablews"
)

// openPage is a page that someone has open: it follows a topic through a real WebSocket.
type openPage struct {
	mu        sync.Mutex // guards the fields below
	events    []string   // "newSubmission <caption>" and such, in the order they came
	snapshots int
	gaps      int
	status    reliablews.Status
	denied    []string      // topics, when it was last live
	changed   chan struct{} // closed at the next change
}

// follow opens a page on a topic from a position until the end of the test.
func (s *server) follow(topic string, from reliablews.Position, header http.Header) *openPage {
	p := &openPage{changed: make(chan struct{})}
	note := func(change func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		change()
		close(p.changed)
		p.changed = make(chan struct{})
	}
	c := reliablews.NewClient(strings.Replace(s.url("/ws"), "http", "ws", 1), &reliablews.ClientOptions{
		Topics: map[string]reliablews.Position{topic: from},
		Header: header,
		OnMessage: func(m reliablews.Message) {
			var messages []struct {
				Event string
				Data  struct{ Caption string }
			}
			if err := json.Unmarshal(m.Data, &messages); err != nil {
				s.t.Errorf("message %s: %v", m.Data, err)
			}
			note(func() {
				for _, x := range messages {
					p.events = append(p.events, strings.TrimSpace(x.Event+" "+x.Data.Caption))
				}
			})
		},
		OnSnapshot: func(reliablews.Snapshot) { note(func() { p.snapshots++ }) },
		OnGap:      func(reliablews.Gap) { note(func() { p.gaps++ }) },
		OnState:    func(st reliablews.State) { note(func() { p.status, p.denied = st.Status, st.Denied }) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	return p
}

// wait returns once the page is as it should be.
func (p *openPage) wait(t testing.TB, what string, is func(*openPage) bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute) // far beyond any wait between attempts
	defer limit.Stop()
	for {
		p.mu.Lock()
		ok, changed := is(p), p.changed
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("the page never came to: %s; it heard %q", what, p.heard())
		}
	}
}

func (p *openPage) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// position returns where the feed is.
func (v *visitor) position() reliablews.Position {
	v.t.Helper()
	var at reliablews.Position
	epoch, offset, ok := strings.Cut(v.get("/api/feed").Header.Get("Contest-Position"), "/")
	if _, err := fmt.Sscan(offset, &at.Offset); !ok || err != nil {
		v.t.Fatal("no position in the answer")
	}
	at.Epoch = epoch
	return at
}

// TestTheWholeContestAcrossARestart is the evening in short: entries, winners,
// a restart in the middle, more entries, all of it over real HTTP and a real
// WebSocket.
func TestTheWholeContestAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	visitor := s.visitor()
	open := s.follow("feed", visitor.position(), nil)
	open.wait(t, "live", func(p *openPage) bool { return p.status == reliablews.Live })

	first := visitor.mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	second := visitor.mustSubmit(newEntry("two"), jpegPhoto(t, 2))
	open.wait(t, "two entries", func(p *openPage) bool { return len(p.events) == 2 })

	organiser := s.organiser()
	if a := organiser.post("/api/save-winners", map[string]any{"winners": map[string]any{"best": []string{second, first}}}); a.Status != http.StatusOK {
		t.Fatalf("save winners: %s", a)
	}
	if a := organiser.post("/api/hide", map[string]any{"id": first, "reason": "blurred"}); a.Status != http.StatusOK {
		t.Fatalf("hide: %s", a)
	}
	open.wait(t, "winners", func(p *openPage) bool { return slices.Contains(p.events, "winnersUpdated") })

	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	open.wait(t, "connection lost", func(p *openPage) bool { return p.status != reliablews.Live })
	s = startServer(t, dir, s.port)
	visitor = s.visitor()
	if got, want := visitor.feedIDs("best"), []string{second}; !slices.Equal(got, want) {
		t.Errorf("after the restart the feed has %v, want %v", got, want)
	}
	visitor.mustSubmit(newEntry("three"), jpegPhoto(t, 3))
	open.wait(t, "the entry after the restart", func(p *openPage) bool { return slices.Contains(p.events, "newSubmission three") })

	var entries []string
	for _, e := range open.heard() {
		if caption, ok := strings.CutPrefix(e, "newSubmission "); ok {
			entries = append(entries, caption)
		}
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(entries, want) {
		t.Errorf("the page heard of the entries %q, want %q", entries, want)
	}
	if open.snapshots+open.gaps != 0 {
		t.Errorf("the page got %d snapshots and %d gaps; it should have gone on where it was", open.snapshots, open.gaps)
	}
	winners := visitor.get("/api/winners").json(t)["winners"].(map[string]any)["best"].([]any)
	if len(winners) != 1 || winners[0].(map[string]any)["id"] != second {
		t.Errorf("the winners are %v, want the one that is not hidden", winners)
	}
}

// TestShutdown asks for the order that the operator's guide describes.
func TestShutdown(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	v := s.visitor()
	v.mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	open := s.follow("feed", v.position(), nil)
	open.wait(t, "live", func(p *openPage) bool { return p.status == reliablews.Live })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	log := s.log.String()
	at := 0
	for _, line := range []string{"Real-time service shutting down...", "Saving final game state...", "HTTP server closed", "Application shutdown complete"} {
		i := strings.Index(log[at:], line)
		if i < 0 {
			t.Fatalf("the log has no %q after the lines before it:\n%s", line, log)
		}
		at += i
	}
}

// TestWhileDrainingWritesAreSentAway looks at a server that drains: what is
// read is answered, what is written is sent away with a time to come back.
func TestWhileDrainingWritesAreSentAway(t *testing.T) {
	cfg := &config{StateDir: t.TempDir(), AdminUser: "admin", AdminPassword: testPassword}
	a, err := openApp(t.Context(), cfg, newLogger(cfg, new(safeBuffer)))
	if err != nil {
		t.Fatal(err)
	}
	a.draining.Store(true)
	if err := a.writes.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/api/feed": 200, "/health": 200, "/ready": 503, "/api/realtime-health": 503} {
		if w := ask(a, "GET", path); w.Code != want {
			t.Errorf("%s answers %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
	w := ask(a, "POST", "/api/submit")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a submission got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if err := a.close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTheGuidesRestoreRestores follows the operator's guide: a backup is
// copied over data.json, and the server is restarted.
func TestTheGuidesRestoreRestores(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	v := s.visitor()
	first := v.mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	if err := s.stop(); err != nil { // saves
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data", "data.json")
	backup, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	s = startServer(t, dir, 0)
	v = s.visitor()
	v.mustSubmit(newEntry("two"), jpegPhoto(t, 2))
	if err := s.stop(); err != nil { // saves that
		t.Fatal(err)
	}
	s = startServer(t, dir, 0)
	if err := os.WriteFile(data, backup, 0o600); err != nil { // while it runs
		t.Fatal(err)
	}
	if err := s.stop(); err != nil && !errors.Is(err, atomicstore.ErrReplaced) {
		t.Fatal(err)
	}
	s = startServer(t, dir, 0)
	v = s.visitor()
	if got := v.feedIDs("best"); !slices.Equal(got, []string{first}) {
		t.Errorf("after the restore the feed has %v, want %s alone", got, first)
	}
	v.mustSubmit(newEntry("three"), jpegPhoto(t, 3))
	if got := v.feedIDs("best"); len(got) != 2 {
		t.Errorf("after one more entry the feed has %v", got)
	}
}
