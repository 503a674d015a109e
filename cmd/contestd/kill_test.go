package main

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// TestNoAcknowledgedEntryIsLostByAKill kills the server in the middle of the
// load, again and again, and looks for every entry it answered with 201, with
// its photo.
func TestNoAcknowledgedEntryIsLostByAKill(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex // guards acknowledged
	acknowledged := map[string]string{}
	for round := range 10 {
		s := startProcess(t, dir, 0)
		enough := make(chan struct{})
		var answers int
		var senders sync.WaitGroup
		for sender := range 4 {
			senders.Go(func() {
				v := s.visitor()
				defer v.CloseIdleConnections()
				for i := 0; ; i++ {
					contentType, body := newEntry(strconv.Itoa(round) + "." + strconv.Itoa(sender) + "." + strconv.Itoa(i)).
						form(jpegPhoto(t, 1+i%50))
					r, err := http.NewRequest("POST", s.url("/api/submit"), bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("Content-Type", contentType)
					a, err := v.try(r)
					if err != nil {
						return // killed
					}
					if a.Status != http.StatusCreated {
						t.Errorf("submit: %s", a)
						return
					}
					e := a.json(t)["entry"].(map[string]any)
					mu.Lock()
					acknowledged[e["id"].(string)] = e["imageUrl"].(string)
					if answers++; answers == 20+3*round {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		s.left(syscall.SIGKILL) // while the senders go on
		senders.Wait()
		if t.Failed() {
			return
		}
	}

	s := startServer(t, dir, 0)
	v := s.visitor()
	feed := v.feedIDs("best")
	for id, photo := range acknowledged {
		if !slices.Contains(feed, id) {
			t.Errorf("entry %s was acknowledged and is not in the feed", id)
		}
		if a := v.get(photo); a.Status != http.StatusOK || len(a.Body) == 0 {
			t.Errorf("the photo of entry %s answers %d", id, a.Status)
		}
	}
	slices.Sort(feed)
	if n := len(feed); n != len(slices.Compact(feed)) {
		t.Error("an entry is in the feed twice")
	}
	t.Logf("%d entries acknowledged, %d in the feed", len(acknowledged), len(feed))
}
