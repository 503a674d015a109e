package main

import (
	"maps"
	"sync"
	"time"
)

// sessionStore keeps the sessions of the organisers in memory, for scs. That
// package's own store needs a goroutine whose end is a data race (v2.9.0); here
// whoever logs in sweeps out what has expired. Safe for concurrent use.
type sessionStore struct {
	mu       sync.Mutex // guards sessions
	sessions map[string]storedSession
}

type storedSession struct {
	data   []byte
	expiry time.Time
}

func newSessionStore() *sessionStore { return &sessionStore{sessions: map[string]storedSession{}} }

// Find returns a session that has not expired.
func (s *sessionStore) Find(token string) (data []byte, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.sessions[token]
	if !ok || time.Now().After(session.expiry) {
		return nil, false, nil
	}
	return session.data, true, nil
}

// Commit keeps a session until its expiry.
func (s *sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.sessions, func(_ string, old storedSession) bool { return now.After(old.expiry) })
	s.sessions[token] = storedSession{data, expiry}
	return nil
}

// Delete ends a session.
func (s *sessionStore) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, token)
	return nil
}
