package reliablews

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"time"
)

// probeEvery is how often a client without a WebSocket tries one.
const probeEvery = time.Minute

// yieldAfter is how long its hello waits for a poll to end. The server waits
// for that hello for 10 s.
const yieldAfter = 5 * time.Second

// httpCarrier is what both ways without WebSockets have in common: requests
// to the hub's URL.
type httpCarrier struct {
	link *link
	turn chan struct{} // one posts at a time, who has put something in
}

func (l *link) newHTTP() httpCarrier { return httpCarrier{l, make(chan struct{}, 1)} }

// post makes a request. The caller closes the answer's body; its status is 200.
func (h httpCarrier) post(ctx context.Context, body []byte, accept string) (*http.Response, error) {
	c := h.link.client
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.http, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("reliablews: connect: %w", err)
	}
	maps.Copy(r.Header, c.opts.Header)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	resp, err := c.fallback.Do(r)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("reliablews: connect: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &statusError{resp.StatusCode, resp.Status}
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != accept {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: the answer is %q, not %s", errFrame, kind, accept)
	}
	return resp, nil
}

// frames makes a request whose answer is a list of frames.
func (h httpCarrier) frames(ctx context.Context, body []byte, timeout time.Duration) (frames [][]byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errSilent)
	defer cancel()
	resp, err := h.post(ctx, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	limit := h.link.client.opts.MaxFrameBytes
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("reliablews: read: %w", err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%w: the answer is larger than %d bytes", errFrame, limit)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	for _, f := range list {
		frames = append(frames, f)
	}
	return frames, nil
}

// write sends frames in a post. They are answered when the handlers have
// returned, so one post after the other keeps the order. A poll may have got
// another session since they were made: they go with their own, for what they
// acknowledge means nothing in another.
func (h httpCarrier) write(session ClientSession, frames [][]byte) ([][]byte, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-h.link.ctx.Done():
		return nil, context.Cause(h.link.ctx)
	}
	f := clientFrame{T: "post", Session: session.ID, Token: session.Token}
	for _, data := range frames {
		f.Frames = append(f.Frames, data)
	}
	body, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	answers, err := h.frames(h.link.ctx, body, 45*time.Second)
	if status, ok := err.(*statusError); ok && status.code == http.StatusGone {
		err = errGone
	}
	return answers, err
}

// streamCarrier reads frames from the answer to a hello.
type streamCarrier struct {
	httpCarrier
	lines  *bufio.Reader // nil before the first read
	body   io.ReadCloser
	silent *time.Timer
}

func (s *streamCarrier) read(timeout time.Duration) ([]byte, error) {
	if s.lines == nil {
		// A read has no deadline: the end of the connection is what ends it.
		s.silent = time.AfterFunc(timeout, func() {
			if s.link.isLive() {
				s.link.fail(errSilent)
			} else {
				s.link.fail(errNoWelcome)
			}
		})
		hello, err := s.link.hello()
		if err != nil {
			return nil, err
		}
		resp, err := s.post(s.link.ctx, hello, "text/event-stream")
		if err != nil {
			s.silent.Stop()
			return nil, err
		}
		s.body, s.lines = resp.Body, bufio.NewReader(resp.Body)
	} else {
		s.silent.Reset(timeout)
	}
	frame, err := s.event()
	s.silent.Stop() // what is done with the frame may take its time
	if err != nil {
		if cause := context.Cause(s.link.ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("reliablews: connection lost: %w", err)
	}
	return frame, nil
}

func (s *streamCarrier) close() {
	if s.silent != nil {
		s.silent.Stop()
	}
	if s.body != nil {
		s.body.Close()
	}
}

// event returns the data of the next event that has any. Other fields and
// comments are ignored.
func (s *streamCarrier) event() (data []byte, err error) {
	for {
		line, err := s.line(s.link.client.opts.MaxFrameBytes - int64(len(data)))
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if data != nil {
				return data, nil
			}
			continue
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		}
	}
}

// line returns the next line without its end.
func (s *streamCarrier) line(limit int64) (line []byte, err error) {
	for {
		part, err := s.lines.ReadSlice('\n')
		line = append(line, part...)
		if int64(len(line)) > limit+8 { // the field's name, and the line's end
			return nil, fmt.Errorf("%w: a line is larger than %d bytes", errFrame, limit)
		}
		switch err {
		case nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case bufio.ErrBufferFull:
		case io.EOF:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// pollCarrier says hello again and again, and gets a list each time.
type pollCarrier struct {
	httpCarrier
	polled bool
	list   [][]byte
}

func (p *pollCarrier) read(timeout time.Duration) ([]byte, error) {
	for len(p.list) == 0 {
		if p.polled {
			// What came is to be acknowledged, not asked for again.
			if err := p.link.drained(); err != nil {
				return nil, err
			}
		}
		list, err := p.poll(timeout)
		if err == errYield {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.list, p.polled = list, true
	}
	frame := p.list[0]
	p.list = p.list[1:]
	return frame, nil
}

func (p *pollCarrier) poll(timeout time.Duration) ([][]byte, error) {
	l := p.link
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
	ctx, halt := context.WithCancelCause(l.ctx)
	defer halt(nil)
	l.halt.Store(&halt)
	hello, err := l.hello()
	if err != nil {
		return nil, err
	}
	return p.frames(ctx, hello, timeout)
}

// yield waits until no poll says hello, and keeps it so until the turn is given
// back: a poll that came to the server behind the hello of a WebSocket would
// take the session over again. One that has waited for a while has been there
// already and is given up.
func (l *link) yield(ctx context.Context) error {
	timer := time.NewTimer(yieldAfter)
	defer timer.Stop()
	for {
		select {
		case l.turn <- struct{}{}:
			return nil
		case <-timer.C:
			if halt := l.halt.Load(); halt != nil {
				(*halt)(errYield)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *pollCarrier) close() {}

// drained waits until the application has taken everything.
func (l *link) drained() error {
	c := l.client
	for {
		c.mu.Lock()
		empty := c.queue.frames == 0 && !c.busy
		c.mu.Unlock()
		if empty {
			return nil
		}
		select {
		case <-c.room:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
}

// probe tries a WebSocket once a minute beside a connection without, with the
// same session. Its welcome makes it replace this one.
func (l *link) probe() {
	// It may be a while since the last one, over other connections.
	timer := time.NewTimer(time.Until(l.client.dialed.Add(probeEvery)))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			return
		}
		if l.tryWebSocket() {
			return
		}
		timer.Reset(probeEvery)
	}
}

func (l *link) tryWebSocket() (replaced bool) {
	next := l.client.newLink(l.parent, WebSocket, l.auth)
	next.replaces = l
	ended := make(chan error, 1)
	go func() { ended <- next.run() }()
	select {
	case <-next.live:
	case err := <-ended:
		ended <- err
	case <-l.ctx.Done():
		// Either it was replaced a moment ago, or it was taken over by the
		// hello, whose welcome is on its way, or it has ended by itself.
		if !l.probed.Load() {
			next.fail(context.Canceled)
		}
		select {
		case <-next.live:
		case err := <-ended:
			ended <- err
		}
	}
	if next.isLive() {
		l.next, l.nextEnded = next, ended
		return true
	}
	l.probed.Store(false)
	if next.holds {
		<-l.turn
	}
	return false
}
