package reliablews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
)

// Request is a message from a client to the server.
type Request struct {
	// ID names the message: it is the same when a client repeats it to a server
	// that was restarted. What must happen only once, even then, is recorded
	// with it where it is durable. The part before the last dot names the client.
	ID string

	Name    string // what the message is for
	Data    json.RawMessage
	Session string // of the client, for Hub.Send
	User    string // as Authorize said, "" for a stranger
}

// Handler handles a message and returns what the client is told, encoded as
// JSON. With a [*ReplyError] the client is told that; any other error, or a
// panic, goes to the log, and the client is told that the server failed.
//
// The messages of a client are handled in order, one at a time, and each once
// while its session lives. The context ends with the hub, not with the
// connection: the client asks again for an answer that it did not get.
type Handler func(ctx context.Context, r *Request) (any, error)

// Why a message was refused when the handler did not say.
const (
	RefusedUnknown   = "unknown"   // nothing handles that name
	RefusedInternal  = "internal"  // the handler failed
	RefusedForgotten = "forgotten" // it was handled; its answer is not held any more
)

// Handle registers the handler of a name, 1 to 64 bytes. It panics when the
// name is taken or not valid: a program without its handlers must not start.
func (h *Hub) Handle(name string, f Handler) {
	if name == "" || len(name) > maxName || f == nil {
		panic(fmt.Sprintf("reliablews: Handle(%q): a name has 1 to %d bytes, and needs a handler", name, maxName))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	handlers := maps.Clone(*h.handlers.Load())
	if handlers[name] != nil {
		panic(fmt.Sprintf("reliablews: Handle(%q): the name is taken", name))
	}
	handlers[name] = f
	h.handlers.Store(&handlers)
}

// receive handles a message once and returns the answer, the same for a repeat.
// The error is errProtocol for a message that no client may send, or that ctx,
// of whoever brought it, or the hub has ended before it was the message's turn.
func (h *Hub) receive(ctx context.Context, s *session, f *clientFrame) (frame []byte, err error) {
	answers := s.ownAnswers(h.opts.Window)
	select {
	case answers.turn <- struct{}{}: // nearly always, and cheaper than asking for three at once
	default:
		select {
		case answers.turn <- struct{}{}: // a new connection waits for what an old one is at
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-h.ctx.Done():
			return nil, h.ctx.Err()
		}
	}
	defer func() { <-answers.turn }()
	frame, known, old := answers.of(f.C).repeated(f.N)
	if old {
		return nil, errProtocol
	}
	if known {
		h.counts.repeated.Add(1)
		return frame, nil
	}
	frame = h.answer(s, f)
	answers.keep(f.N, frame)
	h.counts.received.Add(1)
	return frame, nil
}

// answer calls the handler.
func (h *Hub) answer(s *session, f *clientFrame) []byte {
	handler := (*h.handlers.Load())[f.M]
	if handler == nil {
		return wireDone(f.N, nil, RefusedUnknown, "Nothing here handles that message.")
	}
	r := &Request{ID: f.C + "." + strconv.FormatUint(f.N, 10), Name: f.M, Data: f.D, Session: s.id, User: s.user}
	encoded, err := h.call(handler, r)
	var reply *ReplyError
	if errors.As(err, &reply) {
		return wireDone(f.N, nil, reply.Refused, reply.Text)
	}
	if len(encoded) > h.opts.MaxMessageBytes {
		err = fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(encoded), h.opts.MaxMessageBytes)
	}
	if err != nil {
		h.counts.handlerErrors.Add(1)
		h.opts.Logger.Error("a handler failed", "handler", f.M, "error", err)
		return wireDone(f.N, nil, RefusedInternal, "The server could not do that.")
	}
	return wireDone(f.N, encoded, "", "")
}

// call calls a handler and encodes its result, which may call methods of that.
func (h *Hub) call(handler Handler, r *Request) (encoded []byte, err error) {
	defer h.contained(&err)
	result, err := handler(h.ctx, r)
	if err != nil || result == nil {
		return nil, err
	}
	return encode(result)
}

// wireDone is the answer to a message.
func wireDone(n uint64, data json.RawMessage, refused, text string) []byte {
	if refused != "" {
		return wireFrame(serverFrame{T: "done", N: n, Refused: refused, Error: text})
	}
	b := make([]byte, 0, len(data)+48)
	b = append(b, `{"t":"done","n":`...)
	b = strconv.AppendUint(b, n, 10)
	if data != nil {
		b = append(b, `,"d":`...)
		b = append(b, data...)
	}
	b = append(b, '}')
	return appendFrame(nil, finalText, b)
}
