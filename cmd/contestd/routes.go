package main

import (
	"net/http"
	"slices"
	"strings"

	"github.com/contestkit/contestkit/reliablews"
)

// access says who may call a route, and how.
type access int

const (
	open   access = iota // everyone; no session is looked at
	shared               // everyone, from any origin: public JSON
	write                // everyone; changes something, so it waits at the gate
	known                // everyone, with the session if there is one
	login                // everyone; changes the session
	staff                // the organiser
	change               // the organiser; changes something
)

// route is one line of the server's face.
type route struct {
	method, path string
	access       access
	handle       func(http.ResponseWriter, *http.Request) error
}

const realtimePath = "/ws"

// routes is the whole list. A path that is not here does not exist.
func (a *app) routes() []route {
	return []route{
		{"GET", "/{$}", open, a.feedPage},
		{"GET", "/winners.html", open, a.winnersPage},
		{"GET", "/admin", known, a.adminPage},
		{"GET", "/admin.html", open, redirect("/admin")},
		{"GET", "/winners", open, redirect("/winners.html")},
		{"GET", "/static/", open, serve(a.pages.Static())},
		{"GET", "/reliablews.js", open, serve(reliablews.ScriptHandler())},
		{"GET", "/uploads/{photo}", open, serve(http.StripPrefix("/uploads", a.photos.Handler(a.photoOptions())))},
		{"GET", realtimePath, open, serve(a.hub)},
		{"POST", realtimePath, open, serve(a.hub)}, // where WebSockets are blocked

		{"GET", "/categories.json", shared, a.categories},
		{"GET", "/api/feed", shared, a.publicFeed},
		{"GET", "/api/winners", shared, a.publicWinners},
		{"POST", "/api/submit", write, a.submit},

		{"POST", "/api/login", login, a.logIn},
		{"POST", "/api/logout", login, a.logOut},
		{"GET", "/api/session", known, a.session},
		{"GET", "/api/submissions", staff, a.submissions},
		{"POST", "/api/categories", change, a.setCategories},
		{"POST", "/api/save-winners", change, a.saveWinners},
		{"POST", "/api/hide", change, a.hide},
		{"POST", "/api/unhide", change, a.unhide},

		{"GET", "/health", shared, a.health},
		{"GET", "/ready", shared, a.ready},
		{"GET", "/api/realtime-health", shared, a.realtimeHealth},
		{"GET", "/api/realtime-metrics", shared, a.realtimeMetrics},
		{"GET", "/api/realtime-fallback", shared, a.realtimeFallback},
		{"GET", "/api/metrics", shared, a.metrics},
	}
}

// handler is everything a request goes through.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, rt := range a.routes() {
		mux.Handle(rt.method+" "+rt.path, a.guard(rt))
		methods[rt.path] = append(methods[rt.path], rt.method)
	}
	for path, allowed := range methods {
		mux.Handle(path, a.answer(methodNotAllowed(allowed)))
	}
	mux.Handle("/", a.answer(notFound))

	var h http.Handler = mux
	h = http.NewCrossOriginProtection().Handler(h)
	h = withDeadline(h, bodyTimeout)
	h = a.withHeaders(h)
	h = a.withRecovery(h)
	h = a.withCounts(h)
	return withRequestID(h)
}

// answer turns a handler that may fail into one that answers its failure.
func (a *app) answer(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			a.writeProblem(w, r, err)
		}
	})
}

// guard puts what its access asks for in front of a route.
func (a *app) guard(rt route) http.Handler {
	handle := rt.handle
	if rt.access == write || rt.access == change {
		handle = a.whileOpen(handle)
	}
	if rt.access == staff || rt.access == change {
		handle = a.staffOnly(handle)
	}
	h := a.answer(handle)
	switch rt.access {
	case shared:
		return sharedWithAll(h)
	case known, login, staff, change:
		return noStore(a.sessions.wrap(h))
	}
	return h
}

// whileOpen keeps writes out once the server shuts down.
func (a *app) whileOpen(next func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !a.writes.enter() {
			return busy(retryAfterRestart, "The server is restarting. Try again in a few seconds.", nil)
		}
		defer a.writes.leave()
		return next(w, r)
	}
}

func (a *app) staffOnly(next func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if a.sessions.user(r) == "" {
			return refuse(http.StatusUnauthorized, "This is for the organiser. Log in at /admin.")
		}
		return next(w, r)
	}
}

// authorize says which topics a socket may read.
func (a *app) authorize(r *http.Request) (reliablews.Identity, error) {
	user, login, until, err := a.sessions.socketLogin(r)
	if err != nil {
		return reliablews.Identity{}, err
	}
	id := reliablews.Identity{User: user, Topics: []string{publicTopic}, Login: login, Until: until}
	if user != "" {
		id.Topics = append(id.Topics, staffTopic)
	}
	return id, nil
}

// sharedWithAll lets scripts of other sites read a public answer.
func sharedWithAll(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// noStore keeps what depends on the session out of every cache.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func serve(h http.Handler) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

func redirect(to string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, to, http.StatusMovedPermanently)
		return nil
	}
}

func notFound(w http.ResponseWriter, r *http.Request) error {
	return refuse(http.StatusNotFound, "There is nothing at this address.")
}

func methodNotAllowed(allowed []string) func(http.ResponseWriter, *http.Request) error {
	if slices.Contains(allowed, "GET") {
		allowed = append(slices.Clone(allowed), "HEAD")
	}
	list := strings.Join(allowed, ", ")
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", list)
		return refuse(http.StatusMethodNotAllowed, "This address answers "+list+" only.")
	}
}
