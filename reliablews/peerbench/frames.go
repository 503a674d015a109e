package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455 §5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// smallFrame is the most bytes of a frame that cannot be a message.
const smallFrame = 125

var (
	errFragment = errors.New("a fragmented frame, which this client does not read")
	errMasked   = errors.New("a masked frame from a server")
)

// clientFrame returns a client's text frame with the masking key zero: the
// server unmasks as ever, the client saves the work.
func clientFrame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default: // nothing here is longer than 65,535 bytes
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}

// header reads the header of a server's frame. size is 0 while it is not whole.
func header(b []byte) (opcode byte, size, payload int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, nil
	}
	if b[0]&0x80 == 0 || b[0]&0x0f == 0 {
		return 0, 0, 0, errFragment
	}
	if b[1]&0x80 != 0 {
		return 0, 0, 0, errMasked
	}
	switch n := int(b[1]); {
	case n == 126 && len(b) >= 4:
		return b[0] & 0x0f, 4, int(binary.BigEndian.Uint16(b[2:])), nil
	case n == 127 && len(b) >= 10:
		return b[0] & 0x0f, 10, int(binary.BigEndian.Uint64(b[2:])), nil
	case n < 126:
		return b[0] & 0x0f, 2, n, nil
	}
	return 0, 0, 0, nil
}

// scanner counts the messages in a stream of frames and looks at nothing but
// their headers: a client has to be much cheaper than the servers that it
// measures. A frame over smallFrame bytes is a message, or, of a peer that puts
// several into one frame, as many as it has marks.
type scanner struct {
	several bool   // messages in one frame, a line each
	beat    []byte // a line among them that other wants too

	start  []byte // of a header that is not whole
	left   int    // bytes of the present frame to come
	opcode byte
	large  bool
	small  []byte // the payload so far of a frame that is no message
}

// scan returns how many messages end in b (or, with several, begin there).
// Frames that are none go to other, which must not keep them.
func (s *scanner) scan(b []byte, other func(opcode byte, payload []byte) error) (messages int, err error) {
	for len(b) > 0 {
		if s.left == 0 {
			from, had := b, len(s.start)
			if had > 0 {
				s.start = append(s.start, b[:min(len(b), 10)]...)
				from = s.start
			}
			opcode, size, payload, err := header(from)
			if err != nil {
				return messages, err
			}
			if size == 0 {
				if had == 0 {
					s.start = append(s.start[:0], b...)
				}
				return messages, nil
			}
			b = b[size-had:]
			s.start = s.start[:0]
			s.opcode, s.left, s.large, s.small = opcode, payload, payload > smallFrame, s.small[:0]
			if payload == 0 {
				if err := other(opcode, nil); err != nil {
					return messages, err
				}
				continue
			}
			if len(b) == 0 {
				return messages, nil
			}
		}
		n := min(s.left, len(b))
		part := b[:n]
		s.left -= n
		b = b[n:]
		switch {
		case s.large && s.several:
			messages += bytes.Count(part, []byte{mark})
			if i := bytes.Index(part, s.beat); i >= 0 && (i == 0 || part[i-1] == '\n') {
				if err := other(opText, s.beat); err != nil {
					return messages, err
				}
			}
		case s.large:
			if s.left == 0 {
				messages++
			}
		default:
			s.small = append(s.small, part...)
			if s.left == 0 {
				if err := other(s.opcode, s.small); err != nil {
					return messages, err
				}
			}
		}
	}
	return messages, nil
}

// closeError reads a close frame.
func closeError(payload []byte) error {
	if len(payload) < 2 {
		return errors.New("the server closed the connection")
	}
	return fmt.Errorf("the server closed the connection: %d %s", binary.BigEndian.Uint16(payload), payload[2:])
}
