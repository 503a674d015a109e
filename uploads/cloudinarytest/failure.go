package cloudinarytest

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// Failure is a way in which the API does not do what it should.
type Failure string

const (
	BadRequest      Failure = "400"
	Unauthorized    Failure = "401"
	TooLarge        Failure = "413, from a proxy"
	EnhanceYourCalm Failure = "420"
	Locked          Failure = "423"
	TooMany         Failure = "429 with Retry-After"
	InternalError   Failure = "500"
	BadGateway      Failure = "502 in HTML"
	Unavailable     Failure = "503, empty"
	Hang            Failure = "hang"                 // no answer
	SlowBody        Failure = "slow body"            // an answer that does not end
	Cut             Failure = "cut connection"       // in the middle of the answer
	ErrorInside     Failure = "200 with error"       // inside
	Empty           Failure = "200, empty"           //
	SaysNothing     Failure = "200 with an empty {}" //
	Redirect        Failure = "302 to elsewhere"     // such as a captive portal's
)

// Failures returns all of them.
func Failures() []Failure {
	return []Failure{BadRequest, Unauthorized, TooLarge, EnhanceYourCalm, Locked, TooMany, InternalError, BadGateway,
		Unavailable, Hang, SlowBody, Cut, ErrorInside, Empty, SaysNothing, Redirect}
}

// RetryAfter is what TooMany asks for.
const RetryAfter = 7 * time.Second

// failing is a failure of the next n requests, of all from now on if n < 0.
type failing struct {
	f func(http.ResponseWriter, *http.Request)
	n int
}

// Fail makes the next n requests of the API fail, all from now on if n is
// negative, after those that were to fail already.
func (s *Server) Fail(f Failure, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, failing{func(w http.ResponseWriter, r *http.Request) { s.fail(f, w, r) }, n})
}

// Recover ends all failures.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = nil
}

func (s *Server) failure() func(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.failures) > 0 && s.failures[0].n == 0 {
		s.failures = s.failures[1:]
	}
	if len(s.failures) == 0 {
		return nil
	}
	s.failures[0].n--
	return s.failures[0].f
}

func (s *Server) fail(f Failure, w http.ResponseWriter, r *http.Request) {
	body := http.NewResponseController(w)
	switch f {
	case BadRequest:
		fail(w, http.StatusBadRequest, "Invalid image file")
	case Unauthorized:
		// It names what was sent, and the key. Both are for nobody's log.
		fail(w, http.StatusUnauthorized, "Invalid Signature 0123456789abcdef0123456789abcdef01234567. String to sign - 'public_id=x'. Key "+s.key)
	case TooLarge:
		http.Error(w, "<html><h1>413 Request Entity Too Large</h1></html>", http.StatusRequestEntityTooLarge)
	case EnhanceYourCalm:
		fail(w, 420, "Rate Limit Exceeded")
	case Locked:
		fail(w, http.StatusLocked, "Resource is being processed")
	case TooMany:
		w.Header().Set("Retry-After", strconv.Itoa(int(RetryAfter/time.Second)))
		fail(w, http.StatusTooManyRequests, "Too many concurrent requests")
	case InternalError:
		fail(w, http.StatusInternalServerError, "General Error")
	case BadGateway:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head></html>")
	case Unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
	case Hang:
		io.Copy(io.Discard, r.Body) // so that the end of the connection is seen
		<-r.Context().Done()
	case SlowBody:
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"public_id":"`)
		for r.Context().Err() == nil {
			io.WriteString(w, "x")
			body.Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	case Cut:
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"public_id":"`)
		body.Flush()
		panic(http.ErrAbortHandler)
	case ErrorInside:
		answer(w, http.StatusOK, map[string]any{"error": map[string]string{"message": "General Error"}})
	case Empty:
	case SaysNothing:
		answer(w, http.StatusOK, struct{}{})
	case Redirect:
		http.Redirect(w, r, "/login", http.StatusFound)
	}
}
