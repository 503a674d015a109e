package reliablews

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrNotSent means that a message to the server was not sent, and will not
	// be: the context or the client ended before. The cause is wrapped too.
	ErrNotSent = errors.New("reliablews: the message was not sent")

	// ErrOutcomeUnknown means that a message to the server was sent, and the
	// context or the client ended before it was answered: the server may have
	// handled it, or may yet. The cause is wrapped too.
	ErrOutcomeUnknown = errors.New("reliablews: the message was sent and not answered")

	// ErrQueueFull means that ClientOptions.MaxQueued messages wait already;
	// this one was not sent.
	ErrQueueFull = errors.New("reliablews: too many messages wait to be sent")

	// ErrTooLargeToSend means that the server does not take a message of this
	// size; it was not sent.
	ErrTooLargeToSend = errors.New("reliablews: the message is larger than the server takes")

	// ErrRunning means that the client runs already, in Run, Events or Dial.
	ErrRunning = errors.New("reliablews: the client runs already")

	// ErrGaveUp means that there was no connection for
	// ClientOptions.MaxElapsed. Why the last one failed is wrapped too.
	ErrGaveUp = errors.New("reliablews: gave up connecting")
)

// ReplyError is the server's answer to a message that it does not take. Its
// [Handler] returns it and the client's Send does; or it is "unknown" (nothing handles that name), "internal" (the
// handler failed) or "forgotten" (it was handled, and the answer is not kept).
type ReplyError struct {
	Refused string // a word for programs
	Text    string // a sentence for people, may be empty
}

func (e *ReplyError) Error() string {
	if e.Text == "" {
		return "reliablews: the server refused the message: " + e.Refused
	}
	return "reliablews: the server refused the message: " + e.Refused + ": " + e.Text
}

// Why a connection ended.
var (
	errHole      = errors.New("reliablews: a message is missing")
	errNoWelcome = errors.New("reliablews: no welcome")
	errSilent    = errors.New("reliablews: the connection is silent")
	errBehind    = errors.New("reliablews: the application takes messages too slowly")
	errReplaced  = errors.New("reliablews: a WebSocket replaces the connection")
	errYield     = errors.New("reliablews: a WebSocket is tried")
	errGone      = errors.New("reliablews: the server does not know the session any more")
	errGoodbye   = errors.New("reliablews: the server said goodbye")
)

// statusError is an HTTP answer that is no connection.
type statusError struct {
	code   int
	status string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("reliablews: connect: the answer is %s", e.status)
}

// lasting tells whether the same request would only be refused again.
func (e *statusError) lasting() bool {
	switch e.code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusGone:
		return false
	}
	return e.code >= 400 && e.code < 500
}
