package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// dialect is what a client has to say to a peer's server. Functions that are
// nil are not needed there.
type dialect struct {
	path        string
	subprotocol string
	several     bool   // messages in one frame, a line each
	beat        string // a heartbeat's line, which may be among them

	// hello returns the first frame; a connection that comes back has its place.
	hello func(p *place) string

	// greeted takes each frame until it says ready, and may answer.
	greeted func(p *place, text []byte) (answer string, ready bool, err error)

	// heartbeat answers the frames that keep a connection alive, by "" the others.
	heartbeat func(text []byte) string

	// passed notes the place of a message, for who will come back.
	passed func(p *place, text []byte)

	// ask returns a message with a number to be acknowledged, and acked tells
	// the answer to one. nil: the peer has no such thing.
	ask     func(number int) string
	acked   func(text []byte) bool
	askPath string // where that is, if not at path
}

// place is what a client keeps to come back with.
type place struct {
	session, token string
	epoch, offset  string
	back           bool
}

// asked is the payload of messages from clients: the same bytes for every peer.
var asked = `"` + strings.Repeat("x", messageBytes-2) + `"`

// plain is the dialect of servers that send messages and nothing else.
var plain = dialect{
	path:  "/",
	ask:   func(int) string { return asked },
	acked: func([]byte) bool { return true },
}

var reliablewsDialect = dialect{
	path:        "/",
	subprotocol: "reliablews.v1",
	hello: func(p *place) string {
		if !p.back {
			return `{"t":"hello","topics":{"bench":null}}`
		}
		return fmt.Sprintf(`{"t":"hello","session":%q,"token":%q,"topics":{"bench":{"epoch":%q,"offset":%s}}}`,
			p.session, p.token, p.epoch, p.offset)
	},
	greeted: func(p *place, text []byte) (string, bool, error) {
		var f struct {
			T, Session, Token string
			Topics            map[string]struct {
				Epoch   string
				Offset  json.Number
				Resumed bool
				Reason  string // truncated: what is not held is read back, and follows
			}
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return "", false, err
		}
		topic, given := f.Topics["bench"]
		if f.T != "welcome" || !given || !topic.Resumed && topic.Reason != "truncated" || p.back && f.Session != p.session {
			return "", false, fmt.Errorf("not the welcome: %s", text)
		}
		p.session, p.token, p.epoch = f.Session, f.Token, topic.Epoch
		if !p.back {
			p.offset = topic.Offset.String()
		}
		return "", true, nil
	},
	heartbeat: func(text []byte) string {
		var f struct {
			T  string
			TS int64
		}
		if json.Unmarshal(text, &f) != nil || f.T != "ping" {
			return ""
		}
		return fmt.Sprintf(`{"t":"pong","ts":%d}`, f.TS)
	},
	passed: func(p *place, text []byte) { p.offset = between(text, `"o":`, ",") },
	ask:    func(n int) string { return fmt.Sprintf(`{"t":"send","c":"bench","n":%d,"m":"ask","d":%s}`, n, asked) },
	acked:  func(text []byte) bool { return bytes.HasPrefix(text, []byte(`{"t":"done"`)) },
}

var centrifugeDialect = dialect{
	path:        "/",
	subprotocol: "centrifuge-json",
	several:     true,
	beat:        "{}",
	hello:       func(*place) string { return `{"id":1,"connect":{}}` },
	greeted: func(p *place, text []byte) (string, bool, error) {
		var f struct {
			ID      int
			Connect *struct{}
			Error   *struct{ Message string }

			Subscribe *struct {
				Recovered, Recoverable bool
				Epoch                  string
				Offset                 json.Number
			}
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return "", false, err
		}
		switch {
		case f.Error != nil:
			return "", false, errors.New(f.Error.Message)
		case f.Connect != nil && p.back:
			return fmt.Sprintf(`{"id":2,"subscribe":{"channel":"bench","recover":true,"epoch":%q,"offset":%s}}`, p.epoch, p.offset), false, nil
		case f.Connect != nil:
			return `{"id":2,"subscribe":{"channel":"bench"}}`, false, nil
		case f.Subscribe != nil && f.Subscribe.Recoverable && f.Subscribe.Recovered == p.back:
			p.epoch = f.Subscribe.Epoch
			return "", true, nil
		}
		return "", false, fmt.Errorf("not subscribed with recovery: %.200s", text)
	},
	heartbeat: func(text []byte) string {
		if string(text) == "{}" {
			return "{}"
		}
		return ""
	},
	passed: func(p *place, text []byte) {
		if i := bytes.LastIndex(text, []byte(`"offset":`)); i >= 0 {
			p.offset = strings.TrimRight(between(text[i:], `"offset":`, "}"), "}")
		}
	},
	ask:   func(n int) string { return fmt.Sprintf(`{"id":%d,"rpc":{"method":"ask","data":%s}}`, n+3, asked) },
	acked: func(text []byte) bool { return bytes.Contains(text, []byte(`"rpc":`)) },
}

var socketIODialect = dialect{
	path: "/socket.io/?EIO=4&transport=websocket",
	greeted: func(p *place, text []byte) (string, bool, error) {
		switch {
		case bytes.HasPrefix(text, []byte("0{")) && p.back:
			return fmt.Sprintf(`40{"pid":%q,"offset":%q}`, p.session, p.offset), false, nil
		case bytes.HasPrefix(text, []byte("0{")):
			return "40", false, nil
		case bytes.HasPrefix(text, []byte("42")):
			return "", false, nil // what was missed comes before the reply
		case bytes.HasPrefix(text, []byte("40")):
			var f struct{ PID string }
			if err := json.Unmarshal(text[2:], &f); err != nil {
				return "", false, err
			}
			if p.back && f.PID != p.session {
				return "", false, errors.New("not recovered")
			}
			p.session = f.PID
			return "", true, nil
		}
		return "", false, fmt.Errorf("not connected: %.200s", text)
	},
	heartbeat: func(text []byte) string {
		if string(text) == "2" {
			return "3"
		}
		return ""
	},
	passed: func(p *place, text []byte) {
		// 42["message","…","offset"]
		if i := bytes.LastIndex(text, []byte(`,"`)); i >= 0 {
			p.offset = between(text[i:], `,"`, `"`)
		}
	},
	ask:   func(n int) string { return `42` + strconv.Itoa(n) + `["ask",` + asked + `]` },
	acked: func(text []byte) bool { return bytes.HasPrefix(text, []byte("43")) },
}

// between returns what lies between two strings, the rest where the second is
// missing.
func between(b []byte, before, after string) string {
	_, rest, _ := bytes.Cut(b, []byte(before))
	found, _, _ := bytes.Cut(rest, []byte(after))
	return string(found)
}
