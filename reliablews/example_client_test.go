package reliablews_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/contestkit/contestkit/reliablews"
)

// A loop takes what comes. The position is kept with what is done, so that the
// next run of the program goes on behind it.
func ExampleClient_Events() {
	client := reliablews.NewClient("wss://example.org/ws", &reliablews.ClientOptions{
		Topics: map[string]reliablews.Position{"feed": load()},
	})
	for event, err := range client.Events(context.Background()) {
		if err != nil {
			log.Fatal(err) // the server refuses this client for good
		}
		switch e := event.(type) {
		case reliablews.Message:
			save(e.Position, fmt.Sprintf("append %s", e.Data))
		case reliablews.Snapshot:
			save(e.Position, fmt.Sprintf("replace all by %s", e.Data))
		case reliablews.Gap:
			save(e.Position, "some are missing: "+e.Reason)
		}
	}
}

func load() reliablews.Position        { return reliablews.Position{} }
func save(reliablews.Position, string) {}

// Send returns when the server has handled the message, through every lost
// connection.
func ExampleClient_Send() {
	client, err := reliablews.Dial(context.Background(), "wss://example.org/ws", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := client.Send(ctx, "say", map[string]string{"text": "hello"})
	var refused *reliablews.ReplyError
	switch {
	case err == nil:
		fmt.Printf("handled: %s\n", answer)
	case errors.As(err, &refused):
		fmt.Println("not accepted:", refused.Text)
	case errors.Is(err, reliablews.ErrNotSent):
		fmt.Println("nothing has happened")
	case errors.Is(err, reliablews.ErrOutcomeUnknown):
		fmt.Println("it may have been handled")
	}
}
