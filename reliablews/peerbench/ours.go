package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/contestkit/contestkit/reliablews"
)

type ours struct {
	hub     *reliablews.Hub
	topic   *reliablews.Topic
	durable *durable // nil when memory holds everything
	last    uint64
}

func startOurs(readBack bool) (server, error) {
	s := &ours{hub: reliablews.NewHub(&reliablews.HubOptions{
		MaxPerAddress: 10_000, // all clients are of one address
		MaxFrameRate:  -1,     // nobody else has such a bound
	})}
	s.hub.Handle("ask", func(_ context.Context, r *reliablews.Request) (any, error) { return r.Data, nil })
	opts := &reliablews.TopicOptions{HistoryMessages: historyMessages}
	var err error
	if readBack {
		if s.durable, err = newDurable(); err != nil {
			return nil, err
		}
		opts.HistoryMessages = 10
		opts.History = s.durable.read
	}
	s.topic, err = s.hub.Topic("bench", reliablews.Position{Epoch: "e1"}, opts)
	return s, err
}

func (s *ours) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.hub.ServeHTTP(w, r) }

func (s *ours) publish(messages []string) {
	for _, m := range messages {
		s.last++
		if s.durable != nil {
			if err := s.durable.add(m); err != nil {
				panic(err) // a bench without its disk is over
			}
		}
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
