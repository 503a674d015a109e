package reliablews

import "slices"

// answers is what a session's client was told about its latest messages, so
// that a repeat is not handled again. A client sends number n only when those up
// to n - window are answered: the latest window numbers are all it can repeat.
//
// A session has one client at a time, but a page that comes back from the
// browser's cache goes on where it was, behind another page that had the session
// meanwhile: so those of a few clients are kept apart.
type answers struct {
	turn chan struct{} // holds a value while a message is handled, which guards the rest

	window  int
	clients []*told // the one that sent last is first
	bytes   int
}

// told is what one client was told.
type told struct {
	client string
	last   uint64 // the highest number that came
	ring   []answer
}

type answer struct {
	n     uint64
	frame []byte // nil when it was too large to be held
}

const (
	// maxClients bounds the clients of a session that are remembered. What one
	// before them repeats is handled again.
	maxClients = 4

	// maxAnswers bounds the answers that a session holds, in bytes. Above it, the
	// older ones are handled once all the same, and only what they said is gone.
	maxAnswers = 256 << 10
)

func newAnswers(window int) *answers {
	return &answers{turn: make(chan struct{}, 1), window: window}
}

// of returns what a client was told, and puts it first.
func (a *answers) of(client string) *told {
	i := slices.IndexFunc(a.clients, func(t *told) bool { return t.client == client })
	switch {
	case i == 0:
		return a.clients[0]
	case i > 0:
		t := a.clients[i]
		a.clients = slices.Insert(slices.Delete(a.clients, i, i+1), 0, t)
		return t
	}
	if len(a.clients) == maxClients {
		oldest := a.clients[maxClients-1]
		a.clients = slices.Delete(a.clients, maxClients-1, maxClients)
		for _, x := range oldest.ring {
			a.bytes -= len(x.frame)
		}
	}
	t := &told{client: client, ring: make([]answer, a.window)}
	a.clients = slices.Insert(a.clients, 0, t)
	return t
}

// repeated returns the answer that a message has had. known is false for one
// that is new; old is true for one that may have been handled, so long ago that
// no client repeats it.
func (t *told) repeated(n uint64) (frame []byte, known, old bool) {
	window := uint64(len(t.ring))
	if n+window <= t.last {
		return nil, false, true
	}
	if x := &t.ring[n%window]; x.n == n {
		if x.frame == nil {
			return wireDone(n, nil, RefusedForgotten, "The message was handled; its answer is not held any more."), true, false
		}
		return x.frame, true, false
	}
	return nil, false, false
}

// keep notes an answer of the client that is first.
func (a *answers) keep(n uint64, frame []byte) {
	t := a.clients[0]
	x := &t.ring[n%uint64(a.window)]
	a.bytes += len(frame) - len(x.frame)
	*x = answer{n, frame}
	t.last = max(t.last, n)
	for _, t := range slices.Backward(a.clients) {
		a.forget(t)
	}
}

// forget lets go of what a client was told, the oldest first, while it is too
// much.
func (a *answers) forget(t *told) {
	window := uint64(a.window)
	for i := t.last - min(t.last, window-1); a.bytes > maxAnswers && i <= t.last; i++ {
		if x := &t.ring[i%window]; x.n == i {
			a.bytes -= len(x.frame)
			x.frame = nil
		}
	}
}
