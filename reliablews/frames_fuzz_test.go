package reliablews

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// FuzzServerAgainstFrames says anything to a hub: lines of a text as frames,
// then bytes as they are, behind a real handshake; and the text as a post. The
// hub does not panic, holds nothing afterwards, and what it says has no markup
// of the other side in it.
func FuzzServerAgainstFrames(f *testing.F) {
	hello := `{"t":"hello","topics":{"feed":{"epoch":"e1","offset":1},"@":null}}`
	for _, frames := range []string{
		hello, hello + "\n" + hello, "x", `{"t":"<script>"}`, `{"t":"hello","topics":{"<script>":null}}`,
		hello + "\n" + `{"t":"send","c":"k","n":1,"m":"say","d":{"a":1}}` + "\n" + `{"t":"send","c":"k","n":900,"m":"<script>"}` + "\n" + `{"t":"send","c":"k","n":1,"m":"say"}`,
		hello + "\n" + `{"t":"ping","ts":9,"pos":{"@":99}}` + "\n" + `{"t":"ack","pos":{"@":18446744073709551615}}`,
		`{"t":"hello","via":"stream","topics":{"feed":null}}`, `{"t":"hello","via":"poll","session":"<script>","token":"x"}`,
		`{"t":"post","session":"s","token":"<script>","frames":[{"t":"ping"}]}`,
	} {
		f.Add(frames, []byte{0x88, 0x80, 0, 0, 0, 0})
		f.Add(frames, []byte{0x09, 0xff, '<', 's', 'c', 'r', 'i', 'p', 't', '>'})
	}
	f.Add(hello, []byte{0x01, 0x81, 0, 0, 0, 0, '{', 0x80, 0x81, 0, 0, 0, 0, '}'}) // in fragments
	f.Add(hello, []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, frames string, raw []byte) {
		if strings.Count(frames, "\n") > 50 {
			return
		}
		inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
			h.Handle("say", func(context.Context, *Request) (any, error) { return "said", nil })
			topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
			mustPublish(t, topic, 1, 2)
			d := n.dialer()
			d.Subprotocols = []string{Subprotocol}
			ws, _, err := d.Dial("ws://memory/", nil)
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(ws.NetConn())
				heard <- b
			}()
			said := make(chan struct{})
			go func() { // the hub may have stopped reading
				defer close(said)
				for frame := range strings.SplitSeq(frames, "\n") {
					if ws.WriteMessage(websocket.TextMessage, []byte(frame)) != nil {
						return
					}
				}
				ws.NetConn().Write(raw)
			}()
			advance(50 * time.Second) // it is given up as silent at the latest
			mustPublish(t, topic, 3)
			advance(50 * time.Second)
			ws.Close()
			<-said
			noMarkup(t, <-heard)

			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://memory/", strings.NewReader(frames))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			transport := &http.Transport{DialContext: n.dial}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatalf("a post was not answered: %v", err)
			}
			b, _ := io.ReadAll(resp.Body) // a stream lasts until the context ends
			noMarkup(t, b)
			cancel()
			transport.CloseIdleConnections()
			advance(10 * time.Minute)
			synctest.Wait()
			if s := h.Stats(); s.Connections != 0 || s.Sessions != 0 || h.entered.total+h.asking.total != 0 {
				t.Errorf("afterwards: %+v", s)
			}
		})
	})
}

func noMarkup(t *testing.T, b []byte) {
	if bytes.Contains(b, []byte("<script")) {
		t.Errorf("the input came back: %q", b)
	}
}

// FuzzClientAgainstFrames lets a server say anything to the Go client: lines of
// a text as frames, then bytes as they are, over a WebSocket and as a stream.
// The client does not panic, hands over only what it asked for, with positions
// that belong together, and ends when it is told to.
func FuzzClientAgainstFrames(f *testing.F) {
	welcome := `{"t":"welcome","session":"S","token":"T","topics":{"feed":{"epoch":"e1","offset":5,"resumed":true}},"heartbeat":30000,"timeout":45000}`
	for _, frames := range []string{
		welcome, "x", `{"t":"bye","delay":-1}`, `{"t":"close","code":4001}`,
		welcome + "\n" + `{"t":"msg","s":"feed","o":6,"p":5,"d":6}` + "\n" + `{"t":"msg","s":"staff","o":1}` + "\n" + `{"t":"msg","s":"feed","o":9,"p":8}`,
		welcome + "\n" + `{"t":"gap","s":"feed","e":"e2","o":6}` + "\n" + `{"t":"snap","s":"feed","e":"","o":0}`,
		welcome + "\n" + `{"t":"ping","ts":-5,"pos":{"feed":18446744073709551615,"staff":4}}` + "\n" + `{"t":"done","n":1,"d":1}` + "\n" + welcome,
		`{"t":"welcome","heartbeat":1,"timeout":1,"window":-1,"limit":1,"backoff":{"start":1,"factor":1e308,"max":9223372036854775807}}`,
		`{"t":"welcome","heartbeat":9223372036854775807,"timeout":9223372036854775807}` + "\n" + `{"t":"bye","delay":9223372036854775807}`,
		`{"t":"welcome","backoff":{"start":9223372036854775807,"factor":1,"max":9223372036854775807}}`,
	} {
		f.Add(frames, []byte{0x88, 0x02, 0x0f, 0xa1})
		f.Add(frames, []byte("data: {}\n\n:\nevent: x\n\ndata\n"))
	}
	f.Add(welcome, []byte{0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, frames string, raw []byte) {
		if strings.Count(frames, "\n") > 50 {
			return
		}
		for _, stream := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) { againstFrames(t, frames, raw, stream) })
		}
	})
}

func againstFrames(t *testing.T, frames string, raw []byte, stream bool) {
	n := new(network)
	stopServer := n.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case websocket.IsWebSocketUpgrade(r) == stream:
			http.Error(w, "not here", http.StatusBadGateway)
		case stream:
			w.Header().Set("Content-Type", "text/event-stream")
			for frame := range strings.SplitSeq(frames, "\n") {
				fmt.Fprintf(w, "data: %s\n\n", frame)
			}
			w.Write(raw)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			acted(func(ws *websocket.Conn) {
				ws.ReadMessage() // the hello
				for frame := range strings.SplitSeq(frames, "\n") {
					if ws.WriteMessage(websocket.TextMessage, []byte(frame)) != nil {
						return
					}
				}
				ws.NetConn().Write(raw)
				io.Copy(io.Discard, ws.NetConn())
			}).ServeHTTP(w, r)
		}
	}))
	defer stopServer()
	check := func(topic string, p Position) {
		if topic != "feed" && topic != inboxTopic {
			t.Errorf("%s at %s was not asked for", topic, p)
		}
	}
	c := NewClient("ws://memory/", &ClientOptions{
		Topics:     map[string]Position{"feed": {"e1", 5}},
		Dialer:     n.dialer(),
		OnMessage:  func(m Message) { check(m.Topic, m.Position) },
		OnSnapshot: func(s Snapshot) { check(s.Topic, s.Position) },
		OnGap:      func(g Gap) { check(g.Topic, g.Position) },
		OnDirect:   func(m Message) { check(m.Topic, m.Position) },
	})
	var calls []chan error
	for range 3 {
		call := make(chan error, 1)
		calls = append(calls, call)
		go func() {
			_, err := c.Send(context.Background(), "say", 1)
			call <- err
		}()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	advance(20 * time.Second)
	synctest.Wait()
	cancel()
	var refused *RefusedError
	if err := <-ended; !errors.Is(err, context.Canceled) && !errors.As(err, &refused) {
		t.Errorf("Run returned %v", err)
	}
	for _, call := range calls {
		<-call
	}
	for topic := range c.Positions() {
		check(topic, Position{})
	}
}
