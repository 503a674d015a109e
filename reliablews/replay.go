package reliablews

import (
	"cmp"
	"slices"
)

// replay is the recent messages of a topic, oldest first, bounded by number
// and bytes. Whoever uses it holds the topic's lock.
//
// Frames stand one behind the other in blocks that are only ever appended to.
// What one subscriber lacks is therefore one piece of memory that is written to
// the network as it is, by thousands of connections at once and without a copy.
type replay struct {
	maxMessages int
	maxBytes    int

	messages []held
	bytes    int
	base     uint64 // every message after this offset is held
	holding  bool   // those after hold stay, however many they are
	hold     uint64
	block    *block // that the next frame goes to
}

// held is a message as it goes over the wire.
type held struct {
	offset     uint64
	block      *block
	start, end int // of its frame in the block
	packed     *packed
}

func (m *held) wire() []byte { return m.block.bytes[m.start:m.end:m.end] }

// block holds frames. Its bytes up to any length that was seen under the lock
// never change.
type block struct{ bytes []byte }

const (
	smallBlock = 1 << 10
	largeBlock = 64 << 10
)

func (r *replay) add(offset uint64, frame []byte, compress bool) {
	if r.block == nil || cap(r.block.bytes)-len(r.block.bytes) < len(frame) {
		size := smallBlock // a topic with little to say needs little
		if r.block != nil {
			size = min(2*cap(r.block.bytes), largeBlock)
		}
		r.block = &block{make([]byte, 0, max(size, len(frame)))}
	}
	b := r.block
	m := held{offset: offset, block: b, start: len(b.bytes)}
	b.bytes = append(b.bytes, frame...)
	m.end = len(b.bytes)
	if compress {
		m.packed = new(packed)
	}
	r.messages = append(r.messages, m)
	r.bytes += len(frame)
	r.trim()
}

// trim drops what is over the bounds. The newest stays even if it alone is: it
// is on its way.
func (r *replay) trim() {
	for len(r.messages) > 1 && (r.tooMany() || r.bytes > r.maxBytes) {
		r.dropOldest()
	}
}

func (r *replay) tooMany() bool {
	return len(r.messages) > r.maxMessages && !(r.holding && r.messages[0].offset > r.hold)
}

// dropOldest lets the oldest message go.
func (r *replay) dropOldest() (freed int) {
	m := &r.messages[0]
	freed = m.end - m.start
	r.bytes -= freed
	r.base = m.offset
	*m = held{} // lets go of the block before append moves the rest
	r.messages = r.messages[1:]
	return freed
}

// drop forgets every message; those after an offset will be held.
func (r *replay) drop(offset uint64) {
	r.messages, r.bytes, r.base, r.block = nil, 0, offset, nil
}

// after returns the messages after an offset. The slice is valid while the
// lock is held.
func (r *replay) after(offset uint64) []held { return after(r.messages, offset) }

func after(messages []held, offset uint64) []held {
	i, found := slices.BinarySearchFunc(messages, offset, func(m held, offset uint64) int {
		return cmp.Compare(m.offset, offset)
	})
	if found {
		i++
	}
	return messages[i:]
}

// run returns the first messages, as many as stand together in memory and fit
// into limit bytes, at least one.
func run(messages []held, limit int) []held {
	n := 1
	for n < len(messages) && messages[n].block == messages[0].block && messages[n].end-messages[0].start <= limit {
		n++
	}
	return messages[:n]
}

// together returns the frames of a run as the one piece of memory that they are.
func together(run []held) []byte {
	end := run[len(run)-1].end
	return run[0].block.bytes[run[0].start:end:end]
}
