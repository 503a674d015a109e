package main

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The limits of logging in. A whole hall sits behind one address, so a wrong
// password makes the answer slow rather than the address locked: whoever knows
// the password gets in at once, however many others guess.
const (
	freeFailures   = 10              // wrong passwords of one address answered without delay
	failureEvery   = 2 * time.Second // then one answer per address in this time
	maxDelay       = 30 * time.Second
	attemptsAtOnce = 64 // of one address, waiting answers included
	hashesAtOnce   = 1  // argon2id takes 19 MiB and 20 ms of a core each
)

// throttle slows down guessing. Safe for concurrent use.
type throttle struct {
	hashing chan struct{}

	mu        sync.Mutex // guards addresses and what is in them
	addresses map[string]*guesser
}

// guesser is one address that has tried to log in lately.
type guesser struct {
	failures *rate.Limiter
	inFlight int
}

func newThrottle() *throttle {
	return &throttle{hashing: make(chan struct{}, hashesAtOnce), addresses: map[string]*guesser{}}
}

// try runs check, which compares a password, and reports what it found. A
// wrong password returns only after the delay its address has earned. ok is
// false and err a problem when too many attempts of the address are waiting.
func (t *throttle) try(ctx context.Context, address string, check func() (bool, error)) (ok bool, err error) {
	g := t.enter(address)
	if g == nil {
		return false, &problem{Status: 429, Detail: "Too many logins are being tried from here. Try again in a minute.", retryAfter: time.Minute}
	}
	defer t.leave(address, g)

	select {
	case t.hashing <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	ok, err = check()
	<-t.hashing
	if ok || err != nil {
		return ok, err
	}

	delay := time.NewTimer(min(g.failures.Reserve().Delay(), maxDelay))
	defer delay.Stop()
	select {
	case <-delay.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (t *throttle) enter(address string) *guesser {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.addresses[address]
	if g == nil {
		g = &guesser{failures: rate.NewLimiter(rate.Every(failureEvery), freeFailures)}
		t.addresses[address] = g
	}
	if g.inFlight == attemptsAtOnce {
		return nil
	}
	g.inFlight++
	return g
}

// leave forgets every address that has nothing against it any more, so that
// memory is bounded by the guesses of the last half minute.
func (t *throttle) leave(address string, g *guesser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.inFlight--
	for address, g := range t.addresses {
		if g.inFlight == 0 && g.failures.Tokens() >= freeFailures {
			delete(t.addresses, address)
		}
	}
}
