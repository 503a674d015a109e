package reliablews

import (
	"context"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// wsCarrier carries frames over a WebSocket.
type wsCarrier struct {
	link *link
	ws   *websocket.Conn // set by the first read, before anything is written
	turn chan struct{}   // one writes at a time, who has put something in
}

func (w *wsCarrier) open() error {
	c := w.link.client
	dialer := *c.opts.Dialer
	dialer.Subprotocols = []string{Subprotocol}
	ctx, cancel := context.WithTimeout(w.link.ctx, c.opts.opening())
	defer cancel()
	ws, resp, err := dialer.DialContext(ctx, c.ws, c.opts.Header)
	if err != nil {
		if resp != nil {
			return &statusError{resp.StatusCode, resp.Status}
		}
		return fmt.Errorf("reliablews: connect: %w", err)
	}
	// A read has no context of its own: closing is what ends it.
	context.AfterFunc(w.link.ctx, func() { ws.Close() })
	w.ws = ws
	if ws.Subprotocol() != Subprotocol {
		return &RefusedError{Code: websocket.CloseProtocolError, Reason: "the server does not speak " + Subprotocol}
	}
	ws.SetReadLimit(c.opts.MaxFrameBytes)
	if old := w.link.replaces; old != nil {
		if err := old.yield(w.link.ctx); err != nil {
			return err
		}
		w.link.holds = true
	}
	hello, err := w.link.hello()
	if err != nil {
		return err
	}
	_, err = w.write(ClientSession{}, [][]byte{hello})
	return err
}

func (w *wsCarrier) read(timeout time.Duration) ([]byte, error) {
	if w.ws == nil {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	w.ws.SetReadDeadline(time.Now().Add(timeout))
	_, data, err := w.ws.ReadMessage()
	if err != nil {
		return nil, fmt.Errorf("reliablews: read: %w", err)
	}
	return data, nil
}

func (w *wsCarrier) close() {
	if w.ws != nil {
		w.ws.Close()
	}
}

func (w *wsCarrier) write(_ ClientSession, frames [][]byte) ([][]byte, error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-w.link.ctx.Done():
		return nil, context.Cause(w.link.ctx)
	}
	w.ws.SetWriteDeadline(time.Now().Add(45 * time.Second))
	for _, f := range frames {
		if err := w.ws.WriteMessage(websocket.TextMessage, f); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
