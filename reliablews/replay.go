package reliablews

import "slices"

// replay is the recent messages of a topic, oldest first, bounded by number
// and bytes. Whoever uses it holds the topic's lock.
type replay struct {
	maxMessages int
	maxBytes    int

	messages []held
	bytes    int
	base     uint64 // every message after this offset is held
}

// held is a message as it goes over the wire.
type held struct {
	offset uint64
	wire   []byte // never changed: all connections write the same bytes
}

func (r *replay) add(offset uint64, wire []byte) {
	r.messages = append(r.messages, held{offset, wire})
	r.bytes += len(wire)
	drop := 0
	// The newest stays even if it alone is over the bound: it is on its way.
	for len(r.messages)-drop > 1 && (len(r.messages)-drop > r.maxMessages || r.bytes > r.maxBytes) {
		r.bytes -= len(r.messages[drop].wire)
		r.base = r.messages[drop].offset
		drop++
	}
	clear(r.messages[:drop]) // lets go of the bytes before append moves the rest
	r.messages = r.messages[drop:]
}

// drop forgets every message; those after an offset will be held.
func (r *replay) drop(offset uint64) {
	r.messages, r.bytes, r.base = nil, 0, offset
}

// after returns the messages after an offset. The slice is valid while the
// lock is held.
func (r *replay) after(offset uint64) []held {
	i, found := slices.BinarySearchFunc(r.messages, offset, func(m held, offset uint64) int {
		switch {
		case m.offset < offset:
			return -1
		case m.offset > offset:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return r.messages[i:]
}
