package main

import (
	"bytes"
	"fmt"

	"github.com/contestkit/contestkit/reliablews"
)

// What reliablews does not have yet. Whoever adds it there fills in the function
// and says true; the measure, its targets and its test are here already.

// durableHistory makes opts read older messages from a file, and tells whether
// it can. Its caller publishes 100 messages, of which memory holds 10.
const durableHistory = false

func setDurableHistory(*reliablews.TopicOptions) {}

// clientMessages tells that a hub takes messages from clients and answers them
// when the handler has returned.
const clientMessages = false

func handleClientMessages(*reliablews.Hub) {}

func reliablewsAsk(n int) string {
	return fmt.Sprintf(`{"t":"send","id":"bench.%d","name":"ask","d":%s}`, n, asked)
}

func reliablewsAcked(text []byte) bool { return !bytes.Contains(text, []byte(`"t":"ping"`)) }
