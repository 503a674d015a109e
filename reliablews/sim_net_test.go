package reliablews

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// simNet joins clients and a server over lines with latency, which break after
// any byte, fall silent, and tell late that the other side has closed. It stands
// on a bubble's clock. What happens to a line is drawn from the seed and the
// line's number.
type simNet struct {
	seed uint64

	latency atomic.Int64 // at most, one way
	lost    atomic.Bool  // dials get no answer

	mu     sync.Mutex // guards the fields below
	listen *memListener
	lines  []*simLine
	dialed uint64
}

// simLine is a connection: one lane each way.
type simLine struct{ up, down *lane }

// lane carries bytes one way, at most laneRoom of them at a time.
type lane struct {
	net *simNet

	mu      sync.Mutex // guards the fields below
	changed chan struct{}
	rng     *rand.Rand
	chunks  []laneChunk
	held    int       // bytes that were not read
	arrives time.Time // the latest: nothing overtakes
	cut     int       // bytes until the line breaks, negative for never
	silent  bool      // takes bytes and carries none of them
	end     time.Time // when the reader learns of it, zero when there is none
	endErr  error
	gone    time.Time // when the writer learns that nobody reads, zero when somebody does
	readBy  time.Time // deadlines
	writeBy time.Time
	noRead  bool // this end is closed here
	noWrite bool
}

type laneChunk struct {
	at   time.Time
	data []byte
}

const laneRoom = 32 << 10

var errCut = errors.New("sim: the line is cut")

func (n *simNet) lane(rng *rand.Rand) *lane {
	return &lane{net: n, changed: make(chan struct{}), rng: rng, cut: -1}
}

// delay is how long a byte is on its way.
func (l *lane) delay() time.Duration {
	return time.Millisecond + time.Duration(l.rng.Int64N(l.net.latency.Load()+1))
}

// wake lets everybody look again. The caller holds mu.
func (l *lane) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait unlocks until something has changed or one of the times has come.
func (l *lane) wait(times ...time.Time) {
	var timeout <-chan time.Time
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		timer := time.NewTimer(time.Until(first))
		defer timer.Stop()
		timeout = timer.C
	}
	changed := l.changed
	l.mu.Unlock()
	select {
	case <-changed:
	case <-timeout:
	}
	l.mu.Lock()
}

func come(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (l *lane) write(b []byte) (written int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(b) > 0 {
		room := laneRoom - l.held
		switch {
		case l.noWrite:
			return written, net.ErrClosed
		case come(l.gone):
			return written, syscall.EPIPE
		case come(l.writeBy):
			return written, os.ErrDeadlineExceeded
		case room <= 0:
			l.wait(l.gone, l.writeBy)
			continue
		}
		n := min(len(b), room)
		if n > 1 && l.rng.IntN(4) == 0 { // it arrives in pieces
			n = 1 + l.rng.IntN(n)
		}
		broken := l.cut >= 0 && n >= l.cut
		if broken {
			n = l.cut
		}
		l.held += n
		if !l.silent && l.gone.IsZero() {
			at := time.Now().Add(l.delay())
			if at.Before(l.arrives) {
				at = l.arrives
			}
			l.arrives = at
			l.chunks = append(l.chunks, laneChunk{at, slices.Clone(b[:n])})
		}
		written += n
		b = b[n:]
		if broken {
			l.cut = -1
			l.breaks()
			return written, errCut
		}
		l.wake()
	}
	return written, nil
}

func (l *lane) read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		var next time.Time
		switch {
		case l.noRead:
			return 0, net.ErrClosed
		case come(l.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(l.chunks) > 0 && come(l.chunks[0].at):
			n := copy(b, l.chunks[0].data)
			if l.chunks[0].data = l.chunks[0].data[n:]; len(l.chunks[0].data) == 0 {
				l.chunks = l.chunks[1:]
			}
			l.held -= n
			l.wake()
			return n, nil
		case len(l.chunks) > 0:
			next = l.chunks[0].at
		case come(l.end):
			return 0, l.endErr
		default:
			next = l.end
		}
		l.wait(next, l.readBy)
	}
}

// breaks ends the lane for both sides; what is on its way arrives. The caller
// holds mu.
func (l *lane) breaks() {
	if l.end.IsZero() && !l.silent {
		l.end, l.endErr = time.Now().Add(l.delay()), syscall.ECONNRESET
		if l.end.Before(l.arrives) {
			l.end = l.arrives
		}
	}
	if l.gone.IsZero() {
		l.gone = time.Now()
	}
	l.wake()
}

// simConn is one side of a line.
type simConn struct {
	in, out *lane
	once    sync.Once
}

func (c *simConn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *simConn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	if err == errCut {
		c.in.mu.Lock()
		c.in.breaks()
		c.in.mu.Unlock()
	}
	return n, err
}

// Close is told to the other side behind what was written, now and then much
// later than that, and never on a silent line.
func (c *simConn) Close() error {
	c.once.Do(func() {
		c.out.mu.Lock()
		c.out.noWrite = true
		silent := c.out.silent
		told := time.Now().Add(c.out.delay())
		if c.out.rng.IntN(8) == 0 {
			told = told.Add(time.Duration(c.out.rng.Int64N(int64(20 * time.Second))))
		}
		if told.Before(c.out.arrives) {
			told = c.out.arrives
		}
		if c.out.end.IsZero() && !silent {
			c.out.end, c.out.endErr = told, io.EOF
		}
		c.out.wake()
		c.out.mu.Unlock()
		c.in.mu.Lock()
		c.in.noRead = true
		if c.in.gone.IsZero() && !silent {
			c.in.gone = told
		}
		c.in.wake()
		c.in.mu.Unlock()
	})
	return nil
}

func (c *simConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *simConn) RemoteAddr() net.Addr { return memAddr{} }

func (c *simConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *simConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.readBy = t
	c.in.wake()
	return nil
}

func (c *simConn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.writeBy = t
	c.out.wake()
	return nil
}

// dial connects, with one way to the server and one back.
func (n *simNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed++
	number := n.dialed
	n.mu.Unlock()
	up := n.lane(rand.New(rand.NewPCG(n.seed, 2*number)))
	down := n.lane(rand.New(rand.NewPCG(n.seed, 2*number+1)))
	there, back := up.delay(), down.delay()
	if n.lost.Load() {
		timer := time.NewTimer(time.Minute) // as the kernel gives up
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, syscall.ETIMEDOUT
		}
	}
	if err := pause(ctx, there); err != nil {
		return nil, err
	}
	n.mu.Lock()
	listen := n.listen
	if listen != nil {
		n.lines = append(n.lines, &simLine{up, down})
	}
	n.mu.Unlock()
	if listen == nil {
		return nil, syscall.ECONNREFUSED
	}
	client, server := &simConn{in: down, out: up}, &simConn{in: up, out: down}
	select {
	case listen.conns <- server:
	case <-listen.done:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := pause(ctx, back); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// open returns the lines that have not ended, and forgets the others.
func (n *simNet) open() []*simLine {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = slices.DeleteFunc(n.lines, func(l *simLine) bool { return l.up.over() && l.down.over() })
	return slices.Clone(n.lines)
}

func (l *lane) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noWrite && l.noRead || come(l.end)
}

func (l *simLine) each(f func(*lane)) {
	for _, lane := range []*lane{l.up, l.down} {
		lane.mu.Lock()
		f(lane)
		lane.mu.Unlock()
	}
}

// breakAll breaks every line.
func (n *simNet) breakAll() {
	for _, l := range n.open() {
		l.each((*lane).breaks)
	}
}
