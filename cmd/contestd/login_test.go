package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/reliablews"
)

func TestLoginAndLogout(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	v := s.visitor()
	a := v.post("/api/login", map[string]any{"username": "admin", "password": testPassword})
	if a.Status != http.StatusOK {
		t.Fatal(a)
	}
	cookie := a.Header.Get("Set-Cookie")
	for _, part := range []string{"contest-session=", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q has no %s", cookie, part)
		}
	}
	if a := v.get("/api/session").json(t); a["authenticated"] != true || a["user"] != "admin" {
		t.Errorf("the session is %v", a)
	}
	if a := v.post("/api/logout", map[string]any{}); a.Status != http.StatusOK {
		t.Error(a)
	}
	if a := v.get("/api/submissions"); a.Status != http.StatusUnauthorized {
		t.Errorf("after the logout: %s", a)
	}
	if a := v.post("/api/logout", map[string]any{}); a.Status != http.StatusOK {
		t.Errorf("logging out twice: %s", a)
	}
}

func TestBehindFlyTheCookieIsSecure(t *testing.T) {
	cfg := &config{StateDir: t.TempDir(), AdminUser: "admin", AdminPassword: testPassword, FlyAppName: "x"}
	a, err := openApp(t.Context(), cfg, newLogger(cfg, new(safeBuffer)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close(context.Background())
	r, _ := http.NewRequest("GET", "/", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	if m := a.sessions.manager(r); !m.Cookie.Secure || !strings.HasPrefix(m.Cookie.Name, "__Host-") {
		t.Errorf("got the cookie %+v", m.Cookie)
	}
}

// TestGuessingIsSlowedDownAndOthersAreNot runs on a clock of its own.
func TestGuessingIsSlowedDownAndOthersAreNot(t *testing.T) {
	wrong := func() (bool, error) { return false, nil }
	right := func() (bool, error) { return true, nil }
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		start := time.Now()
		for range freeFailures {
			th.try(t.Context(), "hall", wrong)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the first wrong passwords took %s", took)
		}
		for range 5 {
			th.try(t.Context(), "hall", wrong)
		}
		if took := time.Since(start); took != 5*failureEvery {
			t.Errorf("five more took %s, want %s", took, 5*failureEvery)
		}
		began := time.Now()
		if ok, err := th.try(t.Context(), "hall", right); !ok || err != nil || time.Since(began) != 0 {
			t.Errorf("the right password behind the same address: %v, %v after %s", ok, err, time.Since(began))
		}

		// A flood is cut off, the right password among it is not, and all is
		// forgotten later.
		ctx, cancel := context.WithCancel(t.Context())
		for range freeFailures + delayedAtOnce {
			go th.try(ctx, "flood", wrong)
		}
		synctest.Wait()
		var p *problem
		if _, err := th.try(ctx, "flood", wrong); !errors.As(err, &p) || p.Status != http.StatusTooManyRequests {
			t.Errorf("one too many got %v", err)
		}
		if ok, err := th.try(ctx, "flood", right); !ok || err != nil {
			t.Errorf("the right password in a flood got %v, %v", ok, err)
		}
		cancel()
		synctest.Wait()
		<-time.After(time.Hour)
		th.try(t.Context(), "other", wrong)
		<-time.After(time.Hour)
		th.try(t.Context(), "another", wrong)
		if n := len(th.addresses); n > 2 {
			t.Errorf("%d addresses are remembered for ever", n)
		}

		// Nor is memory without bound while the hash is slow.
		slow, stop := context.WithCancel(t.Context())
		for range hashesWaiting {
			go th.try(slow, "slow", func() (bool, error) { <-slow.Done(); return false, slow.Err() })
		}
		synctest.Wait()
		if _, err := th.try(slow, "slow", right); !errors.As(err, &p) {
			t.Errorf("more than may wait for a hash got %v", err)
		}
		stop()
		synctest.Wait()
	})
}

func TestTheFirstPasswordIsMadeUpOnceAndStaysGood(t *testing.T) {
	cfg := &config{StateDir: t.TempDir(), AdminUser: "admin"}
	hash, madeUp, err := adminPassword(cfg)
	if err != nil || len(madeUp) < 12 {
		t.Fatalf("got %q, %v", madeUp, err)
	}
	again, shown, err := adminPassword(cfg)
	if err != nil || again != hash || shown != "" {
		t.Errorf("the second start has the hash %q, shows %q, %v", again, shown, err)
	}
	if info, err := os.Stat(passwordPath(cfg)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the hash is kept as %v, %v", info, err)
	}
	if err := os.WriteFile(passwordPath(cfg), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := adminPassword(cfg); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("a damaged hash gives %v, want what to do", err)
	}
}

func TestSessionsExpireAndAreSweptOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessionStore()
		s.Commit("old", []byte("1"), time.Now().Add(time.Minute))
		if data, ok, err := s.Find("old"); !ok || err != nil || string(data) != "1" {
			t.Errorf("got %q, %v, %v", data, ok, err)
		}
		<-time.After(2 * time.Minute)
		if _, ok, _ := s.Find("old"); ok {
			t.Error("an expired session is found")
		}
		s.Commit("new", []byte("2"), time.Now().Add(time.Minute))
		if len(s.sessions) != 1 {
			t.Errorf("%d sessions are kept, want the new one alone", len(s.sessions))
		}
		s.Delete("new")
		if _, ok, _ := s.Find("new"); ok {
			t.Error("a deleted session is found")
		}
	})
}

// TestALogoutEndsTheOrganisersStream looks at another tab of the same login.
func TestALogoutEndsTheOrganisersStream(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	first, second := s.organiser(), s.organiser() // two logins of one user
	site, _ := url.Parse(s.url("/"))              // a constant that parses
	cookie := func(v *visitor) http.Header {
		return http.Header{"Cookie": {v.Jar.Cookies(site)[0].String()}}
	}
	at := first.position()
	tab := s.follow("staff", at, cookie(first))
	other := s.follow("staff", at, cookie(second))
	for _, p := range []*openPage{tab, other} {
		p.wait(t, "live", func(p *openPage) bool { return p.status == reliablews.Live })
	}
	if a := first.post("/api/logout", map[string]any{}); a.Status != http.StatusOK {
		t.Fatal(a)
	}
	tab.wait(t, "denied", func(p *openPage) bool { return slices.Equal(p.denied, []string{"staff"}) })
	s.visitor().mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	other.wait(t, "the entry", func(p *openPage) bool { return slices.Contains(p.events, "entryAdded one") })
	if heard := tab.heard(); len(heard) != 0 {
		t.Errorf("after the logout came %q", heard)
	}
}
