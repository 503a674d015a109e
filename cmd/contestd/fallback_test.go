package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/contestkit/contestkit/reliablews"
)

// TestThePageIsLiveWithoutWebSockets: a proxy lets none through, and the page
// is live all the same, through everything a request goes through here.
func TestThePageIsLiveWithoutWebSockets(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	live, heard := make(chan reliablews.State, 8), make(chan reliablews.Message, 8)
	var tried atomic.Int32
	c := reliablews.NewClient(strings.Replace(s.url("/ws"), "http", "ws", 1), &reliablews.ClientOptions{
		Topics: map[string]reliablews.Position{"feed": {}},
		Dialer: &websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			tried.Add(1)
			return nil, errors.New("blocked")
		}},
		HTTPClient: new(http.Client),
		OnState: func(st reliablews.State) {
			if st.Status == reliablews.Live {
				live <- st
			}
		},
		OnMessage: func(m reliablews.Message) { heard <- m },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if st := <-live; st.Transport != reliablews.Stream || tried.Load() == 0 {
		t.Errorf("live by %v after %d WebSockets", st.Transport, tried.Load())
	}
	if a := s.visitor().submit(newEntry("by stream"), jpegPhoto(t, 1)); a.Status != http.StatusCreated {
		t.Fatal(a)
	}
	if m := <-heard; !strings.Contains(string(m.Data), "by stream") {
		t.Errorf("heard %s", m.Data)
	}
}
