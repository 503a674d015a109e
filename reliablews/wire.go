package reliablews

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// finalText is the first byte of a text message in one frame (RFC 6455 §5.2).
const finalText = 0x81

// wireFrame encodes a frame whose values cannot fail to encode.
func wireFrame(f serverFrame) []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings, numbers, and JSON that was checked
	}
	return appendFrame(nil, finalText, b)
}

// appendFrame appends a server's frame as it goes over the wire (RFC 6455
// §5.2): final and unmasked. It is made once and the same bytes go to every
// connection.
func appendFrame(b []byte, first byte, payload []byte) []byte {
	if b == nil {
		b = make([]byte, 0, len(payload)+10)
	}
	b = append(b, first)
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

// wireGap says that the messages after one offset and up to another are lost.
func wireGap(topic, epoch string, upTo, known uint64, reason string) []byte {
	return wireFrame(serverFrame{T: "gap", S: topic, E: epoch, O: upTo, P: known, Reason: reason})
}

// wireMessage is wireFrame for the frame that there are many of.
func wireMessage(topic string, offset, previous uint64, data json.RawMessage) []byte {
	b := make([]byte, 0, len(data)+len(topic)+80)
	b = append(b, `{"t":"msg","s":"`...)
	b = append(b, topic...) // letters, digits, dots, hyphens, underscores, or the inbox
	b = append(b, `","o":`...)
	b = strconv.AppendUint(b, offset, 10)
	b = append(b, `,"p":`...)
	b = strconv.AppendUint(b, previous, 10)
	b = append(b, `,"d":`...)
	b = append(b, data...)
	b = append(b, '}')
	return appendFrame(nil, finalText, b)
}

// payload returns what is in a frame.
func payload(wire []byte) []byte {
	p, _ := cutFrame(wire)
	return p
}

// cutFrame splits the first of several frames off.
func cutFrame(wire []byte) (payload, rest []byte) {
	size, head := uint64(wire[1]), 2
	switch size {
	case 126:
		size, head = uint64(binary.BigEndian.Uint16(wire[2:])), 4
	case 127:
		size, head = binary.BigEndian.Uint64(wire[2:]), 10
	}
	end := head + int(size)
	return wire[head:end], wire[end:]
}
