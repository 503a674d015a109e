package reliablews

import (
	"sync"
	"time"
)

// pace bounds how fast a client's frames are handled: the generic cell rate
// algorithm (ITU-T I.371), which needs one time and nothing that ticks.
type pace struct {
	mu   sync.Mutex
	next time.Time // when all that came would be through at the rate
}

// take counts a frame in and returns how long to wait before it is handled.
func (p *pace) take(now time.Time, rate, burst int) time.Duration {
	if rate < 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	each := time.Second / time.Duration(rate)
	p.next = p.next.Add(each)
	return max(0, p.next.Sub(now)-each*time.Duration(burst))
}
