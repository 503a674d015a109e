package reliablews

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"sync/atomic"
	"time"
)

const sessionSweep = time.Minute

// session is a client over several connections. Only the hash of its token is
// kept: whoever reads memory cannot take it over.
type session struct {
	id    string
	user  string
	token [sha256.Size]byte

	// Guarded by sessions.mu.
	conn    *conn         // nil while it has none
	hello   uint64        // number of its latest hello
	left    time.Time     // when the last connection ended
	away    *list.Element // in sessions.away, nil while it has a connection
	poll    bool          // its latest connection was a poll
	login   string        // that its latest hello was authorized by,
	until   time.Time     // until when, if not for ever,
	revoked bool          // and whether that was taken back since

	inboxBytes *atomic.Int64 // of all inboxes

	// Most sessions have neither: both are made when they are needed.
	inbox   atomic.Pointer[inbox]
	answers atomic.Pointer[answers]
	pace    pace
}

// ownInbox returns the session's inbox.
func (s *session) ownInbox() *inbox {
	if s.inbox.Load() == nil {
		s.inbox.CompareAndSwap(nil, &inbox{all: s.inboxBytes}) // another's is as good
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
	max      int
	counts   *counts

	inboxBytes atomic.Int64 // of all inboxes

	mu     sync.Mutex // guards the fields below, and conn and left of each session
	byID   map[string]*session
	byUser map[string]map[*session]struct{} // but for strangers
	away   list.List                        // of *session: those without a connection, longest first
	timer  *time.Timer                      // nil while there are no sessions
	closed bool
}

func newSessions(lifetime time.Duration, max int, counts *counts) *sessions {
	return &sessions{
		lifetime: lifetime, max: max, counts: counts,
		byID: map[string]*session{}, byUser: map[string]map[*session]struct{}{},
	}
}

// opening is what a hello gets.
type opening struct {
	session *session
	token   string
	old     *conn // that had the session before
	resumed bool
}

// open returns the session that a hello asks for, if its token is right and it
// belongs to the same user, or a new one with its token. errTakenOver refuses a
// hello that the network brought behind a newer one of the same session: its
// connection was given up, and would take the session from the one that is used.
// errNoRoom says that as many as there may be have a connection.
func (s *sessions) open(f *clientFrame, user string, c *conn) (opening, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known(f.Session, f.Token); known != nil && known.user == user {
		if f.N > 0 && f.N < known.hello {
			return opening{}, errTakenOver
		}
		known.hello = max(known.hello, f.N)
		old := known.conn
		known.conn = c
		s.back(known)
		known.authorized(c)
		c.first = !known.poll
		known.poll = c.poll
		return opening{session: known, token: f.Token, old: old, resumed: true}, nil
	}
	if len(s.byID) >= s.max && !s.evict() {
		return opening{}, errNoRoom
	}
	c.first = true
	newToken := rand.Text()
	opened := &session{id: rand.Text(), user: user, token: sha256.Sum256([]byte(newToken)), conn: c, poll: c.poll, hello: f.N, inboxBytes: &s.inboxBytes}
	opened.authorized(c)
	s.keep(opened)
	return opening{session: opened, token: newToken}, nil
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

// evict makes room: it forgets the session that has been without a connection
// for longest. It returns false when each has one. The caller holds the lock.
func (s *sessions) evict() bool {
	longest := s.away.Front()
	if longest == nil {
		return false
	}
	s.forget(longest.Value.(*session))
	s.counts.sessionsEvicted.Add(1)
	return true
}

// forget lets go of a session without a connection. The caller holds the lock.
func (s *sessions) forget(x *session) {
	if box := x.inbox.Load(); box != nil {
		s.counts.inboxDropped.Add(uint64(box.shrink(-1)))
	}
	s.back(x)
	delete(s.byID, x.id)
	delete(s.byUser[x.user], x)
	if len(s.byUser[x.user]) == 0 {
		delete(s.byUser, x.user)
	}
}

// back takes a session off the list of those without a connection. The caller
// holds the lock.
func (s *sessions) back(x *session) {
	if x.away != nil {
		s.away.Remove(x.away)
		x.away = nil
	}
}

// authorized notes what the hello on a connection was allowed by. A login that
// was kicked since is worth nothing already: revoke looked before the session had
// it. The caller holds the lock.
func (s *session) authorized(c *conn) {
	s.login, s.until, s.revoked = "", time.Time{}, false
	if by := c.identity.Load(); by != nil {
		s.login, s.until = by.Login, by.Until
		s.revoked = by.Login != "" && c.hub.kicks.Load() != c.kicks
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
		of.conn, of.left, of.away = nil, time.Now(), s.away.PushBack(of)
	}
}

// sweep forgets the sessions that nobody came back to, and old messages in the
// inboxes of the others.
func (s *sessions) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := time.Now().Add(-s.lifetime)
	for _, x := range s.byID {
		if x.conn == nil && !x.left.After(before) {
			s.forget(x)
			continue
		}
		box := x.inbox.Load()
		if box == nil {
			continue
		}
		if n := box.expire(before); n > 0 {
			s.counts.inboxDropped.Add(uint64(n))
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
