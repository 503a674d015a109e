package main

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
)

// event is what every peer makes durable: eventBytes bytes of JSON that set
// one key. It is a union, as a program's own events are.
type event struct {
	Put *put `json:"put,omitempty"`
}

type put struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

const (
	eventBytes = 200
	keyCount   = 4096 // keys that the events go round
)

// events are made before the clock starts.
var events = makeEvents()

func makeEvents() []event {
	list := make([]event, keyCount)
	for i := range list {
		e := event{Put: &put{Key: fmt.Sprintf("key-%06d", i)}}
		e.Put.Value = strings.Repeat("x", eventBytes-len(encode(e)))
		list[i] = e
	}
	return list
}

// encode is what peers that store bytes do before they store them.
func encode(e event) []byte {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err) // two strings always encode
	}
	return data
}
