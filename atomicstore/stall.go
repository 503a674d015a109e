package atomicstore

import (
	"bytes"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// stallAfter is how long a flush, or the deciding of some updates, may take
// before it is reported.
const stallAfter = time.Second

// stalls watches the two things that may hang: the disk, and the program's own
// decide and Apply. Each stall is logged once, with the stacks of all
// goroutines.
type stalls struct {
	logger    *slog.Logger
	committer atomic.Uint64 // goroutine that runs decide and Apply
	count     atomic.Uint64
	decide    stall
	flush     stall

	signal atomic.Pointer[chan struct{}] // closed, and replaced, each second of a decide that hangs
}

// stall is one thing that may hang.
type stall struct {
	mu      sync.Mutex // guards the fields below
	since   time.Time  // zero while nothing runs
	told    bool
	armed   bool // timer will look
	timer   *time.Timer
	expired func()
}

// init sets what is called, besides, each second that a decide hangs.
func (s *stalls) init(logger *slog.Logger, poke func()) {
	s.logger = logger
	signal := make(chan struct{})
	s.signal.Store(&signal)
	s.decide.expired = func() {
		next := make(chan struct{})
		close(*s.signal.Swap(&next))
		poke()
	}
	watch := func(st *stall, message string) {
		st.timer = time.AfterFunc(stallAfter, func() {
			if st.check() {
				s.count.Add(1)
				s.logger.Error(message, "stacks", stacks())
			}
		})
		st.timer.Stop()
	}
	watch(&s.decide, "an update has been deciding for over a second; no other can go on")
	watch(&s.flush, "the disk has not finished a write for over a second; reading goes on")
}

// begin and end enclose what may hang. The timer goes on from one to the next:
// a look a second costs less than setting it each time.
func (st *stall) begin(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.since, st.told = now, false
	if !st.armed {
		st.armed = true
		st.timer.Reset(stallAfter)
	}
}

func (st *stall) end() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.since = time.Time{}
}

// check looks whether it still hangs, and tells the first time.
func (st *stall) check() (first bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.since.IsZero() {
		st.armed = false
		return false
	}
	if left := stallAfter - time.Since(st.since); left > 0 {
		st.timer.Reset(left) // another has begun
		return false
	}
	if st.expired != nil {
		st.expired()
	}
	st.timer.Reset(stallAfter)
	first, st.told = !st.told, true
	return first
}

// lasts returns how long it has been running, 0 when nothing runs.
func (st *stall) lasts() time.Duration {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.since.IsZero() {
		return 0
	}
	return time.Since(st.since)
}

// hung returns a channel that is closed when a decide hangs: whoever waits for
// the committer then looks whether it is inside.
func (s *stalls) hung() <-chan struct{} { return *s.signal.Load() }

// inside tells whether the caller runs within decide or Apply. It takes
// microseconds, so it is asked when things stand still.
func (s *stalls) inside() bool {
	id := goroutineID()
	return id != 0 && id == s.committer.Load()
}

// goroutineID reads the number of this goroutine off its stack trace; there is
// no other way to learn it. Numbers are never used again.
func goroutineID() uint64 {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)]) // goroutine 18 [running]:
	if len(fields) < 2 {
		return 0
	}
	id, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return id
}

func stacks() string {
	buf := make([]byte, 256<<10)
	return string(buf[:runtime.Stack(buf, true)])
}
