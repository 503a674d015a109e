package reliablews

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// PROTOCOL.md describes the frames. Each is one JSON object in one text
// message; "t" is its type.

// clientFrame is any frame from a client.
type clientFrame struct {
	T       string               `json:"t"`
	Session string               `json:"session,omitempty"` // hello
	Token   string               `json:"token,omitempty"`   // hello
	Topics  map[string]*Position `json:"topics,omitempty"`  // hello; null asks for a snapshot
	TS      int64                `json:"ts,omitempty"`      // ping, pong
	Pos     map[string]uint64    `json:"pos,omitempty"`     // ack, ping
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
	Backoff   *backoffState         `json:"backoff,omitempty"`

	// msg, snap, gap
	S string          `json:"s,omitempty"` // topic
	E string          `json:"e,omitempty"` // epoch
	O uint64          `json:"o,omitempty"` // offset
	P uint64          `json:"p,omitempty"` // msg: offset of the message before it; gap: where the client was
	D json.RawMessage `json:"d,omitempty"`

	TS     int64             `json:"ts,omitempty"`     // ping, pong
	Pos    map[string]uint64 `json:"pos,omitempty"`    // ping
	Delay  int64             `json:"delay,omitempty"`  // bye, milliseconds
	Reason string            `json:"reason,omitempty"` // gap, bye
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
)

type backoffState struct {
	Start  int64   `json:"start"` // milliseconds
	Factor float64 `json:"factor"`
	Max    int64   `json:"max"` // milliseconds
}

const (
	maxTopics     = 64  // topics in one hello
	maxTopicName  = 64  // bytes
	maxCredential = 128 // bytes in a session or token
)

var errFrame = errors.New("not a frame of this protocol")

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
		for name := range f.Topics {
			if len(name) > maxTopicName {
				return f, fmt.Errorf("%w: a topic's name of more than %d bytes", errFrame, maxTopicName)
			}
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

// The first byte of a frame (RFC 6455 §5.2).
const (
	finalText = 0x81
	finalPong = 0x8a
)

// wirePong answers a control frame; those have at most 125 bytes (§5.5).
func wirePong(data string) []byte {
	return append([]byte{finalPong, byte(len(data))}, data...)
}

// wire returns a server's text message as it goes over the wire (RFC 6455
// §5.2): final, unmasked, uncompressed. It is made once and the same bytes go
// to every connection, many of them in one write.
func wire(payload []byte) []byte {
	b := make([]byte, 0, len(payload)+10)
	b = append(b, finalText)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(b, payload...)
}

// wireFrame encodes a frame whose values cannot fail to encode.
func wireFrame(f serverFrame) []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings, numbers, and JSON that was checked
	}
	return wire(b)
}

// wireMessage is wireFrame for the frame that there are many of.
func wireMessage(topic string, offset, previous uint64, data json.RawMessage) []byte {
	b := make([]byte, 0, len(data)+len(topic)+80)
	b = append(b, `{"t":"msg","s":"`...)
	b = append(b, topic...) // letters, digits, dots, hyphens, underscores
	b = append(b, `","o":`...)
	b = strconv.AppendUint(b, offset, 10)
	b = append(b, `,"p":`...)
	b = strconv.AppendUint(b, previous, 10)
	b = append(b, `,"d":`...)
	b = append(b, data...)
	b = append(b, '}')
	return wire(b)
}
