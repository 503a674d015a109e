package cloudinarystore

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// seen is what an answer says and the SDK (v2.16.1) keeps to itself.
type seen struct {
	status     int // of the last answer; 0 without one
	retryAfter time.Duration
	sent       chan struct{} // closed when the request's body is read no more; nil without a request
}

type seenKey struct{}

// watch returns a context for one call, and what its answer will be noted in.
// Only the goroutine of the call writes and reads it.
func watch(ctx context.Context) (context.Context, *seen) {
	s := &seen{}
	return context.WithValue(ctx, seenKey{}, s), s
}

// transport notes answers. It bounds them too: the SDK reads as much as comes.
type transport struct{ base http.RoundTripper }

const maxAnswer = 1 << 20 // bytes; a usual one has 1 kB

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s, watched := r.Context().Value(seenKey{}).(*seen)
	if watched && r.Body != nil {
		s.sent = make(chan struct{})
		r = r.Clone(r.Context())
		r.Body = &drained{ReadCloser: r.Body, done: s.sent}
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 3 && r.Body != nil {
		r.Body.Close() // before the http.Client closes the one it knows, even if it follows nothing
	}
	if watched {
		s.status = resp.StatusCode
		s.retryAfter = retryAfter(resp.Header, time.Now())
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// drained is a body that is read to its end when it is closed. The SDK writes a
// photo into a pipe from a goroutine that, when the answer comes early, prints to
// the program's log and goes on reading the file.
type drained struct {
	io.ReadCloser
	once sync.Once
	done chan struct{}
}

func (d *drained) Close() (err error) {
	d.once.Do(func() {
		io.Copy(io.Discard, d.ReadCloser)
		err = d.ReadCloser.Close()
		close(d.done)
	})
	return err
}

// wait returns when nothing of the request is read any more. The context of the
// call must have ended.
func (s *seen) wait() {
	if s.sent != nil {
		<-s.sent
	}
}

// retryAfter reads the header (RFC 9110, 10.2.3), and the time that Cloudinary's
// own X-FeatureRateLimit-Reset gives when nothing remains.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if v := h.Get("Retry-After"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 32); err == nil {
			return max(0, time.Duration(n)*time.Second)
		}
		if at, err := http.ParseTime(v); err == nil {
			return max(0, at.Sub(now))
		}
	}
	if h.Get("X-FeatureRateLimit-Remaining") == "0" {
		if at, err := http.ParseTime(h.Get("X-FeatureRateLimit-Reset")); err == nil {
			return max(0, at.Sub(now))
		}
	}
	return 0
}
