package reliablews_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"strings"

	"github.com/contestkit/contestkit/reliablews"
)

// A client asks and is answered when the handler has returned; and the server
// writes to that client alone.
func ExampleHub_Handle() {
	hub := reliablews.NewHub(nil)
	server := httptest.NewServer(hub)
	defer server.Close()
	defer hub.Shutdown(context.Background())

	hub.Handle("vote", func(ctx context.Context, r *reliablews.Request) (any, error) {
		var vote struct{ For string }
		if err := json.Unmarshal(r.Data, &vote); err != nil || vote.For == "" {
			return nil, &reliablews.ReplyError{Refused: "incomplete", Text: "Say what the vote is for."}
		}
		// Handled once while the session lives. What must not happen twice even
		// after a restart of the server is recorded with r.ID where it is durable.
		return map[string]int{"votes": 1}, hub.Send(r.Session, "thank you")
	})

	direct := make(chan string, 1)
	client, err := reliablews.Dial(context.Background(), strings.Replace(server.URL, "http", "ws", 1), &reliablews.ClientOptions{
		OnDirect: func(m reliablews.Message) { direct <- string(m.Data) },
	})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	answer, err := client.Send(context.Background(), "vote", map[string]string{"for": "dragon"})
	fmt.Println(string(answer), err, <-direct)
	_, err = client.Send(context.Background(), "vote", nil)
	fmt.Println(err)
	// Output:
	// {"votes":1} <nil> "thank you"
	// reliablews: the server refused the message: incomplete: Say what the vote is for.
}

// A topic holds a few messages; what is older is read back from where it is
// durable, here a slice.
func ExampleTopicOptions_history() {
	var log []string // what a database would hold: message n at n-1
	hub := reliablews.NewHub(nil)
	server := httptest.NewServer(hub)
	defer server.Close()
	defer hub.Shutdown(context.Background())

	topic, err := hub.Topic("news", reliablews.Position{Epoch: "2026"}, &reliablews.TopicOptions{
		HistoryMessages: 1,
		History: func(_ context.Context, after, upTo uint64) iter.Seq2[reliablews.HistoryMessage, error] {
			return func(yield func(reliablews.HistoryMessage, error) bool) {
				for n := after + 1; n <= upTo; n++ {
					if !yield(reliablews.HistoryMessage{Offset: n, Data: log[n-1]}, nil) {
						return
					}
				}
			}
		},
	})
	if err != nil {
		panic(err)
	}
	for _, text := range []string{"doors open", "first entry", "last entry"} {
		log = append(log, text) // durable first
		if err := topic.Publish(uint64(len(log)), text); err != nil {
			panic(err)
		}
	}

	ctx, stop := context.WithCancel(context.Background())
	client := reliablews.NewClient(strings.Replace(server.URL, "http", "ws", 1), &reliablews.ClientOptions{
		Topics: map[string]reliablews.Position{"news": {Epoch: "2026", Offset: 1}},
		OnMessage: func(m reliablews.Message) {
			fmt.Println(m.Position.Offset, string(m.Data))
			if m.Position.Offset == 3 {
				stop()
			}
		},
	})
	client.Run(ctx)
	// Output:
	// 2 "first entry"
	// 3 "last entry"
}
