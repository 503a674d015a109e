package reliablews

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sessionSweep = time.Minute
	maxSessions  = 100_000
)

// session is a client over several connections. Only the hash of its token is
// kept: whoever reads memory cannot take it over.
type session struct {
	id    string
	user  string
	token [sha256.Size]byte

	// Guarded by sessions.mu.
	conn    *conn     // nil while it has none
	hello   uint64    // number of its latest hello
	left    time.Time // when the last connection ended
	poll    bool      // its latest connection was a poll
	login   string    // that its latest hello was authorized by,
	until   time.Time // until when, if not for ever,
	revoked bool      // and whether that was taken back since

	// Most sessions have neither: both are made when they are needed.
	inbox   atomic.Pointer[inbox]
	answers atomic.Pointer[answers]
	pace    pace
}

// ownInbox returns the session's inbox.
func (s *session) ownInbox() *inbox {
	if s.inbox.Load() == nil {
		s.inbox.CompareAndSwap(nil, new(inbox)) // another's is as good
	}
	return s.inbox.Load()
}

// ownAnswers returns what the session's client was told.
func (s *session) ownAnswers(window int) *answers {
	if s.answers.Load() == nil {
		s.answers.CompareAndSwap(nil, newAnswers(window))
	}
	return s.answers.Load()
}

// sessions are those that have a connection or had one lately. Safe for
// concurrent use.
type sessions struct {
	lifetime time.Duration
	dropped  func(messages int) // with sessions and by age, from their inboxes

	mu     sync.Mutex // guards the fields below, and conn and left of each session
	byID   map[string]*session
	byUser map[string]map[*session]struct{} // but for strangers
	timer  *time.Timer                      // nil while there are no sessions
	closed bool
}

func newSessions(lifetime time.Duration, dropped func(int)) *sessions {
	return &sessions{
		lifetime: lifetime, dropped: dropped,
		byID: map[string]*session{}, byUser: map[string]map[*session]struct{}{},
	}
}

// open returns the session that a hello asks for, if its token is right and it
// belongs to the same user, or a new one with its token. old is the connection
// that the session had, if any. A hello that the network brought behind a newer
// one of the same session opens nothing: its connection was given up, and would
// take the session from the one that is used.
func (s *sessions) open(f *clientFrame, user string, c *conn) (opened *session, newToken string, old *conn, resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known(f.Session, f.Token); known != nil && known.user == user {
		if f.N > 0 && f.N < known.hello {
			return nil, "", nil, false
		}
		known.hello = f.N
		old, known.conn = known.conn, c
		known.authorized(c.identity.Load())
		c.first = !known.poll
		known.poll = c.poll
		return known, f.Token, old, true
	}
	c.first = true
	newToken = rand.Text()
	opened = &session{id: rand.Text(), user: user, token: sha256.Sum256([]byte(newToken)), conn: c, poll: c.poll, hello: f.N}
	opened.authorized(c.identity.Load())
	if len(s.byID) < maxSessions {
		s.keep(opened)
	}
	return opened, newToken, nil, false
}

// known returns the session with an id and its token. The caller holds the lock.
func (s *sessions) known(id, token string) *session {
	x := s.byID[id]
	hash := sha256.Sum256([]byte(token))
	if x == nil || subtle.ConstantTimeCompare(x.token[:], hash[:]) != 1 {
		return nil
	}
	return x
}

func (s *sessions) keep(x *session) {
	s.byID[x.id] = x
	if x.user != "" {
		if s.byUser[x.user] == nil {
			s.byUser[x.user] = map[*session]struct{}{}
		}
		s.byUser[x.user][x] = struct{}{}
	}
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(sessionSweep, s.sweep)
	}
}

// authorized notes what a hello was allowed by. The caller holds the lock.
func (s *session) authorized(by *Identity) {
	s.login, s.until, s.revoked = "", time.Time{}, false
	if by != nil {
		s.login, s.until = by.Login, by.Until
	}
}

// revoke makes the sessions of a login worth nothing until their next hello.
func (s *sessions) revoke(login string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.byID {
		if x.login == login {
			x.revoked = true
		}
	}
}

// find returns a session that may send, and its connection, nil if it has none.
func (s *sessions) find(id, token string) (*session, *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.known(id, token)
	if x == nil || x.revoked || !x.until.IsZero() && time.Now().After(x.until) {
		return nil, nil
	}
	return x, x.conn
}

// each calls f for the session with an id, or for those of a user, and tells
// how many there were.
func (s *sessions) each(id, user string, f func(*session)) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byID[id]; x != nil {
		f(x)
		return 1
	}
	for x := range s.byUser[user] {
		f(x)
		n++
	}
	return n
}

// leave notes that a connection of a session has ended.
func (s *sessions) leave(of *session, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of.conn == c {
		of.conn, of.left = nil, time.Now()
	}
}

// sweep forgets the sessions that nobody came back to, and old messages in the
// inboxes of the others.
func (s *sessions) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := time.Now().Add(-s.lifetime)
	for id, x := range s.byID {
		if x.conn == nil && !x.left.After(before) {
			if box := x.inbox.Load(); box != nil {
				s.dropped(box.len())
			}
			delete(s.byID, id)
			delete(s.byUser[x.user], x)
			if len(s.byUser[x.user]) == 0 {
				delete(s.byUser, x.user)
			}
			continue
		}
		box := x.inbox.Load()
		if box == nil {
			continue
		}
		if n := box.expire(before); n > 0 {
			s.dropped(n)
			if x.conn != nil {
				x.conn.nudge() // it is told of the gap
			}
		}
	}
	if s.timer = nil; len(s.byID) > 0 && !s.closed {
		s.timer = time.AfterFunc(sessionSweep, s.sweep)
	}
}

// close ends the sweeping.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *sessions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}
