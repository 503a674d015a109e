package reliablews

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
