package atomicstore_test

import (
	"context"
	"fmt"
	"os"

	"github.com/contestkit/contestkit/atomicstore"
)

type Votes struct{ Count map[string]int }

func (v *Votes) Clone() *Votes {
	copied := &Votes{Count: map[string]int{}}
	for name, n := range v.Count {
		copied.Count[name] = n
	}
	return copied
}

type Vote struct{ For string }

func Example() {
	dir, _ := os.MkdirTemp("", "votes")
	defer os.RemoveAll(dir)

	apply := func(v *Votes, e Vote) error { v.Count[e.For]++; return nil }
	store, err := atomicstore.Open(dir, &Votes{Count: map[string]int{}}, apply, nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()

	at, err := store.Update(context.Background(), func(v *Votes) ([]Vote, error) {
		return []Vote{{For: "dragon"}}, nil // or an error, and nothing happens
	})
	votes, _ := store.State() // on disk already, and never waits
	fmt.Println(votes.Count["dragon"], at.Seq, err)
	// Output: 1 1 <nil>
}
