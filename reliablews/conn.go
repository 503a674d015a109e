package reliablews

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// conn is one connection: one goroutine reads, one writes.
//
// The writer writes past gorilla/websocket, as many ready frames as there are in
// one Write of the network connection. So that nobody writes beside it, pongs
// and close frames, which gorilla's reader would send by itself, are queued
// like the rest.
type conn struct {
	hub      *Hub
	ws       *websocket.Conn
	raw      net.Conn
	identity *Identity       // nil when everyone may read everything
	session  *session        // set by the hello
	wake     chan struct{}   // there may be something to write
	room     chan struct{}   // the writer has taken queued frames
	ctx      context.Context // ends with the connection
	cancel   context.CancelFunc
	joining  sync.WaitGroup // subscriptions that wait for their place

	mu      sync.Mutex // guards the fields below
	control [][]byte   // frames for the writer, before those of topics
	subs    []*subscription
	bye     []byte // a frame for the writer, behind those of topics
	code    int    // of the close frame to send, 0 while open
	reason  string
}

// subscription is a connection's place in a topic.
type subscription struct {
	conn  *conn
	topic *Topic

	// Guarded by conn.mu.
	ready  bool   // false while it waits for a snapshot
	cursor uint64 // the offset of the last message sent
}

const (
	writeLimit = 64 << 10 // bytes in one write, but for a single larger frame
	lingering  = time.Second
)

func newConn(h *Hub, ws *websocket.Conn, identity *Identity) *conn {
	c := &conn{
		hub:      h,
		ws:       ws,
		raw:      ws.NetConn(),
		identity: identity,
		wake:     make(chan struct{}, 1),
		room:     make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	ws.SetReadLimit(h.opts.MaxFrameBytes)
	ws.SetPingHandler(func(data string) error {
		c.send(wirePong(data))
		return nil
	})
	ws.SetCloseHandler(func(code int, _ string) error {
		c.close(websocket.CloseNormalClosure, "")
		return nil
	})
	return c
}

// run serves the connection until it ends, and leaves no goroutine behind.
func (c *conn) run() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	c.read()
	c.cancel()
	<-written
	c.raw.Close()
	c.joining.Wait()
	c.mu.Lock()
	subs := c.subs
	c.mu.Unlock()
	for _, s := range subs {
		s.topic.leave(s)
	}
	if c.session != nil {
		c.hub.sessions.leave(c.session, c)
	}
}

// nudge tells the writer that there may be something to write. It never waits.
func (c *conn) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// send queues a frame. The answers of one connection are bounded by what it
// asks, and it is read only as fast as they are written: see read.
func (c *conn) send(frame []byte) {
	c.mu.Lock()
	c.control = append(c.control, frame)
	c.mu.Unlock()
	c.nudge()
}

// close ends the connection with a close frame behind what is queued.
func (c *conn) close(code int, reason string) {
	c.mu.Lock()
	if c.code == 0 {
		c.code, c.reason = code, reason
	}
	c.mu.Unlock()
	c.nudge()
}

// goodbye ends the connection and says why, and when to come back.
func (c *conn) goodbye(delay time.Duration, reason string) {
	bye := wireFrame(serverFrame{T: "bye", Delay: delay.Milliseconds(), Reason: reason})
	c.mu.Lock()
	if c.code == 0 {
		c.bye, c.code, c.reason = bye, websocket.CloseServiceRestart, reason
	}
	c.mu.Unlock()
	c.nudge()
}

// read handles what the client sends until the connection ends.
func (c *conn) read() {
	deadline := c.hub.opts.HelloTimeout
	for {
		c.raw.SetReadDeadline(time.Now().Add(deadline))
		if c.closing() {
			c.drain()
			return
		}
		kind, data, err := c.ws.ReadMessage()
		if err != nil {
			c.ended(err)
			return
		}
		frame, err := clientFrame{}, errFrame
		if kind == websocket.TextMessage {
			frame, err = decodeClientFrame(data)
		}
		first := c.session == nil
		if err == nil && (frame.T == "hello") != first {
			err = errFrame // one hello, and before everything else
		}
		if err != nil {
			c.close(CloseProtocol, "protocol")
			c.drain()
			return
		}
		c.handle(frame)
		if !c.flushed() {
			return // the writer is stuck or gone
		}
		deadline = c.hub.opts.HeartbeatTimeout
	}
}

// flushed waits while more answers are queued than a client can have use for,
// so that one that writes and never reads cannot fill memory.
func (c *conn) flushed() bool {
	for {
		c.mu.Lock()
		queued := len(c.control)
		c.mu.Unlock()
		if queued < 64 {
			return true
		}
		select {
		case <-c.room:
		case <-c.ctx.Done():
			return false
		}
	}
}

// ended closes after a read that failed.
func (c *conn) ended(err error) {
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
	c.linger()
}

// drain reads on until the client has seen the close frame, for a moment: to
// close a connection with unread input would reset it, and the reason would be
// lost.
func (c *conn) drain() {
	c.raw.SetReadDeadline(time.Now().Add(lingering))
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			return
		}
	}
}

// linger gives the writer a moment for the close frame.
func (c *conn) linger() {
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case <-c.ctx.Done():
	case <-timer.C:
	}
}

func (c *conn) handle(f clientFrame) {
	switch f.T {
	case "hello":
		c.hello(f)
	case "ping":
		c.send(wireFrame(serverFrame{T: "pong", TS: f.TS}))
	case "pong":
		c.hub.counts.heartbeat(time.Since(time.UnixMilli(f.TS)))
	}
	// Acks need no answer yet, and what is not known is for a later version.
}

// hello answers with the welcome and starts the subscriptions.
func (c *conn) hello(f clientFrame) {
	user := ""
	if c.identity != nil {
		user = c.identity.User
	}
	session, token, old, resumed := c.hub.sessions.open(f.Session, f.Token, user, c)
	c.session = session
	if old != nil {
		old.close(CloseTakenOver, "taken over")
	}
	if resumed {
		c.hub.counts.resumed.Add(1)
	}

	o := &c.hub.opts
	welcome := serverFrame{
		T:         "welcome",
		Session:   session.id,
		Token:     token,
		Topics:    map[string]topicState{},
		Heartbeat: o.HeartbeatInterval.Milliseconds(),
		Timeout:   o.HeartbeatTimeout.Milliseconds(),
		Limit:     o.MaxFrameBytes,
		Backoff:   &backoffState{o.BackoffStart.Milliseconds(), o.BackoffFactor, o.BackoffMax.Milliseconds()},
	}
	type start struct {
		sub   *subscription
		at    *Position
		state topicState
	}
	var starts []start
	for name, at := range f.Topics {
		topic := c.hub.topic(name)
		if topic == nil || c.identity != nil && !slices.Contains(c.identity.Topics, name) {
			welcome.Denied = append(welcome.Denied, name)
			continue
		}
		s := &subscription{conn: c, topic: topic}
		topic.join(s) // before begin looks, so that nothing published after is missed
		state := topic.begin(at)
		if state.Reason == reasonNew && topic.snapshot == nil {
			state.Resumed, state.Reason = true, "" // it misses nothing and begins with what comes next
		}
		welcome.Topics[name] = state
		starts = append(starts, start{s, at, state})
	}
	slices.Sort(welcome.Denied)

	c.mu.Lock()
	c.control = append(c.control, wireFrame(welcome))
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
}

// start lets the writer send what comes after the cursor, behind a first frame
// if there is one.
func (s *subscription) start(cursor uint64, first []byte) {
	c := s.conn
	c.mu.Lock()
	if first != nil {
		c.control = append(c.control, first)
	}
	s.ready, s.cursor = true, cursor
	c.mu.Unlock()
	c.nudge()
}

// place finds a start for a subscriber that history does not reach: a
// snapshot, or a gap notice.
func (s *subscription) place(at *Position, reason string) {
	c, t := s.conn, s.topic
	if reason == reasonAhead {
		ctx, cancel := context.WithTimeout(c.ctx, c.hub.opts.AheadTimeout)
		caughtUp := t.reach(ctx, at.Offset)
		cancel()
		if caughtUp {
			if state := t.begin(at); state.Resumed {
				s.start(at.Offset, nil)
				return
			}
		}
	}
	if t.snapshot == nil {
		s.startWithGap(at, reason)
		return
	}
	for wait := time.Duration(0); ; wait = min(2*wait+100*time.Millisecond, 5*time.Second) {
		frame, offset, err := t.takeSnapshot(c.ctx)
		if err == nil {
			// If history has already gone on past the snapshot, the writer
			// notices and asks for another.
			s.start(offset, frame)
			return
		}
		if c.ctx.Err() != nil {
			return
		}
		c.hub.opts.Logger.Warn("a snapshot failed; subscribers wait", "topic", t.name, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// startWithGap starts at the oldest message held, or, for one who is ahead and
// has seen those, at the newest, and says what is missing.
func (s *subscription) startWithGap(at *Position, reason string) {
	state := s.topic.begin(at)
	if state.Resumed { // the topic has caught up just now
		s.start(at.Offset, nil)
		return
	}
	from := state.Oldest
	if reason == reasonAhead { // still, or overtaken by more than is held
		if reason = state.Reason; reason == reasonAhead {
			from = state.Offset
		}
	}
	s.conn.hub.counts.gaps.Add(1)
	var known uint64
	if at.Epoch == state.Epoch {
		known = at.Offset
	}
	s.start(from, wireFrame(serverFrame{
		T: "gap", S: s.topic.name, E: state.Epoch, O: from, P: known, Reason: reason,
	}))
}

// write sends what there is until the connection ends. It alone writes frames.
func (c *conn) write() {
	defer c.cancel()
	heartbeat := time.NewTicker(c.hub.opts.HeartbeatInterval)
	defer heartbeat.Stop()
	var buffer []byte
	for {
		beat := false
		select {
		case <-c.wake:
		case <-heartbeat.C:
			beat = true
			if c.identity != nil && !c.identity.Until.IsZero() && time.Now().After(c.identity.Until) {
				c.goodbye(c.hub.opts.BackoffStart, "expired")
			}
		case <-c.ctx.Done():
			return
		}
		for more := true; more; {
			buffer, more = c.collect(buffer[:0], beat)
			if len(buffer) == 0 {
				break
			}
			beat = beat && more // it goes out with the last of what is ready
			c.raw.SetWriteDeadline(time.Now().Add(c.hub.opts.HeartbeatTimeout))
			if _, err := c.raw.Write(buffer); err != nil {
				c.raw.Close() // part of a frame may be out: nothing more can follow
				return
			}
			c.hub.counts.writes.Add(1)
		}
		if cap(buffer) > writeLimit {
			buffer = nil // one large frame does not hold memory for ever
		}
		if code, reason, out := c.toClose(); out {
			c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(lingering))
			// The client answers, or not; the reader waits no longer than this.
			c.raw.SetReadDeadline(time.Now().Add(lingering))
			return
		}
	}
}

// toClose returns the close frame to send, once everything before it is out.
func (c *conn) toClose() (code int, reason string, out bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code, c.reason, c.code != 0 && c.bye == nil && len(c.control) == 0
}

// closing tells whether this side has begun to close.
func (c *conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code != 0
}

// collect appends what is ready to b. more says that there may be more.
func (c *conn) collect(b []byte, beat bool) (frames []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.control) > 0 && (len(b) == 0 || len(b)+len(c.control[0]) <= writeLimit) {
		b = append(b, c.control[0]...)
		c.control[0] = nil
		c.control = c.control[1:]
	}
	select {
	case c.room <- struct{}{}:
	default:
	}
	if len(c.control) > 0 {
		return b, true
	}
	c.control = nil
	reached := map[string]uint64{}
	for _, s := range c.subs {
		if !s.ready {
			continue
		}
		var at uint64
		var all, lost bool
		if b, s.cursor, at, all, lost = s.topic.fill(b, s.cursor, writeLimit); lost {
			// It has fallen out of the history: a fresh start, at its own pace.
			s.ready = false
			from := &Position{s.topic.Position().Epoch, s.cursor}
			c.joining.Go(func() { s.place(from, reasonSlow) })
			continue
		}
		if !all {
			more = true
		} else if beat && !more {
			s.cursor = at
			reached[s.topic.name] = at
		}
	}
	if beat && !more {
		b = append(b, wireFrame(serverFrame{T: "ping", TS: time.Now().UnixMilli(), Pos: reached})...)
	}
	if !more {
		b, c.bye = append(b, c.bye...), nil
	}
	return b, more
}
