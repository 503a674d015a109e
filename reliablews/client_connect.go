package reliablews

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// stableAfter is how long a connection must live before the waits between
// attempts begin again at the shortest.
const stableAfter = 10 * time.Second

// connect makes one connection after the other until ctx ends, the server
// refuses the client for good, or it has tried for too long.
func (c *Client) connect(ctx context.Context) error {
	client, idle := c.opts.httpClient()
	defer idle()
	c.fallback = client
	schedule := backoffState{Start: 1000, Factor: 2, Max: 30_000}
	waits := newWaits(schedule)
	alone := time.Now() // without a connection, since then
	for {
		l, err := c.attempt(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refused *RefusedError
		if errors.As(err, &refused) {
			return err
		}
		var delay time.Duration
		if l != nil {
			delay = l.delay
			if l.isLive() {
				alone = time.Now()
			}
			if l.backoff != nil && *l.backoff != schedule {
				schedule = *l.backoff
				waits = newWaits(schedule)
			} else if l.isLive() && time.Since(l.began) >= stableAfter {
				waits.Reset()
			}
		}
		wait := fullJitter(waits)
		if delay > 0 {
			wait = delay // the server has spread its clients itself
		}
		if limit := c.opts.MaxElapsed; limit > 0 && time.Since(alone)+wait > limit {
			return fmt.Errorf("%w: %w", ErrGaveUp, err)
		}
		c.opts.Logger.Info("connection ended", "error", err, "retry", wait)
		select {
		case <-c.retry: // of an earlier time
		default:
		}
		c.become(State{Status: Waiting, Retry: wait, Err: err})
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.retry:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// newWaits makes the waits between attempts grow as the server wants it.
func newWaits(b backoffState) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(milliseconds(b.Start)),
		backoff.WithMultiplier(b.Factor),
		backoff.WithMaxInterval(milliseconds(b.Max)),
		backoff.WithRandomizationFactor(0), // fullJitter does it, within the cap
		backoff.WithMaxElapsedTime(0),      // MaxElapsed counts otherwise
	)
}

// fullJitter spreads a wait over its whole length, so that clients that were
// cut off together do not come back together.
func fullJitter(b *backoff.ExponentialBackOff) time.Duration {
	return rand.N(b.NextBackOff()) + time.Millisecond
}

// attempt serves one connection until it has ended: a WebSocket, or what there
// is without. It returns that connection, nil if there was none to try.
func (c *Client) attempt(ctx context.Context) (*link, error) {
	via := c.via
	c.become(State{Status: Connecting, Transport: via})
	auth, err := c.credential(ctx)
	if err != nil {
		return nil, err
	}
	var failed error // the WebSocket
	for {
		l := c.newLink(ctx, via, auth)
		err := l.run()
		for l.next != nil { // it was replaced
			l, err = l.next, <-l.nextEnded
		}
		if l.isLive() {
			c.via = l.via
		}
		switch {
		case ctx.Err() != nil:
			return l, err
		case l.unauthorized:
			return l, c.unauthorized(auth, err)
		case l.isLive() || l.spoke:
			return l, err
		}
		next, err := c.otherwise(via, auth, failed, err)
		if next == "" {
			return l, err
		}
		if via == WebSocket {
			failed = err
		}
		via = next
		c.become(State{Status: Connecting, Transport: via, Err: err})
	}
}

// otherwise says what to try after a connection that had no welcome; "" is
// nothing for now, or for ever if the error is a RefusedError. failed is why
// the WebSocket of this attempt had none, if there was one.
//
// Where WebSockets are blocked, the proxy answers the handshake, with any
// status: so a WebSocket is refused for good only when the stream is too.
func (c *Client) otherwise(via Transport, auth string, failed, err error) (Transport, error) {
	var refused *RefusedError
	var status, handshake *statusError
	answered := errors.As(err, &status)
	switch {
	case errors.As(err, &refused):
		return "", err
	case via == WebSocket && c.opts.WebSocketOnly:
		if answered && status.lasting() {
			err = &RefusedError{Code: status.code, Reason: status.status}
		}
		return "", err
	case via == WebSocket && answered && status.code == http.StatusTooManyRequests:
		return "", err
	case via == WebSocket:
		return Stream, err
	case via == Stream && errors.Is(err, errNoWelcome):
		return Poll, err
	}
	c.via = WebSocket
	switch {
	case !answered:
	case status.code == http.StatusUnauthorized && auth != "":
		return "", c.unauthorized(auth, err)
	case status.code == http.StatusUnauthorized || status.code == http.StatusForbidden:
		return "", &RefusedError{Code: status.code, Reason: status.status}
	case status.lasting() && errors.As(failed, &handshake) && handshake.lasting():
		return "", &RefusedError{Code: handshake.code, Reason: handshake.status}
	}
	if failed != nil {
		err = fmt.Errorf("%w; without WebSockets: %w", failed, err)
	}
	return "", err
}

// credential gets what goes with the hellos of an attempt.
func (c *Client) credential(ctx context.Context) (string, error) {
	if c.opts.GetToken == nil {
		return "", nil
	}
	auth, err := c.opts.GetToken(ctx)
	if err != nil {
		return "", fmt.Errorf("reliablews: get a token: %w", err)
	}
	if auth != "" && auth == c.refusedAuth {
		return "", &RefusedError{Code: CloseUnauthorized, Reason: "the token was refused, and there is no other"}
	}
	if len(auth) > maxAuth {
		return "", &RefusedError{Code: CloseUnauthorized, Reason: fmt.Sprintf("the token has more than %d bytes", maxAuth)}
	}
	return auth, nil
}

// unauthorized is called when a credential was missing or not good: it ends
// the client unless there may be a fresh one.
func (c *Client) unauthorized(auth string, err error) error {
	if auth == "" {
		return &RefusedError{Code: CloseUnauthorized, Reason: "a token is missing: " + err.Error()}
	}
	c.refusedAuth = auth
	return err
}
