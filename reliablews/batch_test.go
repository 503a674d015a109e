package reliablews

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestMessagesWaitForOthersIfTheyMay(t *testing.T) {
	inBubble(t, &HubOptions{BatchDelay: 20 * time.Millisecond}, func(t *testing.T, n *network, h *Hub) {
		topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
		c := n.connect(t)
		c.hello(map[string]*Position{"feed": {"e1", 0}})
		synctest.Wait()
		writes := h.Stats().Writes
		for round := range uint64(2) {
			began := time.Now()
			go func() {
				for i := range uint64(10) {
					mustPublish(t, topic, 10*round+i+1)
					advance(time.Millisecond)
				}
			}()
			for i := range uint64(10) {
				if f := c.want("msg"); f.O != 10*round+i+1 {
					t.Errorf("got %+v", f)
				}
				if got := time.Since(began); got != 20*time.Millisecond {
					t.Errorf("message %d came after %s", i+1, got)
				}
			}
			synctest.Wait()
		}
		if got := h.Stats().Writes - writes; got != 2 {
			t.Errorf("%d writes, want one for ten messages", got)
		}
	})
}

// BenchmarkBatchDelay is why the default is none: what a delay saves in writes
// against the latency that it costs. 200 connections, 500 single messages a
// second, each of 128 bytes.
func BenchmarkBatchDelay(b *testing.B) {
	const connections, rate = 200, 500
	for _, delay := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		b.Run(delay.String(), func(b *testing.B) {
			h := NewHub(&HubOptions{BatchDelay: delay})
			server := httptest.NewServer(h)
			defer server.Close()
			defer h.Shutdown(b.Context())
			topic, err := h.Topic("bench", Position{Epoch: "e1"}, nil)
			if err != nil {
				b.Fatal(err)
			}
			d := &websocket.Dialer{Subprotocols: []string{Subprotocol}}
			var clients, ready sync.WaitGroup
			published := make([]time.Time, b.N+1)
			var mu sync.Mutex
			var delays []time.Duration
			for range connections {
				ws, _, err := d.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
				if err != nil {
					b.Fatal(err)
				}
				defer ws.Close()
				if err := ws.WriteJSON(clientFrame{T: "hello", Topics: map[string]*Position{"bench": {"e1", 0}}}); err != nil {
					b.Fatal(err)
				}
				ready.Add(1)
				clients.Go(func() {
					if _, _, err := ws.ReadMessage(); err != nil {
						b.Error(err)
					}
					ready.Done()
					for range b.N {
						_, data, err := ws.ReadMessage()
						if err != nil {
							b.Error(err)
							return
						}
						var n int
						fmt.Sscanf(string(data[strings.Index(string(data), `"o":`)+4:]), "%d", &n)
						mu.Lock()
						delays = append(delays, time.Since(published[n]))
						mu.Unlock()
					}
				})
			}
			ready.Wait()
			text := strings.Repeat("x", 128)
			writes := h.Stats().Writes
			ticker := time.NewTicker(time.Second / rate)
			defer ticker.Stop()
			b.ResetTimer()
			for i := range b.N {
				<-ticker.C
				mu.Lock()
				published[i+1] = time.Now()
				mu.Unlock()
				if err := topic.Publish(uint64(i+1), text); err != nil {
					b.Fatal(err)
				}
			}
			clients.Wait()
			b.StopTimer()
			slices.Sort(delays)
			b.ReportMetric(float64(h.Stats().Writes-writes)/float64(b.N*connections), "writes/delivery")
			b.ReportMetric(float64(delays[len(delays)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
