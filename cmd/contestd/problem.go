package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
)

// problem is an error answer (RFC 9457). Error repeats Detail for programs
// written against the old server.
type problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Text      string       `json:"error"`
	Errors    []fieldError `json:"errors,omitempty"`
	RequestID string       `json:"requestId"`

	retryAfter time.Duration // sent as Retry-After when not zero
	cause      error         // for the log, never for the client
}

// fieldError says what is wrong with one field of a form, as a sentence that
// fits beside it.
type fieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Detail }
func (p *problem) Unwrap() error { return p.cause }

// refuse makes a problem with a sentence for whoever sent the request.
func refuse(status int, detail string) *problem {
	return &problem{Status: status, Detail: detail}
}

func refuseField(status int, field, detail string) *problem {
	return &problem{Status: status, Detail: detail, Errors: []fieldError{{field, detail}}}
}

// busy is a refusal that lifts by itself.
func busy(retryAfter time.Duration, detail string, cause error) *problem {
	return &problem{Status: http.StatusServiceUnavailable, Detail: detail, retryAfter: retryAfter, cause: cause}
}

// photoError is what the errors of package uploads offer.
type photoError interface {
	error
	HTTPStatus() int
	Sentence() string
}

// problemFor is the one place where errors become HTTP.
func problemFor(err error) *problem {
	var (
		ready   *problem
		fields  *contest.FieldErrors
		photo   photoError
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &fields):
		p := &problem{Status: http.StatusBadRequest, Detail: "Some fields need another look.", cause: err}
		for _, f := range fields.Fields {
			p.Errors = append(p.Errors, fieldError{f.Field, f.Detail})
		}
		if len(p.Errors) == 1 {
			p.Detail = p.Errors[0].Detail
		}
		return p
	case errors.As(err, &photo):
		p := refuseField(photo.HTTPStatus(), "photo", photo.Sentence())
		p.cause = err
		return p
	case errors.As(err, &tooLong):
		return refuse(http.StatusRequestEntityTooLarge, "The request is too large. A photo may have 10 MB.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{Status: http.StatusRequestTimeout, Detail: "The photo took too long to arrive. Try again where the network is better, or send a smaller photo.", cause: err}
	case errors.Is(err, contest.ErrUnknownCategory):
		return refuseField(http.StatusBadRequest, "category", "There is no such category any more. Choose another one.")
	case errors.Is(err, contest.ErrRequestReused):
		return refuse(http.StatusUnprocessableEntity, "This Idempotency-Key was already used for another entry. Send a new key.")
	case errors.Is(err, contest.ErrUnknownEntry):
		return refuse(http.StatusNotFound, "There is no such entry. Reload the page.")
	case errors.Is(err, contest.ErrHiddenEntry):
		return refuse(http.StatusConflict, "A hidden entry cannot win. Show it again first.")
	case errors.Is(err, contest.ErrTooManyWinners):
		return refuse(http.StatusBadRequest, "That is one winner too many in a category. Take one back first.")
	case errors.Is(err, atomicstore.ErrOverloaded):
		return busy(time.Second, "Too many entries at this moment. Try again in a second.", err)
	case errors.Is(err, atomicstore.ErrClosed), errors.Is(err, uploads.ErrClosed):
		return busy(5*time.Second, "The server is restarting. Try again in a few seconds.", err)
	case errors.Is(err, atomicstore.ErrDiskFull):
		p := busy(time.Minute, "The contest has no room for more entries at the moment. Tell the organiser, and try again later.", err)
		p.Status = http.StatusInsufficientStorage
		return p
	case errors.Is(err, atomicstore.ErrReplaced):
		return busy(30*time.Second, "The organiser is putting back an earlier state of the contest. Keep the page open and try again.", err)
	case errors.Is(err, atomicstore.ErrFailed):
		return busy(30*time.Second, "The contest cannot be saved right now. Keep the page open and try again.", err)
	}
	return &problem{Status: http.StatusInternalServerError, Detail: "Something went wrong on our side. Try again; if it stays, show the organiser the request id.", cause: err}
}

// writeProblem answers with err as problem+json.
func (a *app) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := *problemFor(err)
	p.Type, p.Title, p.Text, p.RequestID = "about:blank", http.StatusText(p.Status), p.Detail, requestID(r.Context())
	switch {
	case r.Context().Err() != nil:
		// Nobody is there to read the answer.
	case p.Status >= 500:
		a.log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "requestId", p.RequestID, "status", p.Status, "error", err)
	}
	h := w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retryAfter.Round(time.Second)/time.Second)))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // an error here means that the client is gone
}
