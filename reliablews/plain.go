package reliablews

import (
	"bytes"
	"encoding/json"
)

// The two frames that clients send most are read without the general decoder
// when they are written as our clients write them. To read a pong so keeps the
// stacks of idle connections small; to read a message so takes a third of the
// time. Anything else is left to decodeClientFrame.

// plainPong reads a pong with nothing but the time.
func plainPong(b []byte) (ts int64, ok bool) {
	digits, found := bytes.CutPrefix(b, []byte(`{"t":"pong","ts":`))
	digits, ended := bytes.CutSuffix(digits, []byte("}"))
	n, rest := plainNumber(digits)
	return int64(n), found && ended && len(digits) > 0 && len(rest) == 0
}

// plainSend reads a message without anything that it acknowledges.
func plainSend(b []byte) (f clientFrame, ok bool) {
	rest, found := bytes.CutPrefix(b, []byte(`{"t":"send","c":"`))
	if !found {
		return f, false
	}
	if f.C, rest, ok = plainName(rest, `","n":`); !ok {
		return f, false
	}
	if f.N, rest = plainNumber(rest); f.N == 0 {
		return f, false
	}
	if rest, found = bytes.CutPrefix(rest, []byte(`,"m":"`)); !found {
		return f, false
	}
	if f.M, rest, ok = plainName(rest, `","d":`); !ok || len(rest) == 0 {
		return f, false
	}
	data := rest[:len(rest)-1]
	if rest[len(rest)-1] != '}' || !json.Valid(data) {
		return f, false
	}
	f.T, f.D = "send", bytes.Clone(data)
	return f, true
}

// plainName reads up to the end of a string and what follows it. It takes none
// with anything special in it.
func plainName(b []byte, then string) (name string, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '"')
	if end <= 0 || end > maxName || !bytes.HasPrefix(b[end:], []byte(then)) {
		return "", nil, false
	}
	for _, c := range b[:end] {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return "", nil, false
		}
	}
	return string(b[:end]), b[end+len(then):], true
}

// plainNumber reads a number that is in range in any case, 0 if there is none.
func plainNumber(b []byte) (n uint64, rest []byte) {
	i := 0
	for ; i < len(b) && i < 15 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = 10*n + uint64(b[i]-'0')
	}
	if i == 0 || b[0] == '0' && i > 1 || i < len(b) && b[i] >= '0' && b[i] <= '9' {
		return 0, b
	}
	return n, b[i:]
}
