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
	freeFailures  = 10              // wrong passwords of one address answered without delay
	failureEvery  = 2 * time.Second // then one answer per address in this time
	maxDelay      = 30 * time.Second
	delayedAtOnce = 64  // wrong passwords of one address that wait for their answer
	hashesAtOnce  = 1   // argon2id takes 19 MiB and 20 ms of a core each
	hashesWaiting = 512 // of all addresses together: ten seconds
)

// throttle slows down guessing. Safe for concurrent use.
type throttle struct {
	waiting chan struct{} // those who wait for a hash, or have one
	hashing chan struct{}

	mu        sync.Mutex // guards addresses and what is in them
	addresses map[string]*guesser
}

// guesser is one address that has sent a wrong password lately.
type guesser struct {
	failures *rate.Limiter
	delayed  int
}

func newThrottle() *throttle {
	return &throttle{
		waiting:   make(chan struct{}, hashesWaiting),
		hashing:   make(chan struct{}, hashesAtOnce),
		addresses: map[string]*guesser{},
	}
}

func tooMany() error {
	return &problem{Status: 429, Detail: "Too many logins are being tried from here. Try again in a minute.", retryAfter: time.Minute}
}

// try runs check, which compares a password, and reports what it found. A
// wrong password returns only after the delay its address has earned, or at
// once, with a problem, when too many of them wait already.
func (t *throttle) try(ctx context.Context, address string, check func() (bool, error)) (ok bool, err error) {
	select {
	case t.waiting <- struct{}{}:
	default:
		return false, tooMany()
	}
	ok, err = t.hash(ctx, check)
	<-t.waiting
	if ok || err != nil {
		return ok, err
	}

	g, wait := t.fail(address)
	if g == nil {
		return false, tooMany()
	}
	defer t.forgive(g)
	delay := time.NewTimer(wait)
	defer delay.Stop()
	select {
	case <-delay.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (t *throttle) hash(ctx context.Context, check func() (bool, error)) (bool, error) {
	select {
	case t.hashing <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-t.hashing }()
	return check()
}

// fail counts a wrong password and returns how long its answer waits, or nil
// when too many of the address wait.
func (t *throttle) fail(address string) (g *guesser, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g = t.addresses[address]
	if g == nil {
		g = &guesser{failures: rate.NewLimiter(rate.Every(failureEvery), freeFailures)}
		t.addresses[address] = g
	}
	if g.delayed == delayedAtOnce {
		return nil, 0
	}
	g.delayed++
	return g, min(g.failures.Reserve().Delay(), maxDelay)
}

// forgive ends a wait. It forgets every address that has nothing against it
// any more, so that memory is bounded by the guesses of the last minutes.
func (t *throttle) forgive(g *guesser) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.delayed--
	for address, g := range t.addresses {
		if g.delayed == 0 && g.failures.Tokens() >= freeFailures {
			delete(t.addresses, address)
		}
	}
}
