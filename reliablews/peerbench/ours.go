package main

import (
	"fmt"
	"net/http"

	"github.com/contestkit/contestkit/reliablews"
)

type ours struct {
	hub   *reliablews.Hub
	topic *reliablews.Topic
	last  uint64
}

func startOurs(durable bool) (server, error) {
	s := &ours{hub: reliablews.NewHub(nil)}
	handleClientMessages(s.hub)
	opts := &reliablews.TopicOptions{HistoryMessages: historyMessages}
	if durable {
		opts.HistoryMessages = 10
		setDurableHistory(opts)
	}
	var err error
	s.topic, err = s.hub.Topic("bench", reliablews.Position{Epoch: "e1"}, opts)
	return s, err
}

func (s *ours) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.hub.ServeHTTP(w, r) }

func (s *ours) publish(messages []string) {
	for _, m := range messages {
		s.last++
		if err := s.topic.Publish(s.last, m); err != nil {
			panic(err) // offsets go up by one
		}
	}
}

func (s *ours) subscribers() int { return s.hub.Stats().Connections }

// String is shown with a profile.
func (s *ours) String() string {
	stats := s.hub.Stats()
	return fmt.Sprintf("%.1f messages in a write", float64(stats.Delivered)/float64(max(1, stats.Writes)))
}
