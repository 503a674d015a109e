package reliablews

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func readVectors(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/frames/" + name)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestServerReadsTheVectors(t *testing.T) {
	var vectors []struct {
		Name, Frame string
		OK          bool
	}
	readVectors(t, "client.json", &vectors)
	for _, v := range vectors {
		if _, err := decodeClientFrame([]byte(v.Frame)); (err == nil) != v.OK {
			t.Errorf("%s: got %v, want ok %v", v.Name, err, v.OK)
		}
	}
}

// TestClientFollowsTheVectors plays each sequence as a server does and looks
// at what the client hands over, sends, and keeps. The JavaScript client runs
// the same file.
func TestClientFollowsTheVectors(t *testing.T) {
	var vectors []sequence
	readVectors(t, "sequences.json", &vectors)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { followVector(t, v) })
		})
	}
}

type sequence struct {
	Name       string
	Topics     map[string]*Position
	Asks       [][2]json.RawMessage // name and data
	Frames     []json.RawMessage
	Hears      []string
	Sends      []any // at once
	SendsLater []any // and within a second
	Answers    []string
	Positions  map[string]Position
	Reconnects bool
}

func followVector(t *testing.T, v sequence) {
	n, l := new(network), newListener()
	var connections atomic.Int32
	var mu sync.Mutex // guards the variables below
	more := sync.NewCond(&mu)
	var sent []any
	var gone bool
	answers := make([]string, len(v.Asks))
	stop := n.serve(acted(func(ws *websocket.Conn) {
		if connections.Add(1) > 1 {
			return
		}
		var hello clientFrame
		if err := ws.ReadJSON(&hello); err != nil || hello.T != "hello" || !reflect.DeepEqual(hello.Topics, v.Topics) {
			t.Errorf("the hello is %+v, %v", hello, err)
		}
		go func() {
			for _, f := range v.Frames {
				// Nobody answers what was not sent yet.
				if d, err := decodeServerFrame(f); err == nil && d.T == "done" {
					mu.Lock()
					for len(sent) < int(d.N) && !gone {
						more.Wait()
					}
					mu.Unlock()
				}
				ws.WriteMessage(websocket.TextMessage, f)
			}
		}()
		for {
			var f any
			if ws.ReadJSON(&f) != nil {
				mu.Lock()
				gone = true
				mu.Unlock()
				more.Broadcast()
				return
			}
			if m := f.(map[string]any); m["c"] != nil {
				m["c"] = "*"
			}
			mu.Lock()
			sent = append(sent, f)
			mu.Unlock()
			more.Broadcast()
		}
	}))
	topics := map[string]Position{}
	for name, p := range v.Topics {
		topics[name] = Position{}
		if p != nil {
			topics[name] = *p
		}
	}
	c := NewClient("ws://memory/", l.options(n, topics))
	for i, ask := range v.Asks {
		go func() {
			var name string
			json.Unmarshal(ask[0], &name)
			data, err := c.Send(t.Context(), name, ask[1])
			answer := fmt.Sprintf("%d %s", i+1, data)
			var refused *ReplyError
			if errors.As(err, &refused) {
				answer = fmt.Sprintf("%d %s: %s", i+1, refused.Refused, refused.Text)
			} else if err != nil {
				answer = fmt.Sprintf("%d %v", i+1, err)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[i] = answer // they come in order; who notes them first is chance
		}()
		synctest.Wait() // in their order
	}
	stopClient := runClient(c)
	synctest.Wait()
	if got := l.all(); !sameLines(got, v.Hears) {
		t.Errorf("heard %q, want %q", got, v.Hears)
	}
	if got := c.Positions(); !reflect.DeepEqual(got, v.Positions) {
		t.Errorf("positions %v, want %v", got, v.Positions)
	}
	compare := func(want []any) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if (v.Sends != nil || v.SendsLater != nil) && !(len(sent) == 0 && len(want) == 0) && !reflect.DeepEqual(sent, want) {
			t.Errorf("sent %v, want %v", sent, want)
		}
		if !sameLines(answers, v.Answers) {
			t.Errorf("answers are %q, want %q", answers, v.Answers)
		}
	}
	compare(v.Sends)
	advance(time.Second + time.Millisecond)
	synctest.Wait()
	compare(append(v.Sends, v.SendsLater...))
	advance(stableAfter - time.Second)
	synctest.Wait()
	if again := connections.Load() > 1; again != v.Reconnects {
		t.Errorf("connected %d times, want again: %v", connections.Load(), v.Reconnects)
	}
	stopClient()
	stop()
}

// sameLines compares what was heard or answered; data, which begins with the
// fourth or second word, by its value.
func sameLines(got, want []string) bool {
	return slices.EqualFunc(got, want, func(a, b string) bool {
		words := 4
		if len(b) > 0 && b[0] <= '9' {
			words = 2
		}
		as, bs := strings.SplitN(a, " ", words), strings.SplitN(b, " ", words)
		var x, y any
		if len(as) < words || len(bs) < words || json.Unmarshal([]byte(as[words-1]), &x) != nil || json.Unmarshal([]byte(bs[words-1]), &y) != nil {
			return a == b
		}
		return slices.Equal(as[:words-1], bs[:words-1]) && reflect.DeepEqual(x, y)
	})
}
