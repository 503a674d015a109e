package reliablews

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// inbox is the messages for one session that its client has not acknowledged.
// It is a topic of its own: offsets count from 1 in the epoch of the session.
type inbox struct {
	all *atomic.Int64 // bytes in all inboxes

	mu       sync.Mutex // guards the fields below
	messages []direct   // oldest first
	bytes    int
	last     uint64 // offset of the latest message
	sent     uint64 // and of the latest that a connection took
	base     uint64 // every message after this offset is held
	reason   string // why those up to base are not, if they were not acknowledged
}

type direct struct {
	offset uint64
	wire   []byte
	at     time.Time
}

// add appends a message and returns how many had to go for it.
func (b *inbox) add(encoded []byte, now time.Time, maxMessages, maxBytes int) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wire := wireMessage(inboxTopic, b.last+1, b.last, encoded)
	b.last++
	b.messages = append(b.messages, direct{b.last, wire, now})
	b.bytes += len(wire)
	b.all.Add(int64(len(wire)))
	for len(b.messages) > 1 && (len(b.messages) > maxMessages || b.bytes > maxBytes) {
		b.drop()
		b.reason = reasonFull
		dropped++
	}
	return dropped
}

func (b *inbox) drop() {
	b.base = b.messages[0].offset
	b.bytes -= len(b.messages[0].wire)
	b.all.Add(-int64(len(b.messages[0].wire)))
	b.messages[0] = direct{}
	b.messages = b.messages[1:]
}

// acknowledge lets go of what the client has. It cannot have more than was sent:
// then it means the inbox of another session.
func (b *inbox) acknowledge(offset uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if offset > b.sent {
		return
	}
	for len(b.messages) > 0 && b.messages[0].offset <= offset {
		b.drop()
	}
}

// expire lets go of what came before a time, and returns how much that was.
func (b *inbox) expire(before time.Time) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.messages) > 0 && !b.messages[0].at.After(before) {
		b.drop()
		b.reason = reasonExpired
		dropped++
	}
	return dropped
}

// shrink lets the oldest messages go until there are no more bytes than some,
// and returns how many that was.
func (b *inbox) shrink(bytes int) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.messages) > 0 && b.bytes > bytes {
		b.drop()
		b.reason = reasonFull
		dropped++
	}
	return dropped
}

// begin decides where a client starts that has a position, or none.
func (b *inbox) begin(session string, at *Position) (state topicState, cursor uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state = topicState{Epoch: session, Offset: b.base, Resumed: true}
	switch {
	case at == nil:
	case at.Epoch == session && at.Offset <= b.last:
		state.Offset = at.Offset
	default:
		// Of another session, which is gone; or ahead, which cannot be.
		state.Resumed, state.Reason = false, reasonEpoch
	}
	return state, state.Offset
}

// pending appends frames after the cursor to pieces, up to limit bytes, and
// returns the cursor behind them. gaps counts the notices among them.
func (b *inbox) pending(pieces [][]byte, session string, cursor uint64, limit int) (_ [][]byte, moved uint64, gaps int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cursor < b.base {
		pieces = append(pieces, wireFrame(serverFrame{T: "gap", S: inboxTopic, E: session, O: b.base, P: cursor, Reason: b.reason}))
		cursor = b.base
		gaps = 1
	}
	for _, m := range b.messages {
		if m.offset <= cursor {
			continue
		}
		if limit -= len(m.wire); limit < 0 && len(pieces) > 0 {
			break
		}
		pieces = append(pieces, m.wire)
		cursor = m.offset
	}
	b.sent = max(b.sent, cursor)
	return pieces, cursor, gaps
}

func (b *inbox) size() (messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages), b.bytes
}

// trimInboxes lets the oldest messages of the largest inboxes go while all
// together are over a bound. It makes more room than is needed: to look at every
// session for each message would be slow.
func (s *sessions) trimInboxes(max int) {
	if s.inboxBytes.Load() <= int64(max) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	type sized struct {
		session *session
		bytes   int
	}
	var list []sized
	for _, x := range s.byID {
		if box := x.inbox.Load(); box != nil {
			_, bytes := box.size()
			list = append(list, sized{x, bytes})
		}
	}
	slices.SortFunc(list, func(a, b sized) int { return cmp.Compare(a.bytes, b.bytes) })
	room := max - max/16
	fair, left := 0, room // what each may keep when the smaller ones keep all
	for i, x := range list {
		if fair = left / (len(list) - i); x.bytes > fair {
			break
		}
		left -= x.bytes
	}
	for _, x := range slices.Backward(list) {
		if s.inboxBytes.Load() <= int64(room) {
			return
		}
		if n := x.session.inbox.Load().shrink(fair); n > 0 {
			s.counts.inboxDropped.Add(uint64(n))
			if x.session.conn != nil {
				x.session.conn.nudge() // it is told of the gap
			}
		}
	}
}

// Send puts a message, encoded as JSON, into the inbox of a session, whose id
// handlers and OnPresence know. A client that is away gets it when it comes
// back, within SessionLifetime. It returns [ErrNoSession], [ErrMessageTooLarge],
// or the error of encoding.
func (h *Hub) Send(session string, data any) error {
	n, err := h.send(session, "", data)
	if err == nil && n == 0 {
		return ErrNoSession
	}
	return err
}

// SendUser puts a message into the inbox of each session of a user and returns
// how many there are.
func (h *Hub) SendUser(user string, data any) (sessions int, err error) {
	if user == "" {
		return 0, nil
	}
	return h.send("", user, data)
}

func (h *Hub) send(id, user string, data any) (int, error) {
	encoded, err := encode(data)
	if err != nil {
		return 0, fmt.Errorf("reliablews: encode a message for an inbox: %w", err)
	}
	if len(encoded) > h.opts.MaxMessageBytes {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(encoded), h.opts.MaxMessageBytes)
	}
	now := time.Now()
	n := h.sessions.each(id, user, func(s *session) {
		dropped := s.ownInbox().add(encoded, now, h.opts.MaxInbox, h.opts.MaxInboxBytes)
		h.counts.inboxDropped.Add(uint64(dropped))
		if s.conn != nil {
			s.conn.nudge()
		}
	})
	h.counts.sent.Add(uint64(n))
	h.sessions.trimInboxes(h.opts.InboxBytes)
	return n, nil
}
