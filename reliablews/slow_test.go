package reliablews

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestASlowReaderDelaysNobodyAndHoldsNoMemory has 1,000 connections that read
// and one that does not. The clock stands still while all others get each
// message: nothing waits for the one. What the hub holds does not grow.
func TestASlowReaderDelaysNobodyAndHoldsNoMemory(t *testing.T) {
	const fast, rounds, each, held = 1000, 12, 5, 20
	inBubble(t, nil, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{HistoryMessages: held})
		start := map[string]*Position{"feed": {"e1", 0}}
		var read [fast]atomic.Int64 // bytes
		for i := range read {
			c := n.connect(t)
			c.hello(start)
			go func() {
				buffer := make([]byte, 4<<10)
				for {
					got, err := c.ws.NetConn().Read(buffer)
					read[i].Add(int64(got))
					if err != nil {
						return
					}
				}
			}()
		}
		slow := n.connect(t)
		slow.hello(start)
		heap := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		began, bytes, offset, before := time.Now(), int64(0), uint64(0), int64(0)
		for round := range rounds {
			for range each {
				offset++
				data := fmt.Sprint(offset, strings.Repeat(".", 1000))
				bytes += int64(len(wireMessage("feed", offset, offset-1, fmt.Appendf(nil, "%q", data))))
				if err := topic.Publish(offset, data); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			for i := range read {
				if got := read[i].Load(); got != bytes {
					t.Fatalf("round %d: connection %d has %d bytes of %d", round, i, got, bytes)
				}
			}
			if round == 6 {
				before = heap() // the history is full
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the others waited %s", took)
		}
		if grown := heap() - before; grown > 256<<10 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		at, gap := uint64(0), false
		for at < offset {
			f := slow.next()
			if at = f.O; f.T == "gap" {
				gap = gap || f.O == offset-held && f.Reason == reasonSlow
			}
		}
		if !gap {
			t.Error("the slow one was not told of its gap")
		}
	})
}

// kickable lets everyone in as the user of a login.
func kickable(*http.Request) (Identity, error) {
	id := Identity{User: "ann", Login: "l", Topics: []string{"feed"}}
	for i := range 20 {
		id.Topics = append(id.Topics, fmt.Sprint("t", i))
	}
	return id, nil
}

// TestAKickDoesNotWaitForTheTopic that goes on faster than its reader reads.
func TestAKickDoesNotWaitForTheTopic(t *testing.T) {
	inBubble(t, &HubOptions{Authorize: kickable}, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		synctest.Wait()
		mustPublish(t, topic, 1)
		synctest.Wait() // the writer is at it
		h.Kick("l")
		for o := uint64(2); ; o++ {
			mustPublish(t, topic, o)
			f := c.next()
			if f.T == "bye" {
				break
			}
			if f.O > 1 || o > 10 {
				t.Fatalf("got %+v", f)
			}
			synctest.Wait()
		}
		if code := c.closed(); code != websocket.CloseServiceRestart {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestWhoIsSentAwayIsGoneInTime, however slowly the connection is read.
func TestWhoIsSentAwayIsGoneInTime(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, n *network, h *Hub, w serverFrame){
		"kick": func(_ *testing.T, _ *network, h *Hub, _ serverFrame) { h.Kick("l") },
		"takeover": func(t *testing.T, n *network, _ *Hub, w serverFrame) {
			n.connect(t).ask(clientFrame{Session: w.Session, Token: w.Token})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, &HubOptions{Authorize: kickable}, func(t *testing.T, n *network, h *Hub) {
				start := map[string]*Position{}
				for i := range 20 { // each has a snapshot, which is a write
					name := fmt.Sprint("t", i)
					mustTopic(t, h, name, Position{"e1", 0}, &TopicOptions{Snapshot: func(context.Context) (Position, any, error) {
						return Position{"e1", 0}, strings.Repeat("x", 64<<10), nil
					}})
					start[name] = nil
				}
				c := n.connect(t)
				w := c.hello(start)
				synctest.Wait()
				began := time.Now()
				send(t, n, h, w)
				c.send(`{"t":"pong","ts":1}`) // it is not silent
				frames := 0
				for {
					advance(20 * time.Second)
					if _, _, err := c.ws.ReadMessage(); err != nil {
						break
					}
					frames++
				}
				if took := time.Since(began); took > 80*time.Second || frames == 0 {
					t.Errorf("it was there for %s and read %d frames", took, frames)
				}
			})
		})
	}
}

// TestNoSnapshotFollowsAGoodbye that is out, though nobody has read it yet.
func TestNoSnapshotFollowsAGoodbye(t *testing.T) {
	inBubble(t, &HubOptions{Authorize: kickable}, func(t *testing.T, n *network, h *Hub) {
		made := make(chan struct{})
		mustTopic(t, h, "feed", Position{"e1", 0}, &TopicOptions{Snapshot: func(context.Context) (Position, any, error) {
			<-made
			return Position{"e1", 0}, "all", nil
		}})
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": nil})
		synctest.Wait()
		h.Kick("l")
		synctest.Wait() // the writer is at the goodbye
		close(made)
		synctest.Wait()
		c.want("bye")
		if _, data, err := c.ws.ReadMessage(); err == nil {
			t.Errorf("behind the goodbye came %s", data)
		}
	})
}
