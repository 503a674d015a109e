package reliablews

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// poster speaks without WebSockets.
type poster struct {
	t    testing.TB
	http *http.Client
}

func (n *network) poster(t testing.TB) *poster {
	transport := &http.Transport{DialContext: n.dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &poster{t, &http.Client{Transport: transport}}
}

func (p *poster) post(ctx context.Context, body string, header ...string) *http.Response {
	p.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://memory/", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp
}

// list posts and returns the frames of the answer.
func (p *poster) list(body string) (frames []serverFrame) {
	p.t.Helper()
	resp := p.post(p.t.Context(), body)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(b, &frames)
	}
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		p.t.Fatalf("%s: %s, %v, %s", resp.Status, b, err, resp.Header)
	}
	return frames
}

// eventStream reads the frames of a stream.
type eventStream struct {
	t    testing.TB
	body io.ReadCloser
	in   *bufio.Reader
}

func (p *poster) stream(body string) *eventStream {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	p.t.Cleanup(cancel)
	resp := p.post(ctx, body)
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		p.t.Fatalf("%s, %s", resp.Status, resp.Header)
	}
	return &eventStream{p.t, resp.Body, bufio.NewReader(resp.Body)}
}

// next returns the next frame, of type "" at the end.
func (s *eventStream) next() (f serverFrame) {
	s.t.Helper()
	line, err := s.in.ReadBytes('\n')
	if err != nil {
		return f
	}
	data, found := bytes.CutPrefix(line, []byte("data: "))
	empty, _ := s.in.ReadBytes('\n')
	if !found || string(empty) != "\n" || json.Unmarshal(data, &f) != nil {
		s.t.Fatalf("%q is no event", line)
	}
	return f
}

func (s *eventStream) want(kind string) serverFrame {
	s.t.Helper()
	f := s.next()
	if f.T != kind {
		s.t.Fatalf("got %+v, want a %s", f, kind)
	}
	return f
}

func TestAStreamCarriesTheSameFrames(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		h.Handle("say", func(_ context.Context, r *Request) (any, error) { return r.ID, nil })
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		mustPublish(t, topic, 1, 2, 3)
		p := n.poster(t)
		s := p.stream(`{"t":"hello","via":"stream","topics":{"feed":{"epoch":"e1","offset":1},"@":null}}`)
		w := s.want("welcome")
		if !w.Topics["feed"].Resumed || w.Token == "" {
			t.Errorf("got %+v", w)
		}
		for _, want := range []uint64{2, 3} {
			if f := s.want("msg"); f.O != want {
				t.Errorf("got %+v, want %d", f, want)
			}
		}
		mustPublish(t, topic, 7)
		if f := s.want("msg"); f.O != 7 || f.P != 3 {
			t.Errorf("got %+v", f)
		}
		mustSend(t, h, w.Session, "for you alone")
		s.want("msg")

		credentials := fmt.Sprintf(`"session":%q,"token":%q`, w.Session, w.Token)
		post := `{"t":"post",` + credentials + `,"frames":[{"t":"send","c":"k","n":1,"m":"say"},{"t":"ping","ts":5},{"t":"ack","pos":{"@":1}}]}`
		for range 2 { // the answer may be lost: a repeat gets it again
			answers := p.list(post)
			if len(answers) != 2 || answers[0].T != "done" || string(answers[0].D) != `"k.1"` || answers[1].T != "pong" || answers[1].TS != 5 {
				t.Errorf("got %+v", answers)
			}
		}
		if s := h.Stats(); s.Received != 1 || s.Repeated != 1 || s.Connections != 1 {
			t.Errorf("got %+v", s)
		}

		// A WebSocket with the same session takes over.
		c := n.connect(t)
		again := c.ask(clientFrame{Session: w.Session, Token: w.Token, Topics: map[string]*Position{"feed": {"e1", 7}}})
		if again.Session != w.Session {
			t.Error("the session changed")
		}
		if f := s.want("close"); f.Code != CloseTakenOver {
			t.Errorf("got %+v", f)
		}
		if f := s.next(); f.T != "" {
			t.Errorf("behind the close came %+v", f)
		}
	})
}

func TestAStreamThatSaysNothingIsGivenUp(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		p := n.poster(t)
		began := time.Now()
		s := p.stream(`{"t":"hello","via":"stream"}`)
		w := s.want("welcome")
		ts := s.want("ping").TS
		advance(5 * time.Second)
		p.list(fmt.Sprintf(`{"t":"post","session":%q,"token":%q,"frames":[{"t":"pong","ts":%d}]}`, w.Session, w.Token, ts))
		if got := h.Stats().RoundTrip; got != 5*time.Second {
			t.Errorf("the round trip is %s", got)
		}
		for f := s.next(); f.T != "close"; f = s.next() {
			if f.T != "ping" {
				t.Fatalf("got %+v", f)
			}
		}
		if got := time.Since(began); got != 35*time.Second+45*time.Second {
			t.Errorf("it was given up after %s", got)
		}
		synctest.Wait()
		if s := h.Stats(); s.Connections != 0 || s.HeartbeatFailures != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestAPollIsAnsweredWhenThereIsSomething(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		mustPublish(t, topic, 1)
		p := n.poster(t)
		at := func(offset uint64, w serverFrame) string {
			return fmt.Sprintf(`{"t":"hello","via":"poll","session":%q,"token":%q,"topics":{"feed":{"epoch":"e1","offset":%d}}}`, w.Session, w.Token, offset)
		}
		began := time.Now()
		frames := p.list(`{"t":"hello","via":"poll","topics":{"feed":null}}`)
		if len(frames) != 1 || frames[0].T != "welcome" || time.Since(began) != 0 {
			t.Fatalf("a newcomer got %+v after %s", frames, time.Since(began))
		}
		w := frames[0]
		if frames = p.list(at(0, w)); len(frames) != 2 || frames[1].O != 1 {
			t.Fatalf("got %+v", frames)
		}
		go func() {
			advance(10 * time.Second)
			mustPublish(t, topic, 2)
		}()
		if frames = p.list(at(1, w)); len(frames) != 2 || frames[1].O != 2 || frames[0].Session != w.Session {
			t.Errorf("got %+v", frames)
		}
		if got := time.Since(began); got != 10*time.Second {
			t.Errorf("the second poll was answered after %s", got)
		}
		if err := topic.Advance(9); err != nil {
			t.Fatal(err)
		}
		if frames = p.list(at(2, w)); len(frames) != 2 || frames[1].T != "ping" || frames[1].Pos["feed"] != 9 {
			t.Errorf("got %+v", frames)
		}
		if got := time.Since(began); got != 35*time.Second {
			t.Errorf("the third poll was answered after %s", got)
		}
		// Asking again while one waits ends that one.
		first := make(chan []serverFrame)
		go func() { first <- p.list(at(9, w)) }()
		synctest.Wait()
		go func() { advance(time.Second); mustPublish(t, topic, 10) }()
		if frames = p.list(at(9, w)); len(frames) != 2 || frames[1].O != 10 {
			t.Errorf("got %+v", frames)
		}
		if frames = <-first; len(frames) != 2 || frames[1].T != "close" || frames[1].Code != CloseTakenOver {
			t.Errorf("got %+v", frames)
		}
		synctest.Wait()
		if s := h.Stats(); s.Connections != 0 || s.Sessions != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestPostsThatAreRefused(t *testing.T) {
	o := &HubOptions{
		MaxConnections: 1,
		Origins:        []string{"https://hall.example"},
		Authorize: func(r *http.Request) (Identity, error) {
			if r.Header.Get("User") == "nobody" {
				return Identity{}, http.ErrNoCookie
			}
			return Identity{User: r.Header.Get("User")}, nil
		},
	}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		p := n.poster(t)
		s := p.stream(`{"t":"hello","via":"stream"}`)
		w := s.want("welcome")
		post := func(frames string) string {
			return fmt.Sprintf(`{"t":"post","session":%q,"token":%q,"frames":[%s]}`, w.Session, w.Token, frames)
		}
		for _, test := range []struct {
			name   string
			body   string
			want   int
			header []string
		}{
			{"a listed origin", post(""), 200, []string{"Origin", "https://hall.example"}},
			{"another origin", post(""), 403, []string{"Origin", "https://else.example"}},
			{"a form", post(""), 415, []string{"Content-Type", "text/plain"}},
			{"nobody", post(""), 401, []string{"User", "nobody"}},
			{"another user", post(""), 410, []string{"User", "ann"}},
			{"a wrong token", fmt.Sprintf(`{"t":"post","session":%q,"token":"x"}`, w.Session), 410, nil},
			{"no JSON", "x", 400, nil},
			{"a hello of a WebSocket", `{"t":"hello"}`, 400, nil},
			{"a hello in a post", post(`{"t":"hello"}`), 400, nil},
			{"a post in a post", post(post("")), 400, nil},
			{"no frame in a post", post(`7`), 400, nil},
			{"large", post(strings.Repeat(" ", 65<<10)), 413, nil},
			{"a large frame", post(`{"t":"` + strings.Repeat("x", 64<<10) + `"}`), 400, nil},
			{"one too many", `{"t":"hello","via":"poll"}`, 503, nil},
		} {
			resp := p.post(t.Context(), test.body, test.header...)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("%s: %d, want %d", test.name, resp.StatusCode, test.want)
			}
			if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("%s: X-Content-Type-Options is %q", test.name, got)
			}
		}
		s.body.Close()
		synctest.Wait()
		if got := h.Stats().Connections; got != 0 {
			t.Errorf("%d connections are left", got)
		}
		advance(time.Second) // net/http lingers after a request that was too large
	})
}

func TestShutdownEndsStreamsAndPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := new(network), NewHub(nil)
		stop := n.serve(h)
		defer stop()
		p := n.poster(t)
		s := p.stream(`{"t":"hello","via":"stream"}`)
		s.want("welcome")
		polled := make(chan []serverFrame)
		w := p.list(`{"t":"hello","via":"poll"}`)[0]
		go func() {
			polled <- p.list(fmt.Sprintf(`{"t":"hello","via":"poll","session":%q,"token":%q}`, w.Session, w.Token))
		}()
		synctest.Wait()
		ended := make(chan error)
		go func() { ended <- h.Shutdown(t.Context()) }()
		if f := s.want("bye"); f.Delay < 1000 {
			t.Errorf("got %+v", f)
		}
		if f := s.want("close"); f.Code != 1012 {
			t.Errorf("got %+v", f)
		}
		if frames := <-polled; len(frames) != 3 || frames[1].T != "bye" || frames[2].T != "close" {
			t.Errorf("got %+v", frames)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.http.CloseIdleConnections()
	})
}

// What a post asks for is over when Shutdown returns, and nothing begins after.
func TestShutdownWaitsForWhatPostsAskFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := new(network), NewHub(nil)
		stop := n.serve(h)
		defer stop()
		var handled []string
		h.Handle("do", func(_ context.Context, r *Request) (any, error) {
			advance(3 * time.Second)
			handled = append(handled, r.ID)
			return nil, nil
		})
		p := n.poster(t)
		w := p.list(`{"t":"hello","via":"poll"}`)[0]
		post := fmt.Sprintf(`{"t":"post","session":%q,"token":%q,"frames":[{"t":"send","c":"k","n":1,"m":"do"}]}`, w.Session, w.Token)
		go p.list(post)
		synctest.Wait()
		began := time.Now()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 3*time.Second || len(handled) != 1 {
			t.Errorf("Shutdown returned after %s with %q handled", took, handled)
		}
		resp := p.post(t.Context(), strings.Replace(post, `"n":1`, `"n":2`, 1))
		resp.Body.Close()
		if advance(time.Minute); resp.StatusCode != http.StatusServiceUnavailable || len(handled) != 1 {
			t.Errorf("afterwards: %s, %q handled", resp.Status, handled)
		}
		p.http.CloseIdleConnections()
	})
}

// A poll's answer is bounded; the next one has the rest.
func TestAPollsAnswerIsBounded(t *testing.T) {
	inBubble(t, &HubOptions{MaxPollBytes: 100 << 10}, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		const messages = 100
		for o := range uint64(messages) {
			if err := topic.Publish(o+1, strings.Repeat("x", 10<<10)); err != nil {
				t.Fatal(err)
			}
		}
		p := n.poster(t)
		began := time.Now()
		w := serverFrame{}
		polls, at := 0, uint64(0)
		for ; at < messages; polls++ {
			frames := p.list(fmt.Sprintf(`{"t":"hello","via":"poll","session":%q,"token":%q,"topics":{"feed":{"epoch":"e1","offset":%d}}}`, w.Session, w.Token, at))
			w = frames[0]
			if len(frames) > 1+10+writeLimit/(10<<10)+1 {
				t.Errorf("%d frames in a poll", len(frames))
			}
			for _, f := range frames[1:] {
				if f.T != "msg" || f.O != at+1 {
					t.Fatalf("after %d came %+v", at, f)
				}
				at = f.O
			}
		}
		if polls < 6 || polls > 12 || time.Since(began) != 0 {
			t.Errorf("%d polls in %s", polls, time.Since(began))
		}
		synctest.Wait()
		if s := h.Stats(); s.Connections != 0 || s.Sessions != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// A flood of posts is bounded as connections are, from before they are read.
func TestPostsAreBounded(t *testing.T) {
	o := &HubOptions{MaxConnections: 3, MaxPerAddress: 2, Address: func(r *http.Request) string { return r.Header.Get("From") }}
	inBubble(t, o, func(t *testing.T, n *network, h *Hub) {
		p := n.poster(t)
		w := p.list(`{"t":"hello","via":"poll"}`)[0]
		post := fmt.Sprintf(`{"t":"post","session":%q,"token":%q,"frames":[{"t":"ping","ts":1}]}`, w.Session, w.Token)
		status := func(from string) int {
			resp := p.post(t.Context(), post, "From", from)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if got := resp.Header.Get("Retry-After"); (got == "30") != (resp.StatusCode != http.StatusOK) {
				t.Errorf("%s with Retry-After %q", resp.Status, got)
			}
			return resp.StatusCode
		}
		var lines []net.Conn
		begin := func(from string) { // a post that does not come to its end
			line, err := n.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(line, "POST / HTTP/1.1\r\nHost: memory\r\nFrom: %s\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n", from)
			lines = append(lines, line)
			synctest.Wait()
		}
		begin("hall")
		if got := status("hall"); got != http.StatusOK {
			t.Errorf("the second of the hall: %d", got)
		}
		begin("hall")
		if got := status("hall"); got != http.StatusTooManyRequests {
			t.Errorf("the third of the hall: %d", got)
		}
		begin("home")
		if got := status("home"); got != http.StatusServiceUnavailable {
			t.Errorf("the fourth: %d", got)
		}
		n.connect(t).hello(nil) // connections have places of their own
		for _, line := range lines {
			line.Close()
		}
		synctest.Wait()
		if got := status("hall"); got != http.StatusOK {
			t.Errorf("when they have gone: %d", got)
		}
		if s := h.Stats(); s.TurnedAway != 2 {
			t.Errorf("%d were turned away", s.TurnedAway)
		}
	})
}

// A poll has its place until it is answered: one who does not read what comes
// cannot have any number of them.
func TestAPollHasItsPlaceUntilItIsAnswered(t *testing.T) {
	inBubble(t, &HubOptions{MaxConnections: 1}, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		if err := topic.Publish(1, strings.Repeat("x", 100<<10)); err != nil {
			t.Fatal(err)
		}
		line, err := n.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		const body = `{"t":"hello","via":"poll","topics":{"feed":{"epoch":"e1","offset":0}}}`
		fmt.Fprintf(line, "POST / HTTP/1.1\r\nHost: memory\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		synctest.Wait()
		p := n.poster(t)
		resp := p.post(t.Context(), `{"t":"hello","via":"poll"}`)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || h.Stats().Connections != 0 {
			t.Errorf("got %s, with %d connections", resp.Status, h.Stats().Connections)
		}
		line.Close()
		synctest.Wait()
		p.list(`{"t":"hello","via":"poll"}`)
	})
}

// A client that asks and never reads holds up neither Shutdown nor, for longer
// than the heartbeat's timeout, a goroutine.
func TestAnswersThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := new(network), NewHub(nil)
		stop := n.serve(h)
		h.Handle("do", func(context.Context, *Request) (any, error) { return strings.Repeat("x", 100<<10), nil })
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		if err := topic.Publish(1, strings.Repeat("x", 100<<10)); err != nil {
			t.Fatal(err)
		}
		p := n.poster(t)
		w := p.list(`{"t":"hello","via":"poll"}`)[0]
		credentials := fmt.Sprintf(`"session":%q,"token":%q`, w.Session, w.Token)
		var lines []net.Conn
		for _, body := range []string{
			`{"t":"hello","via":"poll",` + credentials + `,"topics":{"feed":{"epoch":"e1","offset":0}}}`,
			`{"t":"post",` + credentials + `,"frames":[{"t":"send","c":"k","n":1,"m":"do"}]}`,
		} {
			line, err := n.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(line, "POST / HTTP/1.1\r\nHost: memory\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			lines = append(lines, line)
		}
		synctest.Wait()
		began := time.Now()
		if err := h.Shutdown(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("Shutdown took %s: %v", time.Since(began), err)
		}
		advance(46 * time.Second)
		for _, line := range lines {
			line.SetReadDeadline(time.Now().Add(time.Second))
			if b, err := io.ReadAll(line); err != nil || len(b) > 0 {
				t.Errorf("after 45 s there are %d bytes, %v", len(b), err)
			}
		}
		p.http.CloseIdleConnections()
		stop()
	})
}
