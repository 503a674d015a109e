package reliablews

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
	"time"
)

// What goes without WebSockets: a stream or a poll begins with a hello in the
// body and has its frames in the answer; a post brings a client's other frames.

// postRoom is what a post may have around its frames.
const postRoom = 1 << 10

// servePost answers a request of a client without a WebSocket.
func (h *Hub) servePost(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !h.originAllowed(r) {
		http.Error(w, "Pages of that origin may not connect.", http.StatusForbidden)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "A frame is application/json.", http.StatusUnsupportedMediaType)
		return
	}
	address := h.opts.Address(r)
	if !h.ask(w, address) { // before anything of it is read
		return
	}
	asked := sync.OnceFunc(func() { h.asked(address) })
	defer asked()
	kicks := h.kicks.Load()
	identity, later, err := h.authorize(r)
	if err != nil {
		notAllowed(w, err)
		return
	}
	// A body that trickles in is no client, and no deadline of the server's own
	// may end what comes after it.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(h.opts.HelloTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxFrameBytes+postRoom))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(w, "The frame is too large.", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "The frame did not arrive whole.", http.StatusBadRequest)
		return
	}
	control.SetReadDeadline(time.Time{})
	f, err := decodeClientFrame(body)
	switch {
	case err == nil && f.T == "post":
		user := ""
		if identity != nil {
			user = identity.User
		}
		h.takePost(w, r, &f, user, later)
	case err == nil && f.T == "hello" && (f.Via == viaStream || f.Via == viaPoll):
		asked() // it counts as a connection now
		h.serveHello(w, r, &f, identity, kicks, later, address)
	default:
		http.Error(w, "That is not a frame of "+Subprotocol+" for HTTP.", http.StatusBadRequest)
	}
}

// serveHello serves a stream or a poll until it ends.
func (h *Hub) serveHello(w http.ResponseWriter, r *http.Request, f *clientFrame, identity *Identity, kicks uint64, later bool, address string) {
	if !h.admit(w, address) {
		return
	}
	out := newExchange(w, h.opts.HeartbeatTimeout, f.Via == viaPoll, h.opts.MaxPollBytes)
	c := h.newConn(out, identity, kicks, address)
	if c.poll = out.poll; c.poll {
		defer h.vacate(address) // once it is answered
	}
	if later {
		c.request = r.Clone(r.Context())
	}
	c.begin()
	if !out.poll {
		c.silence = time.AfterFunc(h.opts.HeartbeatTimeout, c.silent)
	}
	var refused *refusal
	if errors.As(c.welcome(f), &refused) {
		if refused == errNoRoom {
			c.cancel()
		} else {
			c.close(refused.code, refused.reason)
		}
	} else if c.poll && c.first {
		out.hurry() // it cannot send before it has its session
	}
	var timeout <-chan time.Time
	if out.poll {
		timer := time.NewTimer(h.opts.PollTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		select {
		case <-c.ctx.Done():
		case <-r.Context().Done():
		case <-out.news:
		case <-timeout:
			c.heartbeat(time.Now()) // is what there is to tell
			continue
		}
		break
	}
	out.abort()
	c.end()
	if refused == errNoRoom && !out.begun {
		out.control.SetWriteDeadline(time.Now().Add(out.timeout)) // abort has set another
		h.turnAway(w, http.StatusServiceUnavailable, "No more sessions are taken now.")
		return
	}
	out.answer()
}

// busy lets Shutdown wait for something, unless the hub closes. What it counts
// in is followed by running.Done.
func (h *Hub) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closing {
		h.running.Add(1)
	}
	return !h.closing
}

// takePost handles a client's frames and answers with what answers them.
func (h *Hub) takePost(w http.ResponseWriter, r *http.Request, f *clientFrame, user string, later bool) {
	if !h.busy() {
		http.Error(w, "No more messages are taken now.", http.StatusServiceUnavailable)
		return
	}
	answers, status, text := h.handleAll(r, f, user, later)
	if status != http.StatusOK {
		http.Error(w, text, status)
		return
	}
	// The client may have gone without a word.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.opts.HeartbeatTimeout))
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answers) // the client asks again when it does not arrive
}

const notTaken = "The rest was not taken."

// handleAll handles the frames of a post, behind busy. Without status 200, text
// says why.
func (h *Hub) handleAll(r *http.Request, f *clientFrame, user string, later bool) (answers []json.RawMessage, status int, text string) {
	defer h.running.Done() // not later: Shutdown waits for handlers, not for the network
	s, c := h.sessions.find(f.Session, f.Token)
	if s == nil || !later && s.user != user {
		return nil, http.StatusGone, "There is no such session."
	}
	if c != nil && c.silence != nil {
		c.silence.Reset(h.opts.HeartbeatTimeout)
	}
	answers = []json.RawMessage{}
	for _, raw := range f.Frames {
		each, err := decodeClientFrame(raw)
		if err != nil || each.T == "hello" || each.T == "post" || int64(len(raw)) > h.opts.MaxFrameBytes {
			return nil, http.StatusBadRequest, "That is not a frame of " + Subprotocol + " for a post."
		}
		if wait := s.pace.take(time.Now(), h.opts.MaxFrameRate, h.opts.MaxFrameBurst); wait > 0 {
			h.counts.throttled.Add(1)
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-r.Context().Done():
			case <-h.ctx.Done():
			}
			timer.Stop()
		}
		if r.Context().Err() != nil || h.ctx.Err() != nil {
			return nil, http.StatusServiceUnavailable, notTaken
		}
		answer, err := h.handle(r.Context(), s, &each)
		switch {
		case err == errProtocol:
			return nil, http.StatusBadRequest, "That message is older than the session remembers."
		case err != nil:
			return nil, http.StatusServiceUnavailable, notTaken
		}
		if answer != nil {
			answers = append(answers, payload(answer))
		}
	}
	return answers, http.StatusOK, ""
}

// exchange carries frames in the answer to a request: as events while they
// come, or, for a poll, as one list at the end.
type exchange struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	poll    bool
	room    int           // bytes behind the welcome, after which a poll is answered
	news    chan struct{} // closed when a poll has something to tell
	once    sync.Once

	mu      sync.Mutex // guards w and the fields below
	begun   bool       // something was written
	list    bytes.Buffer
	welcome int // bytes of list that are the welcome
	hurried bool
	ended   bool // the handler has returned, or is about to
}

func newExchange(w http.ResponseWriter, timeout time.Duration, poll bool, room int) *exchange {
	e := &exchange{w: w, control: http.NewResponseController(w), timeout: timeout, poll: poll, room: room, news: make(chan struct{})}
	if !poll {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // what nginx needs to be told
		e.control.SetReadDeadline(time.Time{})    // the server's bound is for requests; this one lasts
	}
	return e
}

func (e *exchange) packs() bool { return false }

// A try leaves everything to finish: an answer is written by net/http.
func (e *exchange) try(pieces [][]byte) ([]byte, error) { return slices.Concat(pieces...), nil }
func (e *exchange) finish(rest []byte) error            { return e.write([][]byte{rest}) }

func (e *exchange) write(pieces [][]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return http.ErrHandlerTimeout
	}
	e.begun = true
	if e.poll {
		if e.append(pieces); e.list.Len()-e.welcome > e.room {
			return errAnswered
		}
		return nil
	}
	var b bytes.Buffer
	for _, piece := range pieces {
		for rest := piece; len(rest) > 0; {
			var frame []byte
			frame, rest = cutFrame(rest)
			b.WriteString("data: ")
			b.Write(frame)
			b.WriteString("\n\n")
		}
	}
	e.control.SetWriteDeadline(time.Now().Add(e.timeout))
	if _, err := e.w.Write(b.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}

// errAnswered ends a poll that has enough for an answer. The rest comes with the
// next one, which begins where the client is by then.
var errAnswered = errors.New("the poll is answered")

// append adds to what a poll is answered with. Anything but the welcome, which
// is always first, is worth an answer at once.
func (e *exchange) append(pieces [][]byte) {
	for _, piece := range pieces {
		for rest := piece; len(rest) > 0; {
			var frame []byte
			frame, rest = cutFrame(rest)
			if e.list.Len() > 0 {
				e.list.WriteByte(',')
				e.ready()
			}
			e.list.Write(frame)
			if e.welcome == 0 {
				e.welcome = e.list.Len()
			}
			if e.hurried {
				e.ready()
			}
		}
	}
}

// ready lets a poll be answered.
func (e *exchange) ready() { e.once.Do(func() { close(e.news) }) }

// hurry makes the welcome be enough for an answer.
func (e *exchange) hurry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hurried = true; e.list.Len() > 0 {
		e.ready()
	}
}

func (e *exchange) end(code int, reason string) {
	b, err := json.Marshal(serverFrame{T: "close", Code: code, Reason: reason})
	if err != nil {
		panic(err) // a number and a string
	}
	e.write([][]byte{appendFrame(nil, finalText, b)}) // the client sees the end in any case
}

// abort ends a stream that somebody may be writing to, and takes nothing more
// for the answer to a poll.
func (e *exchange) abort() {
	if !e.poll {
		e.control.SetWriteDeadline(time.Now())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
}

// answer answers a poll, behind abort; for a stream it only lets net/http write
// the end. The client may have gone without a word, and net/http forgets the
// deadline once all is written: the network connection may be used again.
func (e *exchange) answer() {
	if !e.poll {
		e.control.SetWriteDeadline(time.Now().Add(lingering))
		return
	}
	e.control.SetWriteDeadline(time.Now().Add(e.timeout))
	e.w.Header().Set("Content-Type", "application/json")
	io.WriteString(e.w, "[")
	e.w.Write(e.list.Bytes())
	io.WriteString(e.w, "]\n")
}
