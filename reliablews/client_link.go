package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	welcomeTimeout = 10 * time.Second // for the welcome on a WebSocket,
	streamTimeout  = 5 * time.Second  // and on a stream, before it is taken for held back

	goodbyeTimeout = 5 * time.Second // a server that has said goodbye may take to close
	doubtTimeout   = 5 * time.Second // for an answer when the connection is in doubt
	pongWithin     = time.Second     // a ping is answered, behind what came before it if that is taken by then
	stuckAfter     = time.Second     // an application that takes nothing and waits for Send waits for itself
)

// carrier carries the frames of one connection. The first read makes it.
type carrier interface {
	// read returns the next frame if it comes in time. The timeout is for this
	// frame alone.
	read(timeout time.Duration) ([]byte, error)

	// write sends frames, made for a session, in their order. Without a WebSocket
	// it returns those that answer them. Safe for concurrent use; it is called
	// after the welcome.
	write(session ClientSession, frames [][]byte) (answers [][]byte, err error)

	// close lets go of it. Nothing is read any more.
	close()
}

// link is one connection of a client: a goroutine reads, one sends messages,
// one answers pings and acknowledges.
type link struct {
	client  *Client
	parent  context.Context // of the whole client
	ctx     context.Context // of this connection
	fail    context.CancelCauseFunc
	via     Transport
	auth    string
	carrier carrier
	began   time.Time
	live    chan struct{} // closed at the welcome
	wake    chan struct{} // something may be due
	more    chan struct{} // there may be a message to send

	replaces *link                                   // at its welcome
	probed   atomic.Bool                             // a WebSocket has said hello with the same session
	turn     chan struct{}                           // who has put something in may say hello: a poll, or what replaces it
	halt     atomic.Pointer[context.CancelCauseFunc] // of the poll that waits

	// Of the goroutine that reads, until run returns.
	timeout      time.Duration
	heartbeat    time.Duration
	farewell     bool          // the server has said goodbye
	delay        time.Duration // from the goodbye
	backoff      *backoffState // from the welcome
	behind       bool          // frames are let go of: see enqueue
	spoke        bool          // the server has said why it ends
	unauthorized bool
	holds        bool  // the turn of the one that it replaces
	next         *link // what replaced it
	nextEnded    chan error

	mu      sync.Mutex // guards the fields below; Client.mu may be held
	helloAt time.Time
	pongs   []pong
	pingAt  time.Time // the next ping, zero when there is none
	pinged  time.Time // the latest
}

// pong is an answer that is not sent yet.
type pong struct {
	ts    int64
	by    time.Time
	ready bool // what came before the ping was taken
}

func (c *Client) newLink(parent context.Context, via Transport, auth string) *link {
	l := &link{
		client: c, parent: parent, via: via, auth: auth,
		began:   time.Now(),
		live:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		more:    make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		timeout: 45 * time.Second, heartbeat: 30 * time.Second,
	}
	l.ctx, l.fail = context.WithCancelCause(parent)
	switch via {
	case WebSocket:
		c.dialed = l.began
		l.carrier = &wsCarrier{link: l, turn: make(chan struct{}, 1)}
	case Stream:
		l.carrier = &streamCarrier{httpCarrier: l.newHTTP()}
	case Poll:
		l.carrier = &pollCarrier{httpCarrier: l.newHTTP()}
	}
	return l
}

func (l *link) isLive() bool {
	select {
	case <-l.live:
		return true
	default:
		return false
	}
}

// run serves the connection until it has ended, and leaves no goroutine behind
// but that of a connection that replaces it.
func (l *link) run() error {
	var beside sync.WaitGroup
	err := l.read(&beside)
	if cause := context.Cause(l.ctx); cause != nil {
		err = cause // why somebody else has ended it
	}
	err = l.ended(err)
	l.fail(err)
	l.carrier.close()
	l.client.sends.detach(l)
	beside.Wait()
	return err
}

// read handles what the server sends until the connection ends.
func (l *link) read(beside *sync.WaitGroup) error {
	for {
		data, err := l.carrier.read(l.patience())
		if err != nil {
			return err
		}
		f, err := decodeServerFrame(data)
		if err != nil {
			return err
		}
		fresh := !l.isLive()
		if err := l.handle(f); err != nil {
			return err
		}
		if fresh && l.isLive() {
			beside.Go(l.attend)
			beside.Go(l.send)
			if l.via != WebSocket {
				beside.Go(l.probe)
			}
		}
	}
}

// patience is how long to wait for the next frame.
func (l *link) patience() time.Duration {
	switch {
	case l.farewell: // for the close frame, which may never come
		return min(l.timeout, goodbyeTimeout)
	case l.isLive() || l.via == Poll: // which is answered when there is something
		return l.timeout
	case l.via == Stream:
		return streamTimeout
	}
	return welcomeTimeout
}

// ended says what the end of a connection means for the client.
func (l *link) ended(err error) error {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) {
		return err
	}
	switch {
	case final(closed.Code):
		return &RefusedError{Code: closed.Code, Reason: closed.Text}
	case closed.Code == CloseTakenOver && !l.probed.Load():
		l.client.mu.Lock()
		l.client.session = ClientSession{}
		l.client.mu.Unlock()
	}
	l.unauthorized = closed.Code == CloseUnauthorized
	l.spoke = l.spoke || closed.Code >= 4000 || closed.Code == websocket.CloseServiceRestart
	return fmt.Errorf("reliablews: connection lost: %w", err)
}

// hello returns the first frame. What an earlier connection brought and nobody
// has taken comes again on this one.
func (l *link) hello() ([]byte, error) {
	c := l.client
	f := clientFrame{T: "hello", Auth: l.auth, Topics: map[string]*Position{}}
	if l.via != WebSocket {
		f.Via = string(l.via)
	}
	c.mu.Lock()
	if l.replaces == nil {
		c.queue.drop(nil)
	}
	// Behind those of another client that had the session meanwhile.
	c.hellos = max(c.hellos+1, uint64(time.Now().UnixMilli()))
	f.Session, f.Token, f.N = c.session.ID, c.session.Token, c.hellos
	for name := range c.positions {
		at := c.handed[name]
		if name == inboxTopic {
			at = c.positions[name] // it acknowledges
			c.unacked = 0
		}
		f.Topics[name] = nil
		if at != (Position{}) {
			f.Topics[name] = &at
		}
	}
	c.mu.Unlock()
	l.mu.Lock()
	l.helloAt = time.Now()
	l.mu.Unlock()
	if l.replaces != nil {
		l.replaces.probed.Store(true)
	}
	return json.Marshal(f)
}

func (l *link) handle(f serverFrame) error {
	c := l.client
	c.mu.Lock()
	c.stats.LastHeard = time.Now()
	c.mu.Unlock()
	if !l.isLive() && f.T != "welcome" && f.T != "bye" && (f.T != "close" || l.via == WebSocket) {
		return fmt.Errorf("%w: %s before the welcome", errFrame, f.T)
	}
	switch f.T {
	case "welcome":
		return l.welcome(f)
	case "msg", "snap", "gap":
		return l.enqueue(f)
	case "ping":
		l.mu.Lock()
		l.pongs = append(l.pongs, pong{ts: f.TS, by: time.Now().Add(pongWithin)})
		l.mu.Unlock()
		nudge(l.wake)
		return l.enqueue(f)
	case "pong":
		l.mu.Lock()
		pinged := l.pinged
		l.mu.Unlock()
		if pinged.UnixMilli() == f.TS {
			l.roundTrip(pinged)
		}
	case "done":
		c.sends.answer(f)
	case "bye":
		l.farewell, l.spoke = true, true
		l.delay = milliseconds(f.Delay)
		if l.via == Poll {
			return errGoodbye // it would say hello again
		}
	case "close":
		if l.via != WebSocket {
			return &websocket.CloseError{Code: f.Code, Text: f.Reason}
		}
	}
	return nil
}

// milliseconds reads a time of the server. A day is as good as more, which might
// be more than a Duration holds.
func milliseconds(n int64) time.Duration {
	return time.Duration(max(0, min(n, 24*60*60*1000))) * time.Millisecond
}

// roundTrip notes how long an answer took.
func (l *link) roundTrip(since time.Time) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.client.stats.RoundTrip = time.Since(since)
}

// welcome makes the connection the live one. Each poll has a welcome.
func (l *link) welcome(f serverFrame) error {
	c := l.client
	fresh := !l.isLive()
	if !fresh && l.via != Poll {
		return nil
	}
	if f.Timeout > 0 {
		l.timeout = milliseconds(f.Timeout)
	}
	if f.Heartbeat > 0 {
		l.heartbeat = milliseconds(f.Heartbeat)
	}
	if b := f.Backoff; b != nil && b.Start > 0 && b.Factor >= 1 && b.Max >= b.Start {
		l.backoff = b
	}
	if fresh {
		l.mu.Lock()
		said := l.helloAt
		if l.via == WebSocket {
			l.pingAt = time.Now().Add(l.heartbeat / 2)
		}
		l.mu.Unlock()
		if l.via != Poll {
			l.roundTrip(said)
		}
	}
	state := State{Status: Live, Transport: l.via, Denied: f.Denied}
	c.mu.Lock()
	if old := l.replaces; old != nil {
		old.fail(errReplaced)
		c.queue.drop(old)
	}
	c.session = ClientSession{f.Session, f.Token}
	if fresh {
		c.link, c.state = l, state
		c.stats.Connections++
		c.queue.state(state)
		select {
		case <-c.live:
		default:
			close(c.live)
		}
	}
	c.queue.frame(l, f)
	c.mu.Unlock()
	nudge(c.ready)
	c.sends.attach(l, f, fresh)
	if fresh {
		close(l.live)
	}
	return nil
}

// enqueue gives a frame to the application, and waits while it has enough to
// do. That would wait for ever if the application itself waited for Send, whose
// answer is behind this frame: then this frame and what follows are let go of,
// and the connection ends once the application has caught up; the next one
// brings them again.
func (l *link) enqueue(f serverFrame) error {
	c := l.client
	if l.behind {
		if f.T == "ping" {
			l.answerable(f.TS)
		}
		return nil
	}
	var stuck *time.Timer
	var taken uint64
	for {
		c.mu.Lock()
		switch {
		case l.ctx.Err() != nil: // replaced, perhaps
			c.mu.Unlock()
			nudge(c.room) // for the one that replaces it
			return context.Cause(l.ctx)
		case !c.queue.full():
			c.queue.frame(l, f)
			c.mu.Unlock()
			nudge(c.ready)
			return nil
		}
		progress := c.stats.Received + c.stats.Repeated
		c.mu.Unlock()
		if stuck == nil {
			stuck, taken = time.NewTimer(stuckAfter), progress
			defer stuck.Stop()
		}
		select {
		case <-c.room:
		case <-l.ctx.Done():
		case <-stuck.C:
			if _, waiting := c.sends.counts(); progress == taken && waiting > 0 {
				l.behind = true
				c.mu.Lock()
				c.queue.frame(l, serverFrame{T: behindFrame})
				c.mu.Unlock()
				if f.T == "ping" {
					l.answerable(f.TS)
				}
				return nil
			}
			stuck = nil
		}
	}
}

// answerable lets a ping be answered: what came before it was taken.
func (l *link) answerable(ts int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.pongs {
		if l.pongs[i].ts == ts {
			l.pongs[i].ready = true
		}
	}
	nudge(l.wake)
}

// doubt asks for an answer and ends the connection if nothing is heard.
func (l *link) doubt() {
	asked := time.Now()
	l.mu.Lock()
	l.pingAt = asked
	l.mu.Unlock()
	nudge(l.wake)
	time.AfterFunc(doubtTimeout, func() {
		if l.client.Stats().LastHeard.Before(asked) {
			l.fail(errSilent)
		}
	})
}

// attend sends what is due: answers to pings, acknowledgements, and pings of
// its own, which measure the round trip and show the server that the client is
// alive when its application is too slow to read on.
func (l *link) attend() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		session := l.client.Session()
		frames, wait := l.due(session.ID, time.Now())
		if len(frames) > 0 {
			encoded := make([][]byte, len(frames))
			for i, f := range frames {
				encoded[i], _ = json.Marshal(f) // strings and numbers
			}
			if !l.write(session, encoded) {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
	}
}

// due returns the frames to send in a session now, or how long there are none.
func (l *link) due(session string, now time.Time) (frames []clientFrame, wait time.Duration) {
	wait = time.Hour
	l.mu.Lock()
	kept := l.pongs[:0]
	for _, p := range l.pongs {
		if !p.ready && now.Before(p.by) {
			kept = append(kept, p)
			wait = min(wait, p.by.Sub(now))
			continue
		}
		frames = append(frames, clientFrame{T: "pong", TS: p.ts})
	}
	l.pongs = kept
	if !l.pingAt.IsZero() && !now.Before(l.pingAt) {
		frames = append(frames, clientFrame{T: "ping", TS: now.UnixMilli()})
		l.pinged, l.pingAt = now, time.Time{}
		if l.via == WebSocket { // without, pings are for doubt only
			l.pingAt = now.Add(l.heartbeat)
		}
	}
	if !l.pingAt.IsZero() {
		wait = min(wait, l.pingAt.Sub(now))
	}
	l.mu.Unlock()
	c := l.client
	if len(frames) > 0 {
		frames[0].Pos, _ = c.ack(l, session, 0)
		return frames, 0
	}
	if l.via == Poll { // its hellos acknowledge
		return nil, wait
	}
	pos, due := c.ack(l, session, ackEvery)
	if pos != nil {
		return []clientFrame{{T: "ack", Pos: pos}}, 0
	}
	return nil, min(wait, due)
}

// send sends the application's messages as they come.
func (l *link) send() {
	for {
		session := l.client.Session()
		frames := l.client.sends.next(l, session.ID)
		if len(frames) > 0 {
			if !l.write(session, frames) {
				return
			}
			continue
		}
		select {
		case <-l.more:
		case <-l.ctx.Done():
			return
		}
	}
}

// write sends frames, and handles what answers them. If that fails the
// connection ends.
func (l *link) write(session ClientSession, frames [][]byte) (ok bool) {
	answers, err := l.carrier.write(session, frames)
	for _, data := range answers {
		var f serverFrame
		if f, err = decodeServerFrame(data); err != nil {
			break
		}
		switch f.T {
		case "done", "pong":
			l.handle(f) // has no error
		}
	}
	if err != nil {
		l.fail(fmt.Errorf("reliablews: send: %w", err))
		return false
	}
	return true
}
