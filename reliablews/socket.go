package reliablews

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// outlet takes frames to a client.
type outlet interface {
	// write sends frames, one behind the other, as wireFrame makes them. After an
	// error the connection is of no use.
	write(frames [][]byte) error

	// try is write as far as it goes without waiting. With a rest that is not
	// nil, finish must follow. It returns errBusy when somebody else is writing.
	try(frames [][]byte) (rest []byte, err error)

	// finish writes the rest of a try.
	finish(rest []byte) error

	// end says why the connection ends, behind everything written.
	end(code int, reason string)

	// abort ends the connection at once, from any goroutine.
	abort()

	// packs says that messages are to be written compressed.
	packs() bool
}

// socket carries frames over a WebSocket.
type socket struct {
	ws       *websocket.Conn
	line     *line
	compress bool
}

// upgrade answers a handshake. Control frames, and nothing else, are written
// by gorilla/websocket.
func (h *Hub) upgrade(w http.ResponseWriter, r *http.Request) (*socket, error) {
	hw := &hijackedWriter{ResponseWriter: w, timeout: h.opts.HeartbeatTimeout}
	ws, err := h.upgrader.Upgrade(hw, r, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(h.opts.MaxFrameBytes)
	return &socket{ws: ws, line: hw.line, compress: hw.line.deflate}, nil
}

// hijackedWriter gives gorilla/websocket a line in place of the connection.
type hijackedWriter struct {
	http.ResponseWriter
	timeout time.Duration
	line    *line
}

func (w *hijackedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.line = &line{Conn: raw, timeout: w.timeout}
	if tcp, ok := raw.(*net.TCPConn); ok { // what lies over TLS cannot be tried
		w.line.direct, _ = tcp.SyscallConn()
	}
	return w.line, buffered, nil
}

// line is a network connection that several write to: the hub its batches, and
// gorilla/websocket, from its reader, pongs and close frames. Each write is of
// whole frames, and nothing follows a close frame (RFC 6455 §5.5.1).
type line struct {
	net.Conn
	timeout time.Duration

	mu     sync.Mutex // held while writing
	until  time.Time  // the deadline that is set
	closed bool       // a close frame is out

	direct  syscall.RawConn // nil when every write may wait
	deflate bool            // the handshake ended with compression agreed upon
}

const closeFrame = 0x88

var errBusy = errors.New("somebody else is writing")

// copied is up to how many bytes are copied together for one write. Above it
// several pieces are handed to the kernel as they are.
const copied = 16 << 10

var copies = sync.Pool{New: func() any { return new([copied]byte) }}

func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return 0, err
	}
	switch {
	case len(b) > 0 && b[0] == closeFrame:
		l.closed = true
	case bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")):
		// gorilla/websocket does not tell; its answer does.
		l.deflate = bytes.Contains(b, []byte("\r\nSec-WebSocket-Extensions: permessage-deflate"))
	}
	n, err := l.Conn.Write(b)
	if err != nil {
		l.Conn.Close() // part of a frame may be out: nothing more can follow
	}
	return n, err
}

// writeAll writes pieces of whole frames in one go.
func (l *line) writeAll(pieces [][]byte) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	switch {
	case len(pieces) == 1:
		_, err = l.Conn.Write(pieces[0])
	case total <= copied:
		buffer := copies.Get().(*[copied]byte)
		b := buffer[:0]
		for _, p := range pieces {
			b = append(b, p...)
		}
		_, err = l.Conn.Write(b)
		copies.Put(buffer)
	default:
		buffers := net.Buffers(pieces)
		_, err = buffers.WriteTo(l.Conn)
	}
	if err != nil {
		l.Conn.Close() // part of a frame may be out
	}
	return err
}

// try writes pieces of whole frames as far as the network takes them at once.
// The lock is held until finish when there is a rest: nothing may come between.
// Whoever writes a pong to a client that does not read holds it for long, and
// the subscribers behind must not wait for that.
func (l *line) try(pieces [][]byte) (rest []byte, err error) {
	if !l.mu.TryLock() {
		return nil, errBusy
	}
	if err := l.ready(); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	all := pieces[0]
	if len(pieces) > 1 {
		all = slices.Concat(pieces...)
	}
	if l.direct == nil {
		return all, nil
	}
	n, err := l.writeNow(all)
	if err == nil && n < len(all) {
		return all[n:], nil
	}
	if err != nil {
		l.Conn.Close() // part of a frame may be out
	}
	l.mu.Unlock()
	return nil, err
}

// attempt is one write without waiting. It is kept: a function made for each
// write, and what it returns through, were a tenth of the work of a delivery.
type attempt struct {
	b   []byte
	n   int
	err error
	run func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.run = func(fd uintptr) bool { a.n, a.err = writeNow(fd, a.b); return true }
	return a
}}

// writeNow writes what the network takes at once. The caller holds the lock.
func (l *line) writeNow(b []byte) (int, error) {
	a := attempts.Get().(*attempt)
	a.b = b
	err := l.direct.Write(a.run)
	if err == nil {
		err = a.err
	}
	n := a.n
	a.b, a.n, a.err = nil, 0, nil
	attempts.Put(a)
	return n, err
}

func (l *line) finish(rest []byte) error {
	defer l.mu.Unlock()
	_, err := l.Conn.Write(rest)
	if err != nil {
		l.Conn.Close()
	}
	return err
}

func (l *line) ready() error {
	if l.closed {
		return net.ErrClosed
	}
	// Moving the deadline costs more than it is worth for each write: it is
	// right to a second, or to an eighth of a short timeout.
	if now := time.Now(); l.until.Sub(now) < l.timeout-min(time.Second, l.timeout/8) {
		l.until = now.Add(l.timeout)
		return l.Conn.SetWriteDeadline(l.until)
	}
	return nil
}

// SetWriteDeadline does nothing: gorilla/websocket would set one for its pong
// that ends the batch which is being written.
func (l *line) SetWriteDeadline(time.Time) error { return nil }

func (s *socket) write(frames [][]byte) error         { return s.line.writeAll(frames) }
func (s *socket) try(frames [][]byte) ([]byte, error) { return s.line.try(frames) }
func (s *socket) finish(rest []byte) error            { return s.line.finish(rest) }
func (s *socket) abort()                              { s.line.Conn.Close() }
func (s *socket) packs() bool                         { return s.compress }

func (s *socket) end(code int, reason string) {
	s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(lingering))
	// The client answers, or not; the reader waits no longer than this.
	s.line.SetReadDeadline(time.Now().Add(lingering))
}

// next waits for the next message.
func (s *socket) next() (kind int, r io.Reader, err error) { return s.ws.NextReader() }

// readAll reads a message into a buffer. gorilla/websocket bounds what comes in,
// readAll what that unpacks to.
func readAll(r io.Reader, buffer []byte, limit int64) (data []byte, err error) {
	data = buffer[:0]
	for {
		if int64(len(data)) > limit {
			return data, errTooLarge
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
}
