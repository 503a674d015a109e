package reliablews

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// plainServer speaks PROTOCOL.md as simply as can be, for tests of the client:
// one topic, "feed", whose messages are their offsets; handlers; and all three
// ways to carry frames, of which each can be blocked as proxies do.
type plainServer struct {
	handle func(name string, data json.RawMessage) (answer any, refused *ReplyError) // default: the data
	accept func(auth string) bool                                                    // default: all
	window int                                                                       // default: 4
	limit  int64

	turn chan struct{} // who has put something in handles a message

	mu         sync.Mutex // guards the fields below
	blocked    map[Transport]bool
	published  uint64
	more       chan struct{} // closed when something is published
	inbox      uint64        // messages of the inbox, of any session
	sessions   map[string]context.CancelCauseFunc
	answers    map[string]serverFrame // by client and number
	handled    []string
	heard      []clientFrame // everything but hellos, posts and their sends
	hellos     []clientFrame
	goneOnPost bool // forgets the session at the next post
	posts      int  // that are answered now,
	mostPosts  int  // and at most
	posted     []clientFrame
}

func newPlainServer() *plainServer {
	return &plainServer{
		turn: make(chan struct{}, 1), more: make(chan struct{}),
		blocked: map[Transport]bool{}, sessions: map[string]context.CancelCauseFunc{}, answers: map[string]serverFrame{},
	}
}

func (s *plainServer) block(via Transport, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocked[via] = blocked
}

func (s *plainServer) publish(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published += uint64(n)
	close(s.more)
	s.more = make(chan struct{})
}

// direct writes n messages to the inbox.
func (s *plainServer) direct(n int) {
	s.mu.Lock()
	s.inbox += uint64(n)
	s.mu.Unlock()
	s.publish(0)
}

// take returns what was heard since the last time.
func (s *plainServer) take() []clientFrame {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard := s.heard
	s.heard = nil
	return heard
}

func (s *plainServer) greetings() []clientFrame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]clientFrame(nil), s.hellos...)
}

func (s *plainServer) work() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.handled...)
}

func (s *plainServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	blocked := map[Transport]bool{}
	for via, b := range s.blocked {
		blocked[via] = b
	}
	s.mu.Unlock()
	if websocket.IsWebSocketUpgrade(r) {
		if blocked[WebSocket] {
			http.Error(w, "no upgrades here", http.StatusBadRequest)
			return
		}
		acted(s.webSocket).ServeHTTP(w, r)
		return
	}
	var f clientFrame
	if json.NewDecoder(r.Body).Decode(&f) != nil {
		http.Error(w, "no frame", http.StatusBadRequest)
		return
	}
	switch {
	case blocked["http"]:
		http.Error(w, "no posts here", http.StatusMethodNotAllowed)
	case f.T == "post":
		s.post(w, f)
	case f.Via == viaStream && blocked[Stream]:
		<-r.Context().Done() // a proxy that holds answers back
	case f.Via == viaStream:
		s.stream(w, r, f)
	default:
		s.poll(w, r, f)
	}
}

// open takes a session over, or makes one. welcome is not sent yet.
func (s *plainServer) open(parent context.Context, f clientFrame) (ctx context.Context, welcome serverFrame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hellos = append(s.hellos, f)
	id := f.Session
	if old := s.sessions[id]; old == nil {
		id = fmt.Sprint("S", len(s.sessions)+1)
	} else {
		old(&websocket.CloseError{Code: CloseTakenOver, Text: "taken over"})
	}
	ctx, cancel := context.WithCancelCause(parent)
	s.sessions[id] = cancel
	if s.accept != nil && !s.accept(f.Auth) {
		cancel(&websocket.CloseError{Code: CloseUnauthorized, Text: "unauthorized"})
	}
	welcome = serverFrame{
		T: "welcome", Session: id, Token: "secret", Topics: map[string]topicState{},
		Heartbeat: 30_000, Timeout: 45_000, Window: max(s.window, 4), Limit: s.limit,
	}
	if s.window > 0 {
		welcome.Window = s.window
	}
	for name, p := range f.Topics {
		state := topicState{Epoch: "e1", Resumed: true}
		if name == inboxTopic {
			state.Epoch = id
		}
		if p != nil {
			state.Offset = p.Offset
		}
		welcome.Topics[name] = state
	}
	return ctx, welcome
}

// serve gives frames to write until the connection ends, and returns why.
func (s *plainServer) serve(ctx context.Context, welcome serverFrame, write func(serverFrame) error) *websocket.CloseError {
	var refused *websocket.CloseError
	if refused = closing(ctx); refused != nil {
		return refused
	}
	if write(welcome) != nil {
		return nil
	}
	at := map[string]uint64{}
	for name, state := range welcome.Topics {
		at[name] = state.Offset
	}
	beat := time.NewTicker(30 * time.Second)
	defer beat.Stop()
	for {
		frames, more := s.after(at)
		for _, f := range frames {
			if write(f) != nil {
				return nil
			}
		}
		select {
		case <-more:
		case now := <-beat.C:
			if write(serverFrame{T: "ping", TS: now.UnixMilli()}) != nil {
				return nil
			}
		case <-ctx.Done():
			return closing(ctx)
		}
	}
}

// closing is why the server ends a connection, nil if it does not.
func closing(ctx context.Context) *websocket.CloseError {
	closed, _ := context.Cause(ctx).(*websocket.CloseError)
	return closed
}

// after returns the messages behind positions, and moves those.
func (s *plainServer) after(at map[string]uint64) (frames []serverFrame, more chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range at {
		last := s.published
		if name == inboxTopic {
			last = s.inbox
		}
		for ; at[name] < last; at[name]++ {
			o := at[name] + 1
			frames = append(frames, serverFrame{T: "msg", S: name, O: o, P: o - 1, D: fmt.Append(nil, o)})
		}
	}
	return frames, s.more
}

// answer handles what a client sends.
func (s *plainServer) answer(f clientFrame) (answer serverFrame, ok bool) {
	s.mu.Lock()
	if f.T != "send" {
		s.heard = append(s.heard, f)
	} else if f.Pos != nil {
		s.heard = append(s.heard, clientFrame{T: "send", Pos: f.Pos})
	}
	s.mu.Unlock()
	switch f.T {
	case "ping":
		return serverFrame{T: "pong", TS: f.TS}, true
	case "send":
		s.turn <- struct{}{}
		defer func() { <-s.turn }()
		id := fmt.Sprint(f.C, " ", f.N)
		s.mu.Lock()
		answer, known := s.answers[id]
		s.mu.Unlock()
		if known {
			return answer, true
		}
		var result any = f.D
		var refused *ReplyError
		if s.handle != nil {
			result, refused = s.handle(f.M, f.D)
		}
		answer = serverFrame{T: "done", N: f.N}
		if refused != nil {
			answer.Refused, answer.Error = refused.Refused, refused.Text
		} else {
			answer.D, _ = json.Marshal(result)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.handled = append(s.handled, f.M+" "+string(f.D))
		s.answers[id] = answer
		return answer, true
	}
	return serverFrame{}, false
}

func (s *plainServer) webSocket(ws *websocket.Conn) {
	var hello clientFrame
	if ws.ReadJSON(&hello) != nil {
		return
	}
	ctx, welcome := s.open(context.Background(), hello)
	ctx, cancel := context.WithCancel(ctx)
	turn := make(chan struct{}, 1)
	write := func(f serverFrame) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		return ws.WriteJSON(f)
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer ws.Close()
	reading.Go(func() {
		defer cancel()
		for {
			var f clientFrame
			if ws.ReadJSON(&f) != nil {
				return
			}
			if answer, ok := s.answer(f); ok && write(answer) != nil {
				return
			}
		}
	})
	if closed := s.serve(ctx, welcome, write); closed != nil {
		ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(closed.Code, closed.Text), time.Now().Add(time.Second))
	}
}

func (s *plainServer) stream(w http.ResponseWriter, r *http.Request, hello clientFrame) {
	ctx, welcome := s.open(r.Context(), hello)
	w.Header().Set("Content-Type", "text/event-stream")
	write := func(f serverFrame) error {
		b, _ := json.Marshal(f)
		if _, err := fmt.Fprintf(w, ": a comment\nevent: x\ndata: %s\n\n", b); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	}
	if closed := s.serve(ctx, welcome, write); closed != nil {
		write(serverFrame{T: "close", Code: closed.Code, Reason: closed.Text})
	}
}

func (s *plainServer) poll(w http.ResponseWriter, r *http.Request, hello clientFrame) {
	ctx, welcome := s.open(r.Context(), hello)
	list := []serverFrame{welcome}
	at := map[string]uint64{}
	for name, state := range welcome.Topics {
		at[name] = state.Offset
	}
	late := time.NewTimer(25 * time.Second)
	defer late.Stop()
	for fresh := hello.Session != welcome.Session; ; fresh = false {
		if closed := closing(ctx); closed != nil {
			if fresh {
				list = nil // no welcome
			}
			list = append(list, serverFrame{T: "close", Code: closed.Code, Reason: closed.Text})
			break
		}
		frames, more := s.after(at)
		if list = append(list, frames...); len(list) > 1 || fresh {
			break
		}
		select {
		case <-more:
			continue
		case <-ctx.Done():
			if closing(ctx) == nil {
				return // the client has gone
			}
			continue
		case <-late.C:
		}
		break
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(list)
}

func (s *plainServer) post(w http.ResponseWriter, f clientFrame) {
	s.mu.Lock()
	s.posted = append(s.posted, f)
	s.posts++
	s.mostPosts = max(s.mostPosts, s.posts)
	defer func() {
		s.mu.Lock()
		s.posts--
		s.mu.Unlock()
	}()
	known := s.sessions[f.Session] != nil && f.Token == "secret"
	if s.goneOnPost {
		s.goneOnPost, known = false, false
		for _, end := range s.sessions {
			end(context.Canceled)
		}
	}
	s.mu.Unlock()
	if !known {
		http.Error(w, "no session", http.StatusGone)
		return
	}
	list := []serverFrame{}
	for _, data := range f.Frames {
		x, err := decodeClientFrame(data)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if answer, ok := s.answer(x); ok {
			list = append(list, answer)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(list)
}
