package storetest_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/storetest"
)

// Votes is a state as a program has it.
type Votes struct {
	Count  map[string]int `json:"count"`
	Closed bool           `json:"closed"`
}

func NewVotes() *Votes { return &Votes{Count: map[string]int{}} }

func (v *Votes) Clone() *Votes { return &Votes{maps.Clone(v.Count), v.Closed} }

// Event is what can happen to it: one of the fields is set.
type Event struct {
	Voted  *Voted  `json:"voted,omitempty"`
	Closed *Closed `json:"closed,omitempty"`
}

type Voted struct {
	For string `json:"for"`
}

type Closed struct{}

func Apply(v *Votes, e Event) error {
	switch {
	case e.Voted != nil:
		v.Count[e.Voted.For]++
	case e.Closed != nil:
		v.Closed = true
	}
	return nil
}

var ErrClosed = errors.New("the vote is closed")

// Vote and Close decide what the program gives to Update.
func (v *Votes) Vote(name string) ([]Event, error) {
	if v.Closed {
		return nil, ErrClosed
	}
	return []Event{{Voted: &Voted{For: name}}}, nil
}

func (v *Votes) Close() ([]Event, error) { return []Event{{Closed: &Closed{}}}, nil }

// decide makes any of the decisions, for one of a few names, so that they meet.
func decide(r *rand.Rand, v *Votes) ([]Event, error) {
	if r.IntN(10) == 0 {
		return v.Close()
	}
	return v.Vote([]string{"dragon", "rose", "skull"}[r.IntN(3)])
}

func ExampleRun() {
	// The body of a func TestVotes(t *testing.T):
	votes := func(t *testing.T) {
		storetest.Run(t, storetest.Machine[*Votes, Event]{
			New:   NewVotes,
			Apply: Apply,
			Step:  decide,
		})
	}
	_ = votes
}

func TestVotes(t *testing.T) {
	storetest.Run(t, storetest.Machine[*Votes, Event]{New: NewVotes, Apply: Apply, Step: decide})
}
