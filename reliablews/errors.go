package reliablews

import (
	"errors"
	"fmt"
)

var (
	// ErrTopicExists means that the hub has a topic of this name.
	ErrTopicExists = errors.New("reliablews: the topic exists")

	// ErrTopicName means that the name is empty, longer than 64 bytes, or has
	// other characters than letters, digits, dot, hyphen and underscore.
	ErrTopicName = errors.New("reliablews: a topic's name has 1 to 64 letters, digits, dots, hyphens or underscores")

	// ErrOffset means that a topic has passed the offset already, or that it is
	// over 2^53-1, which browsers cannot read exactly.
	ErrOffset = errors.New("reliablews: offsets of a topic go up only, to 2^53-1")

	// ErrMessageTooLarge means that a message exceeds HubOptions.MaxMessageBytes.
	ErrMessageTooLarge = errors.New("reliablews: the message is too large")

	// ErrNoSession means that no session has the id, or that it was forgotten.
	ErrNoSession = errors.New("reliablews: there is no such session")

	// ErrLater is what Authorize returns when the credential is to come with the
	// hello.
	ErrLater = errors.New("reliablews: the credential comes with the hello")

	// ErrSnapshot means that a topic's Snapshot fails while subscribers wait.
	ErrSnapshot = errors.New("reliablews: snapshots fail")

	// ErrShutdown means that the hub was shut down.
	ErrShutdown = errors.New("reliablews: the hub was shut down")
)

// RefusedError ends a client for good: the server does not want it back.
type RefusedError struct {
	Code   int    // a close code, or an HTTP status when the handshake was refused
	Reason string // as the server gave it
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("reliablews: the server refused the connection: %d %s", e.Code, e.Reason)
}
