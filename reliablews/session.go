package reliablews

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"
)

const (
	sessionLifetime = 5 * time.Minute // after its connection has ended
	sessionSweep    = time.Minute
	maxSessions     = 100_000
)

// session is a client over several connections. Only the hash of its token is
// kept: whoever reads memory cannot take it over.
type session struct {
	id    string
	user  string
	token [sha256.Size]byte

	conn *conn     // nil while it has none
	left time.Time // when the last connection ended
}

// sessions are those that have a connection or had one lately. Safe for
// concurrent use.
type sessions struct {
	mu    sync.Mutex // guards the fields below, and conn and left of each session
	byID  map[string]*session
	swept time.Time
}

func newSessions() *sessions { return &sessions{byID: map[string]*session{}} }

// open returns the session that a hello asks for, if its token is right and it
// belongs to the same user, or a new one with its token. old is the connection
// that the session had, if any.
func (s *sessions) open(id, token, user string, c *conn) (opened *session, newToken string, old *conn, resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	known := s.byID[id]
	hash := sha256.Sum256([]byte(token))
	if known != nil && known.user == user && subtle.ConstantTimeCompare(known.token[:], hash[:]) == 1 {
		old, known.conn = known.conn, c
		return known, token, old, true
	}
	newToken = rand.Text()
	opened = &session{id: rand.Text(), user: user, token: sha256.Sum256([]byte(newToken)), conn: c}
	if len(s.byID) < maxSessions {
		s.byID[opened.id] = opened
	}
	return opened, newToken, nil, false
}

// leave notes that a connection of a session has ended.
func (s *sessions) leave(of *session, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of.conn == c {
		of.conn, of.left = nil, time.Now()
	}
}

// sweep forgets the sessions that nobody came back to, once a minute at most.
func (s *sessions) sweep(now time.Time) {
	if now.Sub(s.swept) < sessionSweep {
		return
	}
	s.swept = now
	for id, x := range s.byID {
		if x.conn == nil && now.Sub(x.left) > sessionLifetime {
			delete(s.byID, id)
		}
	}
}
