package reliablews

import (
	"runtime"
	"testing"
	"time"
)

// packer is an outlet for compressed messages.
type packer struct{ outlet }

func (packer) packs() bool { return true }

// Packing takes time: neither who publishes nor who reads or writes beside waits
// for it.
func TestNobodyWaitsWhileAMessageIsPacked(t *testing.T) {
	h := NewHub(&HubOptions{Compression: true})
	defer h.Shutdown(t.Context())
	topic := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
	mustPublish(t, topic, 1)
	c := h.newConn(packer{}, nil, 0, "")
	s := &subscription{conn: c, topic: topic, slot: -1, ready: true}
	c.subs, c.writing = []*subscription{s}, true

	// Somebody packs the message, and takes his time.
	began, release := make(chan struct{}), make(chan struct{})
	packed := topic.replay.messages[0].packed
	go packed.once.Do(func() {
		close(began)
		<-release
		packed.wire = []byte("packed")
	})
	<-began
	collected := make(chan [][]byte, 1)
	go func() {
		pieces, _, _ := c.collect(nil)
		collected <- pieces
	}()
	waits := func() bool { // for the message, without a lock
		if !c.mu.TryLock() {
			return false
		}
		defer c.mu.Unlock()
		if !topic.mu.TryLock() {
			return false
		}
		defer topic.mu.Unlock()
		return s.cursor == 1
	}
	for since := time.Now(); !waits(); runtime.Gosched() {
		if time.Since(since) > 20*time.Second { // it will not come
			t.Error("a lock is held while a message is packed")
			break
		}
	}
	close(release)
	if pieces := <-collected; len(pieces) != 1 || string(pieces[0]) != "packed" {
		t.Errorf("collected %q", pieces)
	}
}
