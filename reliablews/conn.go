package reliablews

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// conn is one connection. It has a goroutine that reads, where that can be
// read; one that writes exists only while there is something to write.
type conn struct {
	hub      *Hub
	out      outlet
	identity atomic.Pointer[Identity] // nil when everyone may read everything
	kicks    uint64                   // of the hub, before it was asked who this is
	request  *http.Request            // of a handshake whose credential is to come, nil after
	address  string                   // that it counts for
	session  *session                 // set with the welcome, under mu too
	early    pace                     // of what comes before the hello
	poll     bool                     // it is one
	first    bool                     // its session had no poll before it; set by the hello
	ctx      over                     // ends with the connection
	joining  sync.WaitGroup           // subscriptions that wait for their place
	silence  *time.Timer              // gives up a client that sends beside the connection, nil for others

	// Guarded by hub.beats.mu.
	due            time.Time // of the next heartbeat
	earlier, later *conn

	mu        sync.Mutex // guards the fields below
	writing   bool       // somebody has the writer's part
	ended     bool
	cancelled atomic.Bool
	quiet     chan struct{} // closed when the writer has stopped, nil unless somebody waits
	room      chan struct{} // closed when queued frames were taken, nil unless somebody waits
	control   [][]byte      // frames before those of topics
	subs      []*subscription
	inbox     bool   // the client wants it
	read      uint64 // the offset of the last message of the inbox that was sent
	beat      bool   // a heartbeat is due
	bye       []byte // a frame behind those of topics
	hasty     bool   // they have no time before it
	said      bool   // it is out: nothing follows but the code
	code      int    // to close with, 0 while open
	reason    string
	closed    bool        // the code is out
	parting   *time.Timer // cuts off one who is to go and does not, nil while open
}

const (
	writeLimit = 64 << 10 // bytes in one write, but for a single larger frame
	maxControl = 64       // frames in control before the client is read on
	lingering  = time.Second
)

func (h *Hub) newConn(out outlet, identity *Identity, kicks uint64, address string) *conn {
	c := &conn{hub: h, out: out, kicks: kicks, address: address, ctx: make(over)}
	c.identity.Store(identity)
	return c
}

// begin makes the hub know the connection.
func (c *conn) begin() {
	h := c.hub
	h.mu.Lock()
	h.conns[c] = struct{}{}
	closing := h.closing
	h.mu.Unlock()
	h.counts.accepted.Add(1)
	h.beats.add(c, time.Now())
	if closing {
		c.goodbye(h.opts.BackoffStart, shutdownReason)
	}
	c.kicked()
}

// kicked ends a connection whose login may have ended between Authorize and the
// time when Kick could find it, and tells whether it did. It is for a connection
// that Kick finds now.
func (c *conn) kicked() bool {
	who := c.identity.Load()
	if who == nil || who.Login == "" || c.hub.kicks.Load() == c.kicks {
		return false
	}
	c.dismiss(kickedReason)
	return true
}

// end ends the connection and leaves no goroutine behind.
func (c *conn) end() {
	h := c.hub
	c.out.abort()
	h.beats.remove(c)
	if c.silence != nil {
		c.silence.Stop()
	}
	c.cancel()
	c.mu.Lock()
	c.ended = true
	if c.parting != nil {
		c.parting.Stop()
	}
	var quiet chan struct{}
	if c.writing {
		quiet = make(chan struct{})
		c.quiet = quiet
	}
	c.mu.Unlock()
	if quiet != nil {
		<-quiet
	}
	c.joining.Wait()
	for _, s := range c.subs { // nobody changes it any more
		s.topic.leave(s)
	}
	if c.session != nil {
		h.sessions.leave(c.session, c)
		h.presence.leave(c.session.user)
	}
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	if !c.poll { // a poll's answer is still to be written
		h.vacate(c.address)
	}
	h.running.Done()
}

// cancel ends the connection's context.
func (c *conn) cancel() {
	if c.cancelled.CompareAndSwap(false, true) {
		close(c.ctx)
	}
}

// heartbeat is called every HeartbeatInterval.
func (c *conn) heartbeat(now time.Time) {
	if who := c.identity.Load(); who != nil && !who.Until.IsZero() && now.After(who.Until) {
		c.dismiss("expired")
	}
	c.mu.Lock()
	c.beat = c.session != nil
	c.mu.Unlock()
	c.nudge()
}

// silent gives up a client that sends beside the connection.
func (c *conn) silent() {
	if c.ctx.Err() != nil {
		return // a post came when it was over
	}
	c.hub.counts.silent.Add(1)
	c.close(CloseSilent, "silent")
}

// close ends the connection with a code, behind what is queued but for topics.
func (c *conn) close(code int, reason string) { c.part(nil, code, reason, true) }

// goodbye ends the connection and says why, and when to come back, behind
// everything published.
func (c *conn) goodbye(delay time.Duration, reason string) {
	c.part(wireBye(delay, reason), websocket.CloseServiceRestart, reason, false)
}

// dismiss is goodbye to one that topics are not for any more: it might go on
// for as long as there is something new.
func (c *conn) dismiss(reason string) {
	c.part(wireBye(c.hub.opts.BackoffStart, reason), websocket.CloseServiceRestart, reason, true)
}

func wireBye(delay time.Duration, reason string) []byte {
	return wireFrame(serverFrame{T: "bye", Delay: delay.Milliseconds(), Reason: reason})
}

// part ends the connection within HeartbeatTimeout, however slowly it is read.
func (c *conn) part(bye []byte, code int, reason string, hasty bool) {
	c.mu.Lock()
	if c.code == 0 {
		c.bye, c.code, c.reason = bye, code, reason
		if !c.ended {
			c.parting = time.AfterFunc(c.hub.opts.HeartbeatTimeout, func() {
				c.out.abort()
				c.cancel()
			})
		}
	}
	c.hasty = c.hasty || hasty
	c.mu.Unlock()
	c.nudge()
}

// closing tells whether this side has begun to close.
func (c *conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code != 0
}

// greet reads the hello on a WebSocket, and tells whether serve is to follow.
// What that needs, above all a large stack, is let go of before the connection
// becomes one of thousands that have nothing to do.
func (c *conn) greet(s *socket) bool {
	// A close that the other side begins is answered behind what is queued.
	s.ws.SetCloseHandler(func(int, string) error {
		c.close(websocket.CloseNormalClosure, "")
		return nil
	})
	// gorilla/websocket answers pings by itself, from the reader.
	pong := s.ws.PingHandler()
	s.ws.SetPingHandler(func(data string) error {
		if err := c.paced(); err != nil {
			return err
		}
		return pong(data)
	})
	s.ws.SetPongHandler(func(string) error { return c.paced() })
	s.line.SetReadDeadline(time.Now().Add(c.hub.opts.HelloTimeout))
	if c.closing() {
		c.drain(s)
		return false
	}
	return c.next(s)
}

// serve reads what a client sends on its WebSocket until the connection ends.
func (c *conn) serve(s *socket) {
	for {
		s.line.SetReadDeadline(time.Now().Add(c.hub.opts.HeartbeatTimeout))
		if c.closing() {
			c.drain(s)
			break
		}
		if !c.next(s) {
			break
		}
	}
	c.end()
}

var frames = sync.Pool{New: func() any { b := make([]byte, 512); return &b }}

// next reads and handles one frame. It returns false when the connection has
// ended, or is of no use any more and what is to be said about it is said.
func (c *conn) next(s *socket) bool {
	kind, r, err := s.next()
	if err != nil {
		c.lost(s, err)
		return false
	}
	buffer := frames.Get().(*[]byte) // not before there is something to read
	data, err := readAll(r, *buffer, c.hub.opts.MaxFrameBytes)
	if err == nil {
		err = c.takeFrame(kind, data)
	}
	if cap(data) <= copied { // one large frame does not hold memory for ever
		*buffer = data
	}
	frames.Put(buffer)
	var refused *refusal
	switch {
	case err == nil:
		return true
	case errors.As(err, &refused):
		c.close(refused.code, refused.reason)
		c.drain(s)
	default:
		c.lost(s, err)
	}
	return false
}

// refusal is a close code for a client that did what none may.
type refusal struct {
	code   int
	reason string
}

func (r *refusal) Error() string { return r.reason }

var (
	errTooLarge   = &refusal{websocket.CloseMessageTooBig, "too big"}
	errProtocol   = &refusal{CloseProtocol, "protocol"}
	errNotAllowed = &refusal{CloseUnauthorized, "unauthorized"}
	errTakenOver  = &refusal{CloseTakenOver, "taken over"}
	errNoRoom     = &refusal{websocket.CloseTryAgainLater, "no room"}
	errInternal   = &refusal{websocket.CloseInternalServerErr, "internal"}
)

// takeFrame handles a frame.
func (c *conn) takeFrame(kind int, data []byte) error {
	if ts, ok := plainPong(data); ok && kind == websocket.TextMessage && c.session != nil {
		// Most of what an idle connection says. To decode it as JSON would cost
		// a larger stack for each.
		if err := c.paced(); err != nil {
			return err
		}
		c.hub.counts.heartbeat(time.Since(time.UnixMilli(ts)))
		return nil
	}
	f, err := clientFrame{}, errFrame
	if kind == websocket.TextMessage {
		f, err = readClientFrame(data)
	}
	if err != nil || (f.T == "hello") != (c.session == nil) { // one hello, and before everything else
		return errProtocol
	}
	if c.session == nil {
		return c.welcome(&f)
	}
	if err := c.paced(); err != nil {
		return err
	}
	answer, err := c.hub.handle(c.ctx, c.session, &f)
	if err != nil {
		return err
	}
	if answer != nil {
		c.answer(answer)
	}
	return c.flushed()
}

// paced counts a frame of the client, and waits where it sends too fast. Those
// before the hello, which are pings, do not count for a session.
func (c *conn) paced() error {
	p := &c.early
	if c.session != nil {
		p = &c.session.pace
	}
	if wait := p.take(time.Now(), c.hub.opts.MaxFrameRate, c.hub.opts.MaxFrameBurst); wait > 0 {
		c.hub.counts.throttled.Add(1)
		return pause(c.ctx, wait)
	}
	return nil
}

// handle does what a frame behind the hello asks for, and returns the answer.
// ctx is that of what brought it; for the error see receive.
func (h *Hub) handle(ctx context.Context, s *session, f *clientFrame) (answer []byte, err error) {
	if n := f.Pos[inboxTopic]; n > 0 {
		if inbox := s.inbox.Load(); inbox != nil {
			inbox.acknowledge(n)
		}
	}
	switch f.T {
	case "send":
		return h.receive(ctx, s, f)
	case "ping":
		return wireFrame(serverFrame{T: "pong", TS: f.TS}), nil
	case "pong":
		h.counts.heartbeat(time.Since(time.UnixMilli(f.TS)))
	}
	return nil, nil // what is not known is for a later version
}

// answer queues a frame and writes it right here, from the reader, unless
// somebody else is writing: a request needs no other goroutine.
func (c *conn) answer(frame []byte) {
	c.mu.Lock()
	c.control = append(c.control, frame)
	c.mu.Unlock()
	if c.take() {
		c.write(2)
	}
}

// flushed waits while more answers are queued than a client can have use for,
// so that one that writes and never reads cannot fill memory.
func (c *conn) flushed() error {
	for {
		c.mu.Lock()
		if len(c.control) < maxControl {
			c.mu.Unlock()
			return nil
		}
		room := make(chan struct{})
		c.room = room
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}

// lost closes after a read that failed.
func (c *conn) lost(s *socket, err error) {
	if errors.Is(err, websocket.ErrReadLimit) { // gorilla/websocket has said so
		s.line.SetReadDeadline(time.Now().Add(lingering))
		io.Copy(io.Discard, s.line.Conn)
		return
	}
	var slow net.Error // gorilla hides os.ErrDeadlineExceeded
	if c.closing() {
		// Both sides have said that they close, or the other one took too long.
	} else if !errors.As(err, &slow) || !slow.Timeout() {
		return // the client has gone
	} else if c.session == nil {
		c.close(CloseNoHello, "no hello")
	} else {
		c.hub.counts.silent.Add(1)
		c.close(CloseSilent, "silent")
	}
	timer := time.NewTimer(lingering) // a moment for the close frame
	defer timer.Stop()
	select {
	case <-c.ctx.Done():
	case <-timer.C:
	}
}

// drain reads on, once the close frame is out, until the client has seen it, for
// a moment: to close a connection with unread input would reset it, and the
// reason would be lost.
func (c *conn) drain(s *socket) {
	<-c.ctx.Done()
	s.line.SetReadDeadline(time.Now().Add(lingering))
	for {
		if _, _, err := s.next(); err != nil {
			return
		}
	}
}

// welcome answers the hello and starts the subscriptions.
func (c *conn) welcome(f *clientFrame) error {
	if c.request != nil {
		r := c.request
		c.request = nil
		r.Header.Set("Authorization", "Bearer "+f.Auth)
		c.kicks = c.hub.kicks.Load()
		identity, err := c.hub.callAuthorize(r)
		if errors.Is(err, errPanicked) {
			return errInternal
		}
		if err != nil || f.Auth == "" {
			return errNotAllowed
		}
		c.identity.Store(&identity)
		if c.kicked() {
			return nil
		}
	}
	user, who := "", c.identity.Load()
	if who != nil {
		user = who.User
	}
	h, o := c.hub, &c.hub.opts
	opened, err := h.sessions.open(f, user, c)
	if err != nil {
		if err == errNoRoom {
			h.counts.sessionsRefused.Add(1)
		}
		return err
	}
	session := opened.session
	h.presence.join(user)
	if opened.old != nil {
		opened.old.close(CloseTakenOver, "taken over")
	}
	if opened.resumed {
		h.counts.resumed.Add(1)
	}

	welcome := serverFrame{
		T:         "welcome",
		Session:   session.id,
		Token:     opened.token,
		Topics:    map[string]topicState{},
		Heartbeat: o.HeartbeatInterval.Milliseconds(),
		Timeout:   o.HeartbeatTimeout.Milliseconds(),
		Limit:     o.MaxFrameBytes,
		Window:    o.Window,
		Backoff:   &backoffState{o.BackoffStart.Milliseconds(), o.BackoffFactor, o.BackoffMax.Milliseconds()},
	}
	type start struct {
		sub   *subscription
		at    *Position
		state topicState
	}
	var starts []start
	var first [][]byte
	inbox, read := false, uint64(0)
	for name, at := range f.Topics {
		if name == inboxTopic {
			inbox = true
			box := session.ownInbox()
			welcome.Topics[name], read = box.begin(session.id, at)
			if state := welcome.Topics[name]; state.Resumed {
				box.acknowledge(read)
			} else {
				h.counts.gaps.Add(1)
				first = append(first, wireFrame(serverFrame{T: "gap", S: name, E: state.Epoch, O: state.Offset, Reason: state.Reason}))
			}
			continue
		}
		topic := h.topic(name)
		if topic == nil || who != nil && !slices.Contains(who.Topics, name) {
			welcome.Denied = append(welcome.Denied, name)
			continue
		}
		state := topic.begin(at)
		if state.Reason == reasonNew && topic.snapshot == nil {
			state.Resumed, state.Reason = true, "" // it misses nothing and begins with what comes next
		}
		welcome.Topics[name] = state
		starts = append(starts, start{&subscription{conn: c, topic: topic, slot: -1}, at, state})
	}
	slices.Sort(welcome.Denied)

	c.mu.Lock()
	c.control = append(append(c.control, wireFrame(welcome)), first...)
	c.session, c.inbox, c.read = session, inbox, read
	for _, s := range starts {
		c.subs = append(c.subs, s.sub)
		s.sub.ready, s.sub.cursor = s.state.Resumed, s.state.Offset
	}
	c.mu.Unlock()
	c.nudge()
	for _, s := range starts {
		if !s.state.Resumed {
			c.joining.Go(func() { s.sub.place(s.at, s.state.Reason) })
		}
	}
	return nil
}
