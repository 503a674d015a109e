package reliablews_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/contestkit/contestkit/reliablews"
)

func Example() {
	hub := reliablews.NewHub(nil)
	server := httptest.NewServer(hub) // or http.Handle("/ws", hub)
	defer server.Close()
	defer hub.Shutdown(context.Background())

	ticks, err := hub.Topic("ticks", reliablews.Position{Epoch: "today"}, nil)
	if err != nil {
		panic(err)
	}
	ticks.Publish(1, "one") // before anyone listens
	ticks.Publish(2, "two")

	ctx, stop := context.WithCancel(context.Background())
	client := reliablews.NewClient(strings.Replace(server.URL, "http", "ws", 1), &reliablews.ClientOptions{
		Topics: map[string]reliablews.Position{"ticks": {Epoch: "today", Offset: 1}}, // has the first one
		OnMessage: func(m reliablews.Message) {
			fmt.Println(m.Position.Offset, string(m.Data))
			stop()
		},
	})
	client.Run(ctx) // through every lost connection, until ctx ends
	// Output: 2 "two"
}
