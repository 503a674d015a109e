package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

type contextKey int

const requestIDKey contextKey = iota

// requestID returns the id under which a request is found in the log.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// withRequestID names each request. The id is made here: one chosen by the
// sender could be used to confuse the log.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.ToLower(rand.Text()[:16])
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey, id)))
	})
}

// contentPolicy allows what the pages use and nothing else: no inline script,
// no foreign host except the image cloud, no way into innerHTML.
func (a *app) contentPolicy() string {
	images := "https://res.cloudinary.com"
	if a.cloud != nil {
		images = strings.Join(a.cloud.store.Origins(), " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; " +
		"img-src 'self' " + images + " blob:; connect-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
}

func (a *app) withHeaders(next http.Handler) http.Handler {
	policy := a.contentPolicy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if a.sessions.https(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// withRecovery answers a panic with a problem and keeps the server up.
func (a *app) withRecovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v) // the standard way to cut an answer short
			}
			a.log.ErrorContext(r.Context(), "panic", "route", r.Pattern, "requestId", requestID(r.Context()), "panic", v, "stack", string(debug.Stack()))
			if rec, ok := w.(*recorder); !ok || rec.status == 0 {
				a.writeProblem(w, r, refuse(http.StatusInternalServerError, "Something went wrong on our side. Try again."))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// withCounts measures each request for the metrics.
func (a *app) withCounts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		start := time.Now()
		defer func() {
			if !rec.hijacked && r.URL.Path != realtimePath { // how long a page listens is no latency
				a.requests.add(rec.status, time.Since(start))
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

const bodyTimeout = 30 * time.Second

// withDeadline ends the reading of bodies that trickle in. Handlers that
// expect photos set a longer one.
//
// A request without a body gets none: net/http reads on behind it, to notice
// that the client has gone, and a deadline that passed there would cancel this
// request and every later one of its connection (go1.26, backgroundRead). With
// a body it lifts the deadline itself before it does so.
func withDeadline(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
		}
		next.ServeHTTP(w, r)
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status   int // 0 until the answer has begun
	hijacked bool
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack is here by name because gorilla/websocket v1.5.3 asks for the method
// and does not unwrap.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.hijacked = true
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// clientAddress returns the address that limits count by. Fly's header is
// believed only behind Fly's proxy, which overwrites it.
func (a *app) clientAddress(r *http.Request) string {
	if a.cfg.onFly() {
		if ip := r.Header.Get("Fly-Client-IP"); ip != "" {
			return ip
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
