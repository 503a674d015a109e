package reliablews

import (
	"runtime"
	"sync"
	"time"
)

// Most subscriptions have everything most of the time. They are parked: a
// message wakes those, and leaves alone the ones that are writing, for they
// look again before they stop. Waking thousands takes a while, so Publish does
// not wait for it.

// park puts a subscription on the list of those that have everything, if it is
// not there. The caller holds the lock.
func (t *Topic) park(s *subscription) {
	t.caughtUp(s)
	if s.parked.Load() {
		return
	}
	s.parked.Store(true)
	s.slot = len(t.parked)
	t.parked = append(t.parked, s)
}

// caughtUp notes that a subscription needs no more of what is held for the
// snapshot that it got. The caller holds the lock.
func (t *Topic) caughtUp(s *subscription) {
	if s.snapshot != nil {
		t.letGo(s.snapshot)
		s.snapshot = nil
	}
}

// leave takes a subscription off the list.
func (t *Topic) leave(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.caughtUp(s)
	if !s.parked.Load() || s.slot < 0 {
		return // the waker has it
	}
	end := len(t.parked) - 1
	t.parked[s.slot] = t.parked[end]
	t.parked[s.slot].slot = s.slot
	t.parked[end] = nil
	t.parked = t.parked[:end]
}

// wake makes those that are parked look for what is new. The caller holds the
// lock.
func (t *Topic) wake() {
	t.news = true
	if !t.waking && len(t.parked) > 0 {
		t.waking = true
		t.hub.running.Go(t.wakeAll)
	}
}

func (t *Topic) wakeAll() {
	for {
		t.mu.Lock()
		if len(t.parked) == 0 || !t.news {
			t.waking = false
			t.mu.Unlock()
			return
		}
		if d := t.hub.opts.BatchDelay; d > 0 {
			t.mu.Unlock()
			time.Sleep(d) // others come meanwhile
			t.mu.Lock()
		}
		list := t.parked
		t.news = false
		t.parked, t.spare = t.spare[:0], nil
		for _, s := range list {
			s.slot = -1
		}
		t.mu.Unlock()
		pushAll(list)
		clear(list) // those who leave are not held
		t.mu.Lock()
		t.spare = list
		t.mu.Unlock()
	}
}

// pushAll writes to many connections, on every core.
func pushAll(list []*subscription) {
	// From so many on, another core is worth it: below, two that write at once
	// cost more for each delivery (7 % on two cores, 2026-11-25) than the few
	// milliseconds that they save the last.
	const enough = 1024
	var others sync.WaitGroup
	share := max(enough, (len(list)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for len(list) > share {
		part := list[:share]
		list = list[share:]
		others.Go(func() { pushEach(part) })
	}
	pushEach(list)
	others.Wait()
}

func pushEach(list []*subscription) {
	for _, s := range list {
		s.parked.Store(false)
		s.conn.push()
	}
}
