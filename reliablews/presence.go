package reliablews

import (
	"cmp"
	"container/list"
	"slices"
	"sync"
	"time"
)

// Present is a user who is connected, or was a moment ago.
type Present struct {
	User        string    `json:"user"`
	Connections int       `json:"connections"` // tabs and devices
	Since       time.Time `json:"since"`
}

// presence is which users are here. Safe for concurrent use.
type presence struct {
	grace time.Duration
	tell  func(user string, here bool) // nil when nobody hears

	mu      sync.Mutex // guards the fields below
	users   map[string]*present
	news    list.List                // of presenceChange: not told yet, oldest first
	waiting map[string]*list.Element // the same, by user: no more than one of each
	telling bool
	closed  bool

	running sync.WaitGroup // the goroutine that tells
}

type present struct {
	connections int
	since       time.Time
	leaving     *time.Timer // nil while there are connections
}

type presenceChange struct {
	user string
	here bool
}

func newPresence(grace time.Duration, tell func(string, bool)) *presence {
	return &presence{grace: grace, tell: tell, users: map[string]*present{}, waiting: map[string]*list.Element{}}
}

func (p *presence) join(user string) {
	if user == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.users[user]
	if x == nil {
		x = &present{since: time.Now()}
		p.users[user] = x
		p.note(user, true)
	}
	x.connections++
	if x.leaving != nil {
		x.leaving.Stop()
		x.leaving = nil
	}
}

func (p *presence) leave(user string) {
	if user == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.users[user]
	if x.connections--; x.connections > 0 {
		return
	}
	if p.closed {
		p.gone(user)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(p.grace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.users[user] == x && x.leaving == timer { // nobody came back meanwhile
			p.gone(user)
		}
	})
	x.leaving = timer
}

func (p *presence) gone(user string) {
	delete(p.users, user)
	p.note(user, false)
}

// note tells a change, behind those that came before. One that was not told yet
// and is undone by it goes with it: when OnPresence takes its time there are no
// more to tell than users who are here or were. The caller holds the lock.
func (p *presence) note(user string, here bool) {
	if p.tell == nil {
		return
	}
	if undone := p.waiting[user]; undone != nil {
		p.news.Remove(undone)
		delete(p.waiting, user)
		return
	}
	p.waiting[user] = p.news.PushBack(presenceChange{user, here})
	if !p.telling {
		p.telling = true
		p.running.Go(p.tellAll)
	}
}

func (p *presence) tellAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.news.Len() > 0 {
		next := p.news.Remove(p.news.Front()).(presenceChange)
		delete(p.waiting, next.user)
		p.mu.Unlock()
		p.tell(next.user, next.here)
		p.mu.Lock()
	}
	p.telling = false
}

// close waits for nobody's return any more, and until everything is told.
func (p *presence) close() {
	p.mu.Lock()
	p.closed = true
	for user, x := range p.users {
		if x.leaving != nil { // and its timer finds nobody, should it run already
			x.leaving.Stop()
			p.gone(user)
		}
	}
	p.mu.Unlock()
	p.running.Wait()
}

// Present returns the users who are connected, by name.
func (h *Hub) Present() []Present {
	h.presence.mu.Lock()
	defer h.presence.mu.Unlock()
	list := make([]Present, 0, len(h.presence.users))
	for user, x := range h.presence.users {
		list = append(list, Present{user, x.connections, x.since})
	}
	slices.SortFunc(list, func(a, b Present) int { return cmp.Compare(a.User, b.User) })
	return list
}

// Online tells whether a user is connected, or was a moment ago.
func (h *Hub) Online(user string) bool {
	h.presence.mu.Lock()
	defer h.presence.mu.Unlock()
	return h.presence.users[user] != nil
}
