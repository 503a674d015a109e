package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// load is the client of one measurement: many connections on one goroutine that
// waits with epoll, so that it costs little beside the server. Not safe for
// concurrent use.
type load struct {
	dialect dialect
	address string
	control net.Conn
	answers *bufio.Reader
	pid     int // of the server

	epoll  int
	clock  int // timer of the epoll, see tick
	conns  []*client
	events []unix.EpollEvent
	buffer []byte

	ready     int   // connections that had their welcome
	published int64 // messages
	batch     int64 // messages between two looks at who has them
	complete  int64 // batches that every connection has
	reached   map[int64]int
	bytes     int64 // read

	delays *[]time.Duration // of every message, where they are measured
	asking bool             // connections ask instead of listening
	acked  int64
	asks   bool   // go on asking
	ticked func() // see tick
}

// client is one connection.
type client struct {
	fd    int
	place place

	upgraded bool
	ready    bool
	whole    bool // look into every frame, else count only
	input    []byte
	scanner  scanner
	got      int64 // messages
	first    int64 // sequence before the first that it must get
	asked    int
}

// checkedConns is how many connections look into every frame and want every
// message once, in order and unchanged. The others are counted.
const checkedConns = 8

const stuck = 90 * time.Second // nothing of a measurement takes as long

var errTime = errors.New("it took too long")

func newLoad(d dialect, at addresses, pid int) (*load, error) {
	l := &load{
		dialect: d,
		address: at.Web,
		pid:     pid,
		batch:   1,
		reached: map[int64]int{},
		events:  make([]unix.EpollEvent, 256),
		buffer:  make([]byte, 256<<10),
	}
	var err error
	if l.control, err = net.Dial("tcp", at.Control); err != nil {
		return nil, err
	}
	l.answers = bufio.NewReader(l.control)
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.clock, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, err
	}
	return l, unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.clock, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1})
}

func (l *load) close() {
	l.cut()
	l.control.Close()
	unix.Close(l.clock)
	unix.Close(l.epoll)
}

// ask has the server's controller answer.
func (l *load) ask(line string) (int64, error) {
	l.control.SetDeadline(time.Now().Add(stuck))
	if _, err := fmt.Fprintln(l.control, line); err != nil {
		return 0, err
	}
	answer, err := l.answers.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(answer[:len(answer)-1], 10, 64)
}

// publish has the server publish messages.
func (l *load) publish(n int64) error {
	l.published += n
	_, err := fmt.Fprintln(l.control, "publish", n)
	return err
}

// raiseLimit makes room for so many open files, and says what to do if it cannot.
func raiseLimit(files uint64) error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	if r.Cur >= files {
		return nil
	}
	r.Cur, r.Max = files, max(files, r.Max)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return fmt.Errorf("%d open files are needed and not allowed: raise the limit (ulimit -n) or give fewer -conns: %w", files, err)
	}
	return nil
}

// connect dials n connections and waits until each had its welcome and the
// server counts it. Those that were there before come back to their places.
func (l *load) connect(n int, whole bool) error {
	to, err := netip.ParseAddrPort(l.address)
	if err != nil {
		return err
	}
	old := l.conns
	l.conns, l.ready = nil, 0
	for i := range n {
		c := &client{fd: -1, whole: whole || i < checkedConns, first: l.published}
		c.scanner.several, c.scanner.beat = l.dialect.several, []byte(l.dialect.beat)
		if i < len(old) {
			c.place, c.first = old[i].place, old[i].first+old[i].got
			c.place.back = true
		}
		l.conns = append(l.conns, c)
		if err := l.dial(i, to); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) dial(i int, to netip.AddrPort) error {
	c := l.conns[i]
	var err error
	if c.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	if err := unix.Connect(c.fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	// Closing resets: a cut as real ones are, and no port is kept waiting.
	unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return err
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
		return err
	}
	path, subprotocol := l.dialect.path, ""
	if l.asking && l.dialect.askPath != "" {
		path = l.dialect.askPath
	}
	if l.dialect.subprotocol != "" {
		subprotocol = "Sec-WebSocket-Protocol: " + l.dialect.subprotocol + "\r\n"
	}
	return c.write([]byte("GET " + path + " HTTP/1.1\r\nHost: " + l.address +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + subprotocol + "\r\n"))
}

// write sends little, which a connection always has room for.
func (c *client) write(b []byte) error {
	n, err := unix.Write(c.fd, b)
	if err == nil && n < len(b) {
		err = errors.New("no room for a short frame")
	}
	return err
}

// cut resets every connection.
func (l *load) cut() {
	for _, c := range l.conns {
		if c.fd >= 0 {
			unix.Close(c.fd)
			c.fd = -1
		}
	}
}

// tick calls f every interval while the load waits, not at all for 0.
func (l *load) tick(interval time.Duration, f func()) error {
	l.ticked = f
	every := unix.NsecToTimespec(int64(interval))
	return unix.TimerfdSettime(l.clock, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil)
}

// until reads from all connections until done says so.
func (l *load) until(what string, done func() bool) error {
	deadline := time.Now().Add(stuck)
	for !done() {
		n, err := unix.EpollWait(l.epoll, l.events, 1000)
		if err != nil && err != unix.EINTR {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w: %d of %d connections are ready, the last has %d of %d messages",
				what, errTime, l.ready, len(l.conns), l.slowest(), l.published)
		}
		for _, e := range l.events[:max(0, n)] {
			if e.Fd < 0 {
				var expired [8]byte
				if _, err := unix.Read(l.clock, expired[:]); err == nil && l.ticked != nil {
					l.ticked()
				}
				continue
			}
			if err := l.read(l.conns[e.Fd]); err != nil {
				return fmt.Errorf("%s: connection %d of %d, which has %d of %d messages: %w",
					what, e.Fd, len(l.conns), l.conns[e.Fd].got, l.published, err)
			}
		}
	}
	return nil
}

func (l *load) slowest() int64 {
	least := l.published
	for _, c := range l.conns {
		least = min(least, c.first+c.got)
	}
	return least
}

func (l *load) read(c *client) error {
	n, err := unix.Read(c.fd, l.buffer)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the server ended the connection")
	}
	l.bytes += int64(n)
	b := l.buffer[:n]
	before := c.got
	if c.ready && !c.whole && len(c.input) == 0 {
		messages, err := c.scanner.scan(b, func(opcode byte, payload []byte) error { return l.small(c, opcode, payload) })
		c.got += int64(messages)
		if err != nil {
			return err
		}
	} else {
		c.input = append(c.input, b...)
		if err := l.frames(c); err != nil {
			return err
		}
	}
	l.passed(c, before)
	return nil
}

// frames looks into what a connection has read.
func (l *load) frames(c *client) error {
	rest := c.input
	if !c.upgraded {
		end := bytes.Index(rest, []byte("\r\n\r\n"))
		if end < 0 {
			return nil
		}
		if !bytes.HasPrefix(rest, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("the handshake was answered with %.100q", rest)
		}
		rest = rest[end+4:]
		c.upgraded = true
		if l.dialect.hello != nil {
			if err := c.write(clientFrame(opText, l.dialect.hello(&c.place))); err != nil {
				return err
			}
		} else if l.dialect.greeted == nil {
			l.welcomed(c)
		}
	}
	for {
		if c.ready && !c.whole {
			messages, err := c.scanner.scan(rest, func(opcode byte, payload []byte) error { return l.small(c, opcode, payload) })
			c.got += int64(messages)
			c.input = nil
			return err
		}
		opcode, size, payload, err := header(rest)
		if err != nil {
			return err
		}
		if size == 0 || len(rest) < size+payload {
			break
		}
		text := rest[size : size+payload]
		rest = rest[size+payload:]
		if opcode != opText {
			err = l.small(c, opcode, text)
		} else {
			err = l.text(c, text)
		}
		if err != nil {
			return err
		}
	}
	c.input = append(c.input[:0], rest...)
	return nil
}

// text takes a whole frame. Some servers put several of theirs into one, a line
// each.
func (l *load) text(c *client, text []byte) error {
	if l.dialect.several {
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			if err := l.line(c, line); err != nil {
				return err
			}
		}
		return nil
	}
	return l.line(c, text)
}

func (l *load) line(c *client, text []byte) error {
	if !c.ready {
		answer, ready, err := l.dialect.greeted(&c.place, text)
		if err != nil {
			return err
		}
		if answer != "" {
			if err := c.write(clientFrame(opText, answer)); err != nil {
				return err
			}
		}
		if ready {
			l.welcomed(c)
		}
	} else if len(text) <= smallFrame {
		return l.small(c, opText, text)
	} else if l.asking {
		return l.answered(c, text)
	}
	rest := text
	for {
		i := bytes.IndexByte(rest, mark)
		if i < 0 {
			break
		}
		sequence, published, err := parseStamp(rest[i:])
		if err != nil {
			return err
		}
		c.got++
		if want := c.first + c.got; sequence != want {
			return fmt.Errorf("message %d came where %d was due", sequence, want)
		}
		if l.delays != nil {
			*l.delays = append(*l.delays, time.Duration(clock()-published))
		}
		rest = rest[i+1:]
	}
	if len(rest) < len(text) && l.dialect.passed != nil {
		l.dialect.passed(&c.place, text)
	}
	return nil
}

// small answers a frame that is no message.
func (l *load) small(c *client, opcode byte, payload []byte) error {
	switch opcode {
	case opClose:
		return closeError(payload)
	case opPing:
		return c.write(clientFrame(opPong, string(payload)))
	case opText:
		if l.dialect.heartbeat != nil {
			if answer := l.dialect.heartbeat(payload); answer != "" {
				return c.write(clientFrame(opText, answer))
			}
		}
		if l.asking {
			return l.answered(c, payload)
		}
	}
	return nil
}

func (l *load) welcomed(c *client) {
	c.ready = true
	l.ready++
}

// answered goes on with the next question.
func (l *load) answered(c *client, text []byte) error {
	if !l.dialect.acked(text) {
		return nil
	}
	l.acked++
	c.got++
	if !l.asks {
		return nil
	}
	return l.askNext(c)
}

func (l *load) askNext(c *client) error {
	c.asked++
	return c.write(clientFrame(opText, l.dialect.ask(c.asked)))
}

// passed notes which batches a connection has come to the end of.
func (l *load) passed(c *client, before int64) {
	if c.got > before && !l.asking {
		base := c.first
		for b := (base+before)/l.batch + 1; b <= (base+c.got)/l.batch; b++ {
			l.reached[b]++
			if l.reached[b] == len(l.conns) {
				delete(l.reached, b)
				l.complete = b
			}
		}
	}
}

// residentKiB returns the resident memory of the server.
func (l *load) residentKiB() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.pid))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace([]byte(between(status, "VmRSS:", "kB")))), 10, 64)
}
