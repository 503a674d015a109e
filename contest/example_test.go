package contest_test

import (
	"fmt"
	"time"

	"github.com/contestkit/contestkit/contest"
)

func Example() {
	state := contest.NewState()
	events, err := state.Submit(contest.Submit{
		Meta:     contest.Meta{By: "visitor", At: time.Now(), Request: "4711"},
		ID:       "a1",
		Category: "worst",
		Caption:  "No ragrets",
		Name:     "Sam",
		Phone:    "555 0100",
		Photo:    contest.Photo{ID: "p1", URL: "/uploads/p1"},
	})
	if err != nil {
		fmt.Println(err) // says which field, and what to do
	}
	for _, event := range events {
		err = contest.Apply(state, event)
	}
	for _, entry := range contest.PublicFeed(state).Feed["worst"] {
		fmt.Printf("#%d %s by %s\n", entry.Number, entry.Caption, entry.Artist) // never by name
	}
	// Output: #1 No ragrets by Anonymous Artist
}
