package reliablews

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSimulation runs hubs and clients on a network that does everything that
// networks do, on schedules drawn from seeds, and holds them to the promises of
// doc.go. RELIABLEWS_SEEDS says how many seeds, 100 by default;
// RELIABLEWS_SEED=n runs that one alone. A schedule that fails is printed after
// what it does not need was taken out. The scheduler of Go decides what comes
// first in the same moment: a seed may need more runs to fail again (-count).
func TestSimulation(t *testing.T) {
	first, seeds := uint64(1), uint64(100)
	if s := os.Getenv("RELIABLEWS_SEEDS"); s != "" {
		seeds = number(t, s)
	}
	if s := os.Getenv("RELIABLEWS_SEED"); s != "" {
		first, seeds = number(t, s), 1
	}
	var next atomic.Uint64
	var total simCounts
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for seed := first + next.Add(1) - 1; seed < first+seeds; seed = first + next.Add(1) - 1 {
					steps := simSchedule(seed)
					if faults := simulate(t, seed, steps, &total); len(faults) > 0 {
						steps, faults = shrunk(t, seed, steps, faults)
						t.Errorf("RELIABLEWS_SEED=%d fails:\n%s\non the schedule (wait, what, with)\n%s", seed, strings.Join(faults, "\n"), printed(steps))
						return
					}
				}
			})
		}
	})
	if !t.Failed() {
		t.Logf("%d seeds: all promises were kept; %s", seeds, &total)
	}
}

func number(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// simCounts say whether a simulation is worth anything.
type simCounts struct{ connections, events, repeated, gaps, handled, again, resumed, evicted, refused, away, dropped, panics, failed atomic.Uint64 }

func (c *simCounts) String() string {
	return fmt.Sprintf("%d connections, %d sessions resumed, %d events, %d repeats dropped, %d gaps, %d requests handled, %d repeats answered, %d sessions evicted and %d refused, %d turned away, %d dropped from inboxes, %d panics, %d snapshots failed",
		c.connections.Load(), c.resumed.Load(), c.events.Load(), c.repeated.Load(), c.gaps.Load(), c.handled.Load(), c.again.Load(),
		c.evicted.Load(), c.refused.Load(), c.away.Load(), c.dropped.Load(), c.panics.Load(), c.failed.Load())
}

func (c *simCounts) add(h *Hub) {
	s := h.Stats()
	c.gaps.Add(s.Gaps)
	c.handled.Add(s.Received)
	c.again.Add(s.Repeated)
	c.resumed.Add(s.Resumed)
	c.evicted.Add(s.SessionsEvicted)
	c.refused.Add(s.SessionsRefused)
	c.away.Add(s.TurnedAway)
	c.dropped.Add(s.InboxDropped)
	c.panics.Add(s.Panics)
	c.failed.Add(s.SnapshotErrors)
}

// shrunk takes steps out for as long as the schedule still fails.
func shrunk(t *testing.T, seed uint64, steps []simStep, faults []string) ([]simStep, []string) {
	runs := 0
	for size := len(steps) / 2; size > 0; {
		shorter := false
		for from := 0; from+size <= len(steps) && runs < 300; {
			without := slices.Concat(steps[:from], steps[from+size:])
			runs++
			if f := simulate(t, seed, without, nil); len(f) > 0 {
				steps, faults, shorter = without, f, true
			} else {
				from += size
			}
		}
		if !shorter || size > len(steps) {
			size = min(size, len(steps)) / 2
		}
	}
	return steps, faults
}

// simulate runs a schedule and returns which promises were broken.
func simulate(t *testing.T, seed uint64, steps []simStep, total *simCounts) (faults []string) {
	defer func() {
		if p := recover(); p != nil { // a deadlock, or goroutines that are left
			faults = []string{fmt.Sprint(p)}
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, seed)
		w.start()
		for _, p := range w.people {
			p.begin()
		}
		var calls []func() bool
		for _, s := range steps {
			advance(s.Wait)
			synctest.Wait()
			if call := w.do(s, total); call != nil {
				calls = append(calls, call)
			}
			synctest.Wait()
			w.look()
		}
		w.settle(total, calls)
		faults = w.faults.all()
	})
	return faults
}

// do makes a step happen. It returns a function that tells whether what it has
// begun is over, if it has begun anything.
func (w *simWorld) do(s simStep, total *simCounts) (over func() bool) {
	l := w.logs[s.A%len(w.logs)]
	p := w.people[s.A%len(w.people)]
	if s.Do == "publish" || s.Do == "advance" || s.Do == "truncate" {
		l.finish(w.t)
	}
	switch s.Do {
	case "publish":
		w.publish(l, 1+s.B%8)
	case "advance":
		l.mu.Lock()
		l.at += uint64(s.B % 3)
		l.topic.Advance(l.at)
		l.mu.Unlock()
	case "truncate":
		if !l.durable {
			l.mu.Lock()
			l.at += uint64(s.B % 3)
			l.topic.Truncate(l.at)
			l.mu.Unlock()
		}
	case "break":
		w.net.breakAll()
	case "cut", "silence":
		lines := w.net.open()
		if len(lines) == 0 {
			return nil
		}
		line := lines[s.A%len(lines)]
		if s.Do == "cut" { // after so many bytes one way
			lane := line.up
			if s.B%2 == 0 {
				lane = line.down
			}
			lane.mu.Lock()
			lane.cut = s.B
			lane.mu.Unlock()
			return nil
		}
		both := s.B%3 == 0
		line.each(func(lane *lane) {
			lane.silent = lane.silent || both || (lane == line.up) == (s.B%3 == 1)
		})
	case "latency":
		w.net.latency.Store(int64([]time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second}[s.B%4]))
	case "gate":
		refuse := []int{0, 0, 400, 403, 404, 502, -1}[s.B%7]
		w.gate.set(refuse, s.A%3 == 0)
	case "lost":
		w.net.lost.Store(s.B%2 == 0)
	case "restart":
		w.shutdown(s.A)
		if total != nil {
			total.add(w.hub)
		}
		for _, l := range w.logs {
			l.finish(w.t) // to the log, the topic is gone
			w.forget(l, s.B%14)
		}
		if s.A%3 == 0 {
			advance(time.Duration(s.B*20) * time.Millisecond)
		}
		w.start()
	case "kick":
		w.hub.Kick(p.user)
	case "client":
		p.end()
		if s.B%3 == 0 {
			advance(simExact[s.B%len(simExact)])
		}
		p.begin()
	case "retry":
		p.client.RetryNow()
	case "direct":
		for range 1 + s.B%6 {
			if id := p.client.Session().ID; id != "" {
				w.direct(id)
			}
		}
	case "user":
		if !w.strange {
			w.toUser(p.user)
		}
	case "send":
		var left atomic.Int32
		for i := range 1 + s.B%5 {
			ctx, cancel := context.Background(), context.CancelFunc(func() {})
			if s.B%4 == 0 {
				ctx, cancel = context.WithTimeout(ctx, simExact[s.B%len(simExact)])
			}
			q := w.request((s.B/5+i)%12, p.name)
			left.Add(1)
			go func() {
				defer left.Add(-1)
				defer cancel()
				p.ask(ctx, q)
			}()
			synctest.Wait() // Send was called: the next comes behind it
		}
		return func() bool { return left.Load() == 0 }
	}
	return nil
}

// look checks what must hold at any time.
func (w *simWorld) look() {
	h := w.hub
	var held, pages int64
	for _, l := range w.logs {
		l.topic.mu.Lock()
		held += int64(l.topic.replay.bytes)
		for _, page := range l.topic.past.pages {
			pages += int64(page.bytes)
		}
		r := &l.topic.replay
		if n := len(r.messages); n > r.maxMessages && !r.holding || n > 1 && r.bytes > r.maxBytes {
			w.faults.add("topic %s holds %d messages, %d bytes", l.name, n, r.bytes)
		}
		if n := len(l.topic.parked); n > 2*len(w.people)+8 {
			w.faults.add("topic %s has %d parked", l.name, n)
		}
		l.topic.mu.Unlock()
	}
	if s := h.Stats(); s.HistoryBytes != held || s.PageBytes != pages {
		w.faults.add("histories have %d bytes, pages %d; counted are %d and %d", held, pages, s.HistoryBytes, s.PageBytes)
	}
	h.mu.Lock()
	for c := range h.conns {
		c.mu.Lock()
		if n := len(c.control); n > maxControl+16 {
			w.faults.add("%d frames are queued", n)
		}
		c.mu.Unlock()
	}
	h.mu.Unlock()
	for _, p := range w.people {
		p.client.mu.Lock()
		if n := len(p.client.queue.items); n > queueMessages+queueStates+8 {
			w.faults.add("%s has queued %d", p.name, n)
		}
		p.client.mu.Unlock()
	}
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	now, seen, inboxes := time.Now(), map[string]seenSession{}, int64(0)
	for id, s := range h.sessions.byID {
		was, known := w.seen[id]
		switch {
		case s.conn != nil:
			was.with = now
		case !known:
			was.with = w.looked
		}
		if seen[id] = was; s.conn == nil && now.Sub(s.left) > 5*time.Minute+sessionSweep {
			w.faults.add("session %s is held, left %s ago", id, now.Sub(s.left))
		}
		if box := s.inbox.Load(); box != nil {
			messages, bytes := box.size()
			if messages > max(1, h.opts.MaxInbox) || messages > 1 && bytes > h.opts.MaxInboxBytes {
				w.faults.add("the inbox of %s has %d messages, %d bytes", id, messages, bytes)
			}
			inboxes += int64(bytes)
		}
	}
	if got := h.sessions.inboxBytes.Load(); got != inboxes || got > int64(h.opts.InboxBytes) {
		w.faults.add("the inboxes have %d bytes, %d are counted", inboxes, got)
	}
	if n := len(seen); n > h.opts.MaxSessions {
		w.faults.add("there are %d sessions", n)
	}
	away := 0
	for _, s := range h.sessions.byID {
		if (s.conn == nil) != (s.away != nil) {
			w.faults.add("session %s is on the wrong list", s.id)
		}
		if s.away != nil {
			away++
		}
	}
	if n := h.sessions.away.Len(); n != away {
		w.faults.add("%d sessions are away, %d on the list", away, n)
	}
	for id, s := range w.seen {
		if _, held := seen[id]; !held && now.Sub(s.with) < 5*time.Minute && h.counts.sessionsEvicted.Load() == 0 {
			w.faults.add("session %s was forgotten, connected %s ago", id, now.Sub(s.with))
		}
	}
	w.looked = now
	w.seen = seen
}

// settle heals the network and checks what must hold in the end.
func (w *simWorld) settle(total *simCounts, calls []func() bool) {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.gate.set(0, false)
	w.net.lost.Store(false)
	w.net.latency.Store(int64(50 * time.Millisecond))
	for _, l := range w.net.open() {
		l.each(func(lane *lane) { lane.cut = -1 }) // a silent one stays silent
	}
	for _, l := range w.logs {
		l.finish(w.t)
	}
	advance(4 * time.Minute)
	synctest.Wait()
	w.look()
	connections := map[*simPerson]uint64{}
	for _, p := range w.people {
		connections[p] = p.client.Stats().Connections
		w.direct(p.client.Session().ID)
	}
	for _, l := range w.logs {
		w.publish(l, 2)
	}
	advance(3 * time.Minute)
	synctest.Wait()
	w.look()
	for i, over := range calls {
		if !over() {
			w.faults.add("call %d of Send waits", i)
		}
	}
	for _, p := range w.people {
		p.check(connections[p])
	}
	if !w.strange {
		w.checkPresence()
	}
	for _, p := range w.people {
		if total != nil {
			s := p.client.Stats()
			total.connections.Add(s.Connections)
			total.events.Add(s.Received)
			total.repeated.Add(s.Repeated)
		}
		p.end()
	}
	advance(5*time.Minute + sessionSweep + time.Minute)
	synctest.Wait()
	if s := w.hub.Stats(); s.Sessions != 0 || s.Users != 0 || s.Connections != 0 || s.InboxBytes != 0 || s.PageBytes != 0 || w.hub.entered.total+w.hub.asking.total != 0 {
		w.faults.add("without clients there are %+v", s)
	}
	if total != nil {
		total.add(w.hub)
	}
	w.shutdown(1)
	w.running.Wait()
	synctest.Wait()
}

func (p *simPerson) check(connections uint64) {
	w := p.world
	if s := p.client.State(); s.Status != Live || s.Transport != WebSocket {
		w.faults.add("%s is %+v", p.name, s)
	}
	if n := p.client.Stats().Connections; n != connections {
		w.faults.add("%s has made %d connections in a quiet time", p.name, n-connections)
	}
	positions := p.client.Positions()
	for _, l := range w.logs {
		place, at := p.places[l.name], l.topic.Position()
		if missed := l.between(at.Epoch, place.at.Offset, at.Offset+1); place.at.Epoch != at.Epoch || len(missed) > 0 {
			place.fault("the topic is at %s, nothing was heard of %v", at, missed)
		}
		if positions[l.name] != at {
			place.fault("the client is at %s, the topic at %s", positions[l.name], at)
		}
	}
	session := p.client.Session().ID
	if want := (Position{session, uint64(len(p.box.of(session)))}); p.box.at != want {
		p.box.fault("it should be at %s", want)
	}
	if q := p.client.Stats().Queued; q != 0 {
		w.faults.add("%s has %d requests without an answer", p.name, q)
	}
}

func (w *simWorld) checkPresence() {
	want := map[string]int{}
	for _, p := range w.people {
		want[p.user]++
	}
	got := map[string]int{}
	for _, p := range w.hub.Present() {
		got[p.User] = p.Connections
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, user := range []string{"user0", "user1"} {
		if got[user] != want[user] || w.present[user] != (want[user] > 0) {
			w.faults.add("%s has %d connections and is said to be here: %t; want %d", user, got[user], w.present[user], want[user])
		}
	}
}
