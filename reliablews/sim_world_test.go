package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// simWorld is a hub that restarts, its clients, and the network between them.
type simWorld struct {
	t      *testing.T
	rng    *rand.Rand // of the goroutine that makes the schedule happen
	net    *simNet
	gate   *simGate
	faults *simFaults
	logs   []*simLog
	people []*simPerson
	ids    uint64

	hubs    int // so far
	hub     *Hub
	stop    func() // the network server
	running sync.WaitGroup
	seen    map[string]seenSession
	looked  time.Time

	options HubOptions
	topics  TopicOptions
	later   bool // credentials come with the hello
	strange bool // nobody is known to the hub
	packed  bool
	panics  bool // the application's functions do
	crawls  bool // snapshots do
	directs simDirects

	mu      sync.Mutex          // guards the fields below
	rest    *rand.Rand          // of everything else
	calm    bool                // nothing is slow any more, nothing fails
	handled map[string]int      // hub, session and id of a message to what it was
	order   map[string]int      // the latest of a client in a session
	did     map[int]bool        // by number of a message
	present map[string]bool     // by user, as OnPresence said
	over    map[int]bool        // hubs whose Shutdown has returned
	asked   map[int]*simRequest // by number
}

// seenSession is what was seen of a session: a time before which its connection
// has not ended, whatever it says itself. (It may have had others since.)
type seenSession struct{ with time.Time }

type simRequest struct {
	K    int
	Kind int
	Slow time.Duration
	Lane string // requests of one are in order
}

// simPerson is a client and what it knows.
type simPerson struct {
	world     *simWorld
	name      string
	user      string
	slow      bool
	places    map[string]*simPlace
	box       *simBox
	client    *Client
	stop      func() error
	ctx       context.Context // ends with the client
	positions map[string]Position
	session   ClientSession
}

func (w *simWorld) chance(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.rest.IntN(n) == 0
}

func (w *simWorld) random(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rest.Int64N(int64(d)))
}

func newSimWorld(t *testing.T, seed uint64) *simWorld {
	rng := rand.New(rand.NewPCG(seed, 101))
	w := &simWorld{
		t: t, rng: rng, net: &simNet{seed: seed}, gate: &simGate{}, faults: &simFaults{},
		rest:    rand.New(rand.NewPCG(seed, 102)),
		directs: simDirects{sent: map[string][]simDirect{}},
		handled: map[string]int{}, order: map[string]int{}, did: map[int]bool{},
		over: map[int]bool{}, asked: map[int]*simRequest{},
	}
	w.net.latency.Store(int64(time.Duration(1+rng.IntN(100)) * time.Millisecond))
	switch rng.IntN(4) {
	case 0:
		w.later = true
	case 1:
		w.strange = true
	}
	w.packed = rng.IntN(6) == 0
	w.options = HubOptions{
		Window:        []int{0, 1, 3}[rng.IntN(3)],
		MaxInbox:      []int{0, 2, 10}[rng.IntN(3)],
		GoodbyeSpread: time.Duration(1+rng.IntN(5000)) * time.Millisecond,
		Compression:   w.packed,
		OnPresence:    w.presence,
	}
	if rng.IntN(4) == 0 {
		w.options.BatchDelay = 20 * time.Millisecond
	}
	if rng.IntN(4) == 0 {
		w.options.MaxFrameRate, w.options.MaxFrameBurst = 2, 3
	}
	if !w.strange {
		w.options.Authorize = w.authorize
	}
	w.tighten(rand.New(rand.NewPCG(seed, 103)))
	w.topics.HistoryMessages = []int{1, 5, 30, 1000}[rng.IntN(4)]
	if rng.IntN(4) == 0 {
		w.topics.HistoryBytes = 400
	}
	for _, name := range []string{"feed", "staff"} {
		w.logs = append(w.logs, &simLog{
			name: name, snapshots: rng.IntN(2) == 0, durable: rng.IntN(2) == 0, flaky: rng.IntN(4) == 0,
			epoch: 1, all: map[string][]simEntry{}, lost: map[uint64]bool{},
		})
	}
	for i := range 1 + rng.IntN(3) {
		p := &simPerson{
			world: w, name: fmt.Sprintf("client %d", i), user: fmt.Sprintf("user%d", rng.IntN(2)), slow: rng.IntN(4) == 0,
			positions: map[string]Position{}, places: map[string]*simPlace{},
		}
		for _, l := range w.logs {
			place := &simPlace{log: l, faults: w.faults, client: p.name}
			if rng.IntN(2) == 0 {
				place.known, place.at = true, Position{l.current(), 0}
			}
			p.places[l.name], p.positions[l.name] = place, place.at
		}
		max := w.options.MaxInbox
		orDefault(&max, 1000)
		if w.options.InboxBytes+w.options.MaxInboxBytes > 0 {
			max = 0 // it may be full with any number
		}
		p.box = &simBox{directs: &w.directs, faults: w.faults, client: p.name, max: max, lifetime: 5 * time.Minute}
		w.people = append(w.people, p)
	}
	return w
}

// tighten makes bounds so small that they are reached, for some.
func (w *simWorld) tighten(rng *rand.Rand) {
	o := &w.options
	if rng.IntN(4) == 0 {
		o.MaxSessions = 3 + rng.IntN(2) // as many as there are clients at most
	}
	if rng.IntN(4) == 0 {
		o.MaxConnections = 5
	}
	if rng.IntN(4) == 0 {
		o.InboxBytes = 150 + rng.IntN(500) // a message has some 50
	}
	if rng.IntN(4) == 0 {
		o.MaxInboxBytes = 60 + rng.IntN(200)
	}
	if rng.IntN(2) == 0 {
		o.MaxPollBytes = 1 + rng.IntN(300)
	}
	w.panics = rng.IntN(3) == 0
	w.crawls = rng.IntN(4) == 0
}

// panic is what a function of the application does now and then.
func (w *simWorld) panic(n int) {
	if w.panics && w.chance(n) {
		panic("the application's")
	}
}

func (w *simWorld) authorize(r *http.Request) (Identity, error) {
	user := r.Header.Get("X-User")
	w.panic(20)
	if w.later {
		token := r.Header.Get("Authorization")
		if token == "" {
			return Identity{}, ErrLater
		}
		if w.chance(20) {
			return Identity{}, errors.New("not any more")
		}
	}
	return Identity{User: user, Login: user, Topics: []string{"feed", "staff"}}, nil
}

func (w *simWorld) presence(user string, here bool) {
	defer w.panic(5)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.present[user] == here {
		w.faults.add("OnPresence(%s, %t) twice", user, here)
	}
	w.present[user] = here
}

// start starts a hub with what is known of its topics.
func (w *simWorld) start() {
	w.hubs++
	o := w.options
	w.mu.Lock()
	w.present = map[string]bool{}
	w.mu.Unlock()
	w.seen = map[string]seenSession{}
	w.hub = NewHub(&o)
	number := w.hubs
	w.hub.Handle("do", func(ctx context.Context, r *Request) (any, error) { return w.handle(number, r) })
	for _, l := range w.logs {
		w.open(l)
	}
	w.gate.hub = w.hub
	listen := &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: w.gate}
	w.net.mu.Lock()
	w.net.listen = listen
	w.net.mu.Unlock()
	w.running.Go(func() { server.Serve(listen) })
	w.stop = func() {
		w.net.mu.Lock()
		w.net.listen = nil
		w.net.mu.Unlock()
		server.Close()
	}
}

// open makes a topic and publishes to it again what is known, from somewhere on.
func (w *simWorld) open(l *simLog) {
	o := w.topics
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.log[:len(l.log)-len(l.tail)]
	from := 0
	if w.rng.IntN(2) == 0 {
		from = w.rng.IntN(len(known) + 1)
	}
	base := l.start
	if from > 0 {
		base = known[from-1].Offset
	}
	var topic *Topic
	if l.snapshots {
		o.Snapshot = func(context.Context) (Position, any, error) {
			if w.chance(5) {
				return Position{}, nil, errors.New("not now")
			}
			w.panic(5)
			p := topic.Position()
			if w.crawls && w.chance(3) {
				advance(w.random(25 * time.Second)) // than which messages may be held for less
			}
			if w.chance(3) {
				advance(w.random(2 * time.Second))
			}
			return p, p, nil
		}
	}
	if l.durable {
		o.History = func(_ context.Context, after, upTo uint64) iter.Seq2[HistoryMessage, error] {
			return w.history(l, after, upTo)
		}
	}
	topic, err := w.hub.Topic(l.name, Position{l.current(), base}, &o)
	if err != nil {
		w.t.Fatal(err)
	}
	l.topic = topic
	for _, e := range known[from:] {
		if err := topic.Publish(e.Offset, e); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(l.tail) == 0 && l.at > topic.Position().Offset {
		topic.Advance(l.at)
	}
}

// history reads what is known back.
func (w *simWorld) history(l *simLog, after, upTo uint64) iter.Seq2[HistoryMessage, error] {
	return func(yield func(HistoryMessage, error) bool) {
		l.mu.Lock()
		known := slices.Clone(l.log)
		l.mu.Unlock()
		if w.chance(4) {
			advance(w.random(time.Second))
		}
		if l.flaky {
			w.panic(5)
		}
		if l.flaky && w.chance(3) {
			yield(HistoryMessage{}, errors.New("not now"))
			return
		}
		for _, e := range known {
			if e.Offset > after && e.Offset <= upTo && !yield(HistoryMessage{e.Offset, e}, nil) {
				return
			}
		}
	}
}

// finish publishes what a hub did not have yet when it began to listen.
func (l *simLog) finish(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tail) == 0 {
		return
	}
	for _, e := range l.tail {
		if err := l.topic.Publish(e.Offset, e); err != nil {
			t.Fatal(err)
		}
	}
	l.tail = nil
	if l.at > l.topic.Position().Offset {
		l.topic.Advance(l.at)
	}
}

func (w *simWorld) publish(l *simLog, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.at += 1 + uint64(w.rng.IntN(3))
		w.ids++
		e := simEntry{l.current(), l.at, w.ids}
		l.log = append(l.log, e)
		l.all[e.Epoch] = append(l.all[e.Epoch], e)
		if err := l.topic.Publish(l.at, e); err != nil {
			w.t.Fatal(err)
		}
	}
}

// shutdown ends the hub: with goodbyes, or as a crash does.
func (w *simWorld) shutdown(kind int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if kind%2 == 0 {
		w.stop()
		w.net.breakAll()
		cancel()
	} else {
		timer := time.AfterFunc(5*time.Second, cancel)
		defer timer.Stop()
	}
	w.hub.Shutdown(ctx)
	w.mu.Lock()
	w.over[w.hubs] = true
	w.mu.Unlock()
	if kind%2 == 1 {
		w.stop()
		w.net.breakAll()
	}
	synctest.Wait()
	if s := w.hub.Stats(); s.Connections != 0 {
		w.faults.add("after Shutdown: %+v", s)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for user, here := range w.present {
		if here {
			w.faults.add("after Shutdown %s is present", user)
		}
	}
}

// forget decides what of a log a restart leaves.
func (w *simWorld) forget(l *simLog, kind int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = nil
	switch kind {
	case 0, 1: // the numbering begins anew
		l.epoch++
		l.start = uint64(w.rng.IntN(2)) * l.at
		l.at, l.log, l.lagged = l.start, nil, false
	case 2, 3: // the end is lost; numbers are not given twice
		keep := w.rng.IntN(len(l.log) + 1)
		for _, e := range l.log[keep:] {
			l.lost[e.ID] = true
			l.lagged = true
		}
		l.log = l.log[:keep:keep]
	case 4, 5, 6: // the end comes a little later
		l.tail = slices.Clone(l.log[w.rng.IntN(len(l.log)+1):])
		l.lagged = l.lagged || len(l.tail) > 0
	}
}

// handle is the application's handler.
func (w *simWorld) handle(hub int, r *Request) (any, error) {
	var q simRequest
	if err := json.Unmarshal(r.Data, &q); err != nil {
		w.faults.add("a handler got %s", r.Data)
		return nil, nil
	}
	client, _, _ := strings.Cut(r.ID, ".")
	key := fmt.Sprintf("%d %s %s", hub, r.Session, r.ID)
	of := fmt.Sprintf("%d %s %s %s", hub, r.Session, client, q.Lane)
	check := func(when string) {
		if w.over[hub] {
			w.faults.add("request %d %s after Shutdown has returned", q.K, when)
		}
	}
	w.mu.Lock()
	check("begins")
	if before, again := w.handled[key]; again {
		w.faults.add("request %s is handled again: %d, then %d", r.ID, before, q.K)
	}
	if w.order[of] >= q.K {
		w.faults.add("request %d of %s after %d", q.K, q.Lane, w.order[of])
	}
	w.handled[key], w.order[of], w.did[q.K] = q.K, q.K, true
	w.mu.Unlock()
	if q.Slow > 0 {
		advance(q.Slow)
	}
	w.mu.Lock()
	check("ends")
	w.mu.Unlock()
	switch q.Kind {
	case 1:
		return nil, &ReplyError{"no", fmt.Sprint(q.K)}
	case 2:
		panic(q.K)
	case 3:
		return fmt.Sprint(q.K, strings.Repeat(".", 100<<10)), nil
	case 4:
		w.direct(r.Session)
	}
	return fmt.Sprint(q.K), nil
}

// direct writes to the inbox of a session.
func (w *simWorld) direct(session string) {
	w.directs.mu.Lock()
	defer w.directs.mu.Unlock()
	id := uint64(len(w.directs.sent[session]))<<32 | 7
	w.directs.sent[session] = append(w.directs.sent[session], simDirect{id, time.Now()})
	if err := w.hub.Send(session, id); err != nil {
		w.directs.sent[session] = w.directs.sent[session][:len(w.directs.sent[session])-1]
	}
}

// toUser writes to all sessions of a user.
func (w *simWorld) toUser(user string) {
	w.directs.mu.Lock()
	defer w.directs.mu.Unlock()
	w.ids++
	id, n := w.ids<<32, 0
	w.hub.sessions.each("", user, func(s *session) {
		n++
		w.directs.sent[s.id] = append(w.directs.sent[s.id], simDirect{id, time.Now()})
	})
	if got, err := w.hub.SendUser(user, id); err != nil || got != n {
		w.faults.add("SendUser: %d, %v, want %d", got, err, n)
	}
}

// begin starts a client from where the one before it ended.
func (p *simPerson) begin() {
	w := p.world
	o := &ClientOptions{
		Topics:  p.positions,
		Session: p.session,
		Header:  http.Header{"X-User": {p.user}},
		Dialer:  &websocket.Dialer{NetDialContext: w.net.dial, EnableCompression: w.packed},
		OnMessage: func(m Message) {
			p.places[m.Topic].message(m)
			p.busy()
		},
		OnSnapshot: func(s Snapshot) {
			p.places[s.Topic].snapshot(s)
			p.busy()
		},
		OnGap: func(g Gap) {
			if g.Topic == inboxTopic {
				p.box.gap(g)
			} else {
				p.places[g.Topic].gap(g)
			}
			p.busy()
		},
		OnDirect: func(m Message) {
			p.box.message(m)
			p.busy()
		},
	}
	if w.later {
		n := 0
		o.GetToken = func(context.Context) (string, error) { n++; return fmt.Sprint(p.user, n), nil }
	}
	p.client = NewClient("ws://memory/", o)
	ctx, cancel := context.WithCancel(context.Background())
	p.ctx = ctx
	ended := make(chan error, 1)
	go func() { ended <- p.client.Run(ctx) }()
	p.stop = func() error { cancel(); return <-ended }
}

// busy is an application that takes its time, and asks the server meanwhile.
func (p *simPerson) busy() {
	if p.slow && p.world.chance(4) {
		advance(p.world.random(2 * time.Second))
	}
	if p.world.chance(15) {
		p.ask(p.ctx, p.world.request(0, p.name+" within"))
	}
}

func (p *simPerson) end() {
	if err := p.stop(); !errors.Is(err, context.Canceled) {
		p.world.faults.add("%s ended: %v", p.name, err)
	}
	p.positions, p.session = p.client.Positions(), p.client.Session()
}

func (w *simWorld) request(kind int, lane string) *simRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := &simRequest{K: len(w.asked) + 1, Kind: kind, Lane: lane}
	if !w.calm && w.rest.IntN(3) == 0 {
		q.Slow = time.Duration(w.rest.Int64N(int64(time.Second)))
		if w.rest.IntN(10) == 0 {
			q.Slow *= 15
		}
	}
	w.asked[q.K] = q
	return q
}

// ask sends a request and checks the answer.
func (p *simPerson) ask(ctx context.Context, q *simRequest) {
	w, ended := p.world, p.ctx // by the time of the answer it may be another client's
	got, err := p.client.Send(ctx, "do", q)
	w.mu.Lock()
	did := w.did[q.K]
	w.mu.Unlock()
	var reply *ReplyError
	answered := err == nil || errors.As(err, &reply)
	right := false
	switch {
	case reply != nil && reply.Refused == RefusedForgotten:
		right = true // large answers push others out
	case q.Kind == 1:
		right = reply != nil && *reply == ReplyError{"no", fmt.Sprint(q.K)}
	case q.Kind == 2:
		right = reply != nil && reply.Refused == RefusedInternal
	case q.Kind == 3:
		right = err == nil && strings.HasPrefix(string(got), fmt.Sprintf(`"%d.`, q.K))
	default:
		right = err == nil && string(got) == fmt.Sprintf(`"%d"`, q.K)
	}
	switch {
	case answered && (!right || !did):
		w.faults.add("%s, request %+v (handled: %t): %.100s, %v", p.name, *q, did, got, err)
	case !answered && errors.Is(err, ErrNotSent) && did:
		w.faults.add("%s, request %+v was handled: %v", p.name, *q, err)
	case !answered && ctx.Err() == nil && ended.Err() == nil:
		w.faults.add("%s, request %+v: %v", p.name, *q, err)
	}
}
