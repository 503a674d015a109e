package reliablews

import "slices"

const (
	queueMessages = 256     // frames that wait for the application, at most,
	queueBytes    = 1 << 20 // and their bytes, but for a single larger one
	queueStates   = 64      // changes of state; of more the oldest are forgotten
)

// queued is a frame on its way to the application, or a change of state.
type queued struct {
	link  *link // nil for a change of state
	frame serverFrame
	state State
}

// behindFrame ends its connection once everything before it was taken.
const behindFrame = "behind"

// clientQueue is what was read and not handed over. Guarded by Client.mu.
type clientQueue struct {
	items  []queued
	frames int // items that are no change of state
	bytes  int // of their data
}

func (q *clientQueue) full() bool { return q.frames >= queueMessages || q.bytes >= queueBytes }

func (q *clientQueue) frame(l *link, f serverFrame) {
	q.items = append(q.items, queued{link: l, frame: f})
	q.frames++
	q.bytes += len(f.D)
}

func (q *clientQueue) state(s State) {
	if len(q.items)-q.frames >= queueStates {
		oldest := slices.IndexFunc(q.items, func(x queued) bool { return x.link == nil })
		q.items = slices.Delete(q.items, oldest, oldest+1)
	}
	q.items = append(q.items, queued{state: s})
}

func (q *clientQueue) pop() (x queued, ok bool) {
	if len(q.items) == 0 {
		return queued{}, false
	}
	x, q.items[0] = q.items[0], queued{} // for the garbage collector
	q.items = q.items[1:]
	if x.link != nil {
		q.frames--
		q.bytes -= len(x.frame.D)
	}
	return x, true
}

// drop forgets the frames of a connection, or of all.
func (q *clientQueue) drop(l *link) {
	q.frames, q.bytes = 0, 0
	q.items = slices.DeleteFunc(q.items, func(x queued) bool {
		gone := x.link != nil && (l == nil || x.link == l)
		if x.link != nil && !gone {
			q.frames++
			q.bytes += len(x.frame.D)
		}
		return gone
	})
}
