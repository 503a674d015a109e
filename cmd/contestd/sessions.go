package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

const sessionLifetime = 24 * time.Hour // longer than any contest evening

// sessions keeps who is logged in. Two managers share one store, because the
// cookie differs: over https it is Secure with the __Host- prefix, on a plain
// LAN, where browsers would drop such a cookie, it is not.
type sessions struct {
	plain, secure *scs.SessionManager
	proxied       bool // a proxy in front ends TLS and says so in X-Forwarded-Proto
}

func newSessions(cfg *config) *sessions {
	store := newSessionStore()
	manager := func(name string, secure bool) *scs.SessionManager {
		m := scs.New()
		m.Store = store
		m.Lifetime = sessionLifetime
		m.HashTokenInStore = true
		m.Cookie.Name = name
		m.Cookie.Secure = secure
		m.Cookie.HttpOnly = true
		m.Cookie.SameSite = http.SameSiteLaxMode
		return m
	}
	return &sessions{
		plain:   manager("contest-session", false),
		secure:  manager("__Host-contest-session", true),
		proxied: cfg.onFly(),
	}
}

func (s *sessions) https(r *http.Request) bool {
	return r.TLS != nil || s.proxied && r.Header.Get("X-Forwarded-Proto") == "https"
}

func (s *sessions) manager(r *http.Request) *scs.SessionManager {
	if s.https(r) {
		return s.secure
	}
	return s.plain
}

// wrap makes the session of a request available to next, and saves it.
func (s *sessions) wrap(next http.Handler) http.Handler {
	plain, secure := s.plain.LoadAndSave(next), s.secure.LoadAndSave(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.https(r) {
			secure.ServeHTTP(w, r)
		} else {
			plain.ServeHTTP(w, r)
		}
	})
}

// user returns who is logged in, "" for a stranger. The request must have come
// through wrap.
func (s *sessions) user(r *http.Request) string {
	return s.manager(r).GetString(r.Context(), "user")
}

// socketLogin is who is logged in by a request that did not come through wrap:
// a WebSocket has no answer that a session could be saved with. The user is ""
// for a stranger, until is when the session ends.
func (s *sessions) socketLogin(r *http.Request) (user, login string, until time.Time, err error) {
	m := s.manager(r)
	cookie, err := r.Cookie(m.Cookie.Name)
	if err != nil {
		return "", "", until, nil // no cookie: a stranger
	}
	ctx, err := m.Load(r.Context(), cookie.Value)
	if err != nil {
		return "", "", until, err
	}
	if user = m.GetString(ctx, "user"); user == "" {
		return "", "", until, nil
	}
	return user, loginName(cookie.Value), m.Deadline(ctx), nil
}

// loginName names a session without being good for one.
func loginName(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:16])
}

// login names the session of a request that came through wrap.
func (s *sessions) login(r *http.Request) string {
	return loginName(s.manager(r).Token(r.Context()))
}

// logIn starts a session under a new token, so that a token planted before the
// login is worth nothing.
func (s *sessions) logIn(r *http.Request, user string) error {
	m := s.manager(r)
	if err := m.RenewToken(r.Context()); err != nil {
		return err
	}
	m.Put(r.Context(), "user", user)
	return nil
}

func (s *sessions) logOut(ctx context.Context, r *http.Request) error {
	return s.manager(r).Destroy(ctx)
}
