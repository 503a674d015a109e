package reliablews

import (
	"bytes"
	"compress/flate"
	"sync"
)

// packed is a message compressed, made when the first connection needs it and
// then the same for all: there is no context takeover (RFC 7692 §7.1.1).
type packed struct {
	once sync.Once
	wire []byte
}

func (p *packed) frame(wire []byte) []byte {
	p.once.Do(func() { p.wire = compressFrame(wire) })
	return p.wire
}

// packing is a piece that is to be packed before it is written: not where the
// piece is found, for a lock is held there that publishers and the other
// subscribers of the topic want. What is left is that whoever wakes subscribers
// packs a message, once, before it writes to the next.
type packing struct {
	piece int
	as    *packed
}

const finalPackedText = finalText | 0x40 // RSV1 (RFC 7692 §6)

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// compressFrame returns a text message compressed, or as it is where that is no
// gain.
func compressFrame(wire []byte) []byte {
	payload := payload(wire)
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	w.Write(payload) // a buffer takes everything
	w.Flush()
	short := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}) // RFC 7692 §7.2.1
	if len(short) >= len(payload) {
		return wire
	}
	return appendFrame(nil, finalPackedText, short)
}
