package reliablews

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

const (
	defaultWindow = 64         // messages without an answer, if the welcome does not say
	defaultLimit  = 64 << 10   // bytes of a frame, if the welcome does not say
	postOverhead  = 512        // bytes of a post besides its frames, at most
	posOverhead   = 32         // bytes of an acknowledgement in a frame
	noPosition    = ^uint64(0) // nothing to acknowledge: offsets end at 2^53-1
)

// Send sends a message to the handler of that name on the server and returns
// its answer once it has returned, JSON null if it gave none. data is encoded
// as JSON. Safe for concurrent use; messages reach the server in the order in
// which Send was called.
//
// While there is no connection the message waits, up to MaxQueued of them
// together ([ErrQueueFull]), also before Run has begun. It is sent again on
// each new connection until it is answered, and handled once however often it
// came, as long as the server knows the session; after a restart of the server
// it may be handled again. An answer that refuses it is a [*ReplyError].
//
// When ctx or the client ends before that, the error is [ErrNotSent], or
// [ErrOutcomeUnknown] if it was sent: it may have been handled, or may yet be.
//
// The functions of [ClientOptions] and the body of a loop over
// [Client.Events] may call Send too; what follows them waits meanwhile.
func (c *Client) Send(ctx context.Context, name string, data any) (json.RawMessage, error) {
	m, err := newOutgoing(name, data)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	if err := c.sends.add(m); err != nil {
		return nil, err
	}
	select {
	case r := <-m.done:
		return r.data, r.err
	case <-ctx.Done():
		return c.sends.abandon(m, ctx.Err())
	}
}

// outgoing is a message to the server. Guarded by clientSends.mu.
type outgoing struct {
	name []byte // quoted
	data []byte
	n    uint64 // 0 until it is sent for the first time
	done chan sendResult
}

type sendResult struct {
	data json.RawMessage
	err  error
}

func newOutgoing(name string, data any) (*outgoing, error) {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return nil, fmt.Errorf("%w: a handler's name has 1 to %d bytes", ErrNotSent, maxName)
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	encoded, err := json.Marshal(data)
	if err == nil && !utf8.Valid(encoded) { // in a json.RawMessage
		err = fmt.Errorf("the data is not UTF-8")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	return &outgoing{name: quoted, data: encoded, done: make(chan sendResult, 1)}, nil
}

// frame appends the message as it is sent.
func (m *outgoing) frame(b []byte, c string, acked uint64) []byte {
	b = append(b, `{"t":"send","c":"`...)
	b = append(b, c...)
	b = append(b, `","n":`...)
	b = strconv.AppendUint(b, m.n, 10)
	b = append(b, `,"m":`...)
	b = append(b, m.name...)
	b = append(b, `,"d":`...)
	b = append(b, m.data...)
	if acked != noPosition {
		b = append(b, `,"pos":{"`+inboxTopic+`":`...)
		b = strconv.AppendUint(b, acked, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// clientSends are the messages to the server that have no answer. A message
// gets its number when it is first sent: so there are no numbers missing when
// one is given up before. One that is given up afterwards stays until it is
// answered, for the same reason. Safe for concurrent use.
type clientSends struct {
	max int

	mu       sync.Mutex // guards the fields below
	client   string     // made anew whenever numbering begins at 1
	last     uint64     // number given
	waiting  []*outgoing
	flying   []*outgoing // numbered, in order
	answered uint64
	over     error // why the client has ended

	// Of the connection that is live.
	link   *link // nil while there is none
	cursor uint64
	window uint64
	limit  int // bytes of a frame
}

// begin numbers anew: a client begins to run.
func (s *clientSends) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.last, s.over = rand.Text(), 0, nil
}

// end gives all up: the client does not run any more.
func (s *clientSends) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.waiting {
		m.done <- sendResult{err: fmt.Errorf("%w: %w", ErrNotSent, why)}
	}
	for _, m := range s.flying {
		m.done <- sendResult{err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, why)}
	}
	s.waiting, s.flying, s.over = nil, nil, why
}

func (s *clientSends) add(m *outgoing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over != nil:
		return fmt.Errorf("%w: the client has ended: %w", ErrNotSent, s.over)
	case len(s.waiting)+len(s.flying) >= s.max:
		return ErrQueueFull
	}
	s.waiting = append(s.waiting, m)
	if s.link != nil {
		nudge(s.link.more)
	}
	return nil
}

// abandon is the end of a call whose context has ended.
func (s *clientSends) abandon(m *outgoing, why error) (json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case r := <-m.done:
		return r.data, r.err // in the same moment
	default:
	}
	if m.n > 0 {
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, why)
	}
	i := slices.Index(s.waiting, m)
	s.waiting = slices.Delete(s.waiting, i, i+1)
	return nil, fmt.Errorf("%w: %w", ErrNotSent, why)
}

// attach makes a connection the one to send on. What has no answer is sent
// again there.
func (s *clientSends) attach(l *link, welcome serverFrame, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window, s.limit = defaultWindow, defaultLimit
	if welcome.Window > 0 {
		s.window = uint64(welcome.Window)
	}
	if welcome.Limit > 0 {
		s.limit = int(min(welcome.Limit, 1<<30))
	}
	if fresh {
		s.link, s.cursor = l, 0
	}
	nudge(l.more)
}

func (s *clientSends) detach(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == l {
		s.link = nil
	}
}

// next returns the frames that may be sent on a connection, in a session, now.
func (s *clientSends) next(l *link, session string) (frames [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.limit
	if l.via != WebSocket {
		limit -= postOverhead
	}
	size := 0
	for s.link == l {
		m := s.pick()
		if m == nil {
			return frames
		}
		room := len(m.name) + len(m.data) + len(s.client) + 64 // and the rest of the frame
		if room > limit {
			s.tooLarge(m)
			continue
		}
		if l.via != WebSocket && size+room+posOverhead > limit && len(frames) > 0 {
			return frames // in the next request
		}
		if m.n == 0 {
			s.last++
			m.n = s.last
			s.waiting = s.waiting[1:]
			s.flying = append(s.flying, m)
		}
		s.cursor = m.n + 1
		acked := noPosition
		if room+posOverhead <= limit {
			if pos, _ := l.client.ack(l, session, 0); pos != nil {
				acked = pos[inboxTopic]
			}
		}
		f := m.frame(make([]byte, 0, room+posOverhead), s.client, acked)
		frames = append(frames, f)
		size += len(f) + 1
	}
	return frames
}

// pick returns the message to send next, nil while there is none or the window
// is full. The window counts from the first one without an answer, also when
// messages are sent again.
func (s *clientSends) pick() *outgoing {
	i, _ := slices.BinarySearchFunc(s.flying, s.cursor, func(m *outgoing, n uint64) int {
		if m.n < n {
			return -1
		}
		return 1
	})
	var m *outgoing
	n := s.last + 1
	switch {
	case i < len(s.flying):
		m, n = s.flying[i], s.flying[i].n
	case len(s.waiting) > 0:
		m = s.waiting[0]
	default:
		return nil
	}
	if len(s.flying) > 0 && n >= s.flying[0].n+s.window {
		return nil
	}
	return m
}

// tooLarge gives up a message that the server would end the connection for.
func (s *clientSends) tooLarge(m *outgoing) {
	if m.n == 0 {
		s.waiting = s.waiting[1:]
		m.done <- sendResult{err: ErrTooLargeToSend}
		return
	}
	// It was sent before, to a server that took more.
	s.flying = slices.DeleteFunc(s.flying, func(x *outgoing) bool { return x == m })
	m.done <- sendResult{err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrTooLargeToSend)}
}

// answer ends the call that a frame is the answer to.
func (s *clientSends) answer(f serverFrame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.flying, func(m *outgoing) bool { return m.n == f.N })
	if i < 0 {
		return // answered before
	}
	m := s.flying[i]
	s.flying = slices.Delete(s.flying, i, i+1)
	s.answered++
	switch {
	case f.Refused != "":
		m.done <- sendResult{err: &ReplyError{Refused: f.Refused, Text: f.Error}}
	case f.D == nil:
		m.done <- sendResult{data: json.RawMessage("null")}
	default:
		m.done <- sendResult{data: f.D}
	}
	if s.link != nil {
		nudge(s.link.more)
	}
}

// counts returns how many were answered, and how many have no answer.
func (s *clientSends) counts() (answered uint64, queued int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered, len(s.waiting) + len(s.flying)
}
