package reliablews

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// PROTOCOL.md describes the frames. Each is one JSON object in one text
// message; "t" is its type.

// clientFrame is any frame from a client.
type clientFrame struct {
	T       string               `json:"t"`
	Session string               `json:"session,omitempty"` // hello, post
	Token   string               `json:"token,omitempty"`   // hello, post
	Auth    string               `json:"auth,omitempty"`    // hello
	Via     string               `json:"via,omitempty"`     // hello: viaStream or viaPoll
	Topics  map[string]*Position `json:"topics,omitempty"`  // hello; null asks for a snapshot
	TS      int64                `json:"ts,omitempty"`      // ping, pong
	Pos     map[string]uint64    `json:"pos,omitempty"`     // ack, send, ping, pong: what is acknowledged

	C string          `json:"c,omitempty"` // send: the client
	N uint64          `json:"n,omitempty"` // send: number of the message; hello: of the hello
	M string          `json:"m,omitempty"` // send: name of its handler
	D json.RawMessage `json:"d,omitempty"` // send: data

	Frames []json.RawMessage `json:"frames,omitempty"` // post
}

// serverFrame is any frame from a server.
type serverFrame struct {
	T string `json:"t"`

	// welcome
	Session   string                `json:"session,omitempty"`
	Token     string                `json:"token,omitempty"`
	Topics    map[string]topicState `json:"topics,omitempty"`
	Denied    []string              `json:"denied,omitempty"`
	Heartbeat int64                 `json:"heartbeat,omitempty"` // milliseconds
	Timeout   int64                 `json:"timeout,omitempty"`   // milliseconds
	Limit     int64                 `json:"limit,omitempty"`     // bytes of a client's frame
	Window    int                   `json:"window,omitempty"`    // messages to the server without an answer
	Backoff   *backoffState         `json:"backoff,omitempty"`

	// msg, snap, gap
	S string          `json:"s,omitempty"` // topic
	E string          `json:"e,omitempty"` // epoch
	O uint64          `json:"o,omitempty"` // offset
	P uint64          `json:"p,omitempty"` // msg: offset of the message before it; gap: where the client was
	D json.RawMessage `json:"d,omitempty"` // done too

	TS     int64             `json:"ts,omitempty"`     // ping, pong
	Pos    map[string]uint64 `json:"pos,omitempty"`    // ping
	Delay  int64             `json:"delay,omitempty"`  // bye, milliseconds
	Reason string            `json:"reason,omitempty"` // gap, bye, close

	N       uint64 `json:"n,omitempty"`       // done: number of the message
	Refused string `json:"refused,omitempty"` // done: why it was refused, a word for programs
	Error   string `json:"error,omitempty"`   // done: the same, a sentence for people
	Code    int    `json:"code,omitempty"`    // close
}

// topicState is what a welcome says of a topic.
type topicState struct {
	Epoch   string `json:"epoch"`
	Offset  uint64 `json:"offset"`
	Resumed bool   `json:"resumed"`
	Reason  string `json:"reason,omitempty"` // why not resumed
	Oldest  uint64 `json:"oldest,omitempty"` // the offset that history reaches back to
}

// Why a topic was not resumed, and why there is a gap.
const (
	reasonNew       = "new"       // the client has no position
	reasonEpoch     = "epoch"     // its position belongs to another epoch
	reasonTruncated = "truncated" // history does not reach back to it
	reasonAhead     = "ahead"     // it is ahead of the server, which waits a little for that
	reasonSlow      = "slow"      // it fell out of the history while connected
	reasonExpired   = "expired"   // a message of the inbox was too old
	reasonFull      = "full"      // there were too many in the inbox
)

type backoffState struct {
	Start  int64   `json:"start"` // milliseconds
	Factor float64 `json:"factor"`
	Max    int64   `json:"max"` // milliseconds
}

// How frames go without WebSockets.
const (
	viaStream = "stream"
	viaPoll   = "poll"
)

// inboxTopic is the topic of a session's own messages.
const inboxTopic = "@"

const (
	maxTopics     = 64      // topics in one hello
	maxName       = 64      // bytes of a topic's name, a handler's, or a client
	maxCredential = 128     // bytes in a session or token
	maxAuth       = 4 << 10 // bytes in the credential of a hello
)

var errFrame = errors.New("not a frame of this protocol")

// readClientFrame is decodeClientFrame for a hub with many clients.
func readClientFrame(b []byte) (clientFrame, error) {
	if f, ok := plainSend(b); ok && utf8.Valid(f.D) {
		return f, nil
	}
	return decodeClientFrame(b)
}

// decodeClientFrame reads and checks a frame from a client. Frames of a type
// that is not known are returned as they are: the caller ignores them, so that
// later versions can add some.
func decodeClientFrame(b []byte) (f clientFrame, err error) {
	if !utf8.Valid(b) {
		return f, fmt.Errorf("%w: not UTF-8", errFrame)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("%w: %w", errFrame, err)
	}
	switch f.T {
	case "":
		return f, fmt.Errorf("%w: no type", errFrame)
	case "hello":
		if len(f.Topics) > maxTopics {
			return f, fmt.Errorf("%w: more than %d topics", errFrame, maxTopics)
		}
		if len(f.Session) > maxCredential || len(f.Token) > maxCredential {
			return f, fmt.Errorf("%w: a session or token of more than %d bytes", errFrame, maxCredential)
		}
		if len(f.Auth) > maxAuth {
			return f, fmt.Errorf("%w: a credential of more than %d bytes", errFrame, maxAuth)
		}
		for name := range f.Topics {
			if name != inboxTopic && !validTopic(name) { // it would come back as denied
				return f, fmt.Errorf("%w: a name that no topic has", errFrame)
			}
		}
	case "send":
		if f.N == 0 || f.N > maxOffset {
			return f, fmt.Errorf("%w: a message without a number", errFrame)
		}
		if f.C == "" || len(f.C) > maxName || f.M == "" || len(f.M) > maxName {
			return f, fmt.Errorf("%w: a message without client or name, or over %d bytes of them", errFrame, maxName)
		}
	}
	return f, nil
}

// decodeServerFrame reads a frame from a server.
func decodeServerFrame(b []byte) (f serverFrame, err error) {
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("%w: %w", errFrame, err)
	}
	if f.T == "" {
		return f, fmt.Errorf("%w: no type", errFrame)
	}
	return f, nil
}
