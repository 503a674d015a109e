package reliablews

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

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
	var vectors []struct {
		Name       string
		Topics     map[string]*Position
		Frames     []json.RawMessage
		Hears      []string
		Sends      []clientFrame
		Positions  map[string]Position
		Reconnects bool
	}
	readVectors(t, "sequences.json", &vectors)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, l := new(network), newListener()
				var connections atomic.Int32
				var sent []clientFrame
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
							ws.WriteMessage(websocket.TextMessage, f)
						}
					}()
					for {
						var f clientFrame
						if ws.ReadJSON(&f) != nil {
							return
						}
						sent = append(sent, f)
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
				stopClient := runClient(c)
				synctest.Wait()
				if got := l.all(); !slices.Equal(got, v.Hears) {
					t.Errorf("heard %q, want %q", got, v.Hears)
				}
				if got := c.Positions(); !reflect.DeepEqual(got, v.Positions) {
					t.Errorf("positions %v, want %v", got, v.Positions)
				}
				if len(v.Sends) > 0 && !reflect.DeepEqual(sent, v.Sends) {
					t.Errorf("sent %+v, want %+v", sent, v.Sends)
				}
				advance(stableAfter)
				synctest.Wait()
				if again := connections.Load() > 1; again != v.Reconnects {
					t.Errorf("connected %d times, want again: %v", connections.Load(), v.Reconnects)
				}
				stopClient()
				stop()
			})
		})
	}
}
