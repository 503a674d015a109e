package reliablews

// answers is what a session's client was told about its latest messages, so
// that a repeat is not handled again. A client sends number n only when those up
// to n - window are answered: the latest window numbers are all it can repeat.
type answers struct {
	turn chan struct{} // holds a value while a message is handled, which guards the rest

	client string // whose numbers they are
	last   uint64 // the highest number that came
	ring   []answer
	bytes  int
}

type answer struct {
	n     uint64
	frame []byte // nil when it was too large to be held
}

// maxAnswers bounds the answers that a session holds, in bytes. Above it, the
// older ones are handled once all the same, and only what they said is gone.
const maxAnswers = 256 << 10

func newAnswers(window int) *answers {
	return &answers{turn: make(chan struct{}, 1), ring: make([]answer, window)}
}

// repeated returns the answer that a message has had. known is false for one
// that is new; old is true for one that may have been handled, so long ago that
// no client repeats it.
func (a *answers) repeated(client string, n uint64) (frame []byte, known, old bool) {
	if client != a.client {
		a.client, a.last, a.bytes = client, 0, 0
		clear(a.ring)
	}
	window := uint64(len(a.ring))
	if n+window <= a.last {
		return nil, false, true
	}
	if x := &a.ring[n%window]; x.n == n {
		if x.frame == nil {
			return wireDone(n, nil, RefusedForgotten, "The message was handled; its answer is not held any more."), true, false
		}
		return x.frame, true, false
	}
	return nil, false, false
}

func (a *answers) keep(n uint64, frame []byte) {
	window := uint64(len(a.ring))
	x := &a.ring[n%window]
	a.bytes += len(frame) - len(x.frame)
	*x = answer{n, frame}
	a.last = max(a.last, n)
	for i := a.last - min(a.last, window-1); a.bytes > maxAnswers && i <= a.last; i++ {
		if x := &a.ring[i%window]; x.n == i {
			a.bytes -= len(x.frame)
			x.frame = nil
		}
	}
}
