package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing/synctest"

	"github.com/contestkit/contestkit/atomicstore"
)

// most is how many updates are made at the same time at most.
const most = 4

// groups divides steps into those that are made at the same time. A step says
// itself whether it joins the one before it, so that it does so as well when
// others are taken out.
func groups(steps []uint64) (list [][]uint64) {
	for i, step := range steps {
		if i == 0 || step%3 == 0 || len(list[len(list)-1]) == most {
			list = append(list, nil)
		}
		list[len(list)-1] = append(list[len(list)-1], step)
	}
	return list
}

// answer is what a store says of an update.
type answer struct {
	step  uint64
	order int // in which the store decided it
	at    atomicstore.Position
	err   error
}

// together makes updates that meet in one batch, and returns the answers in the
// order in which the store decided: those that it refused to take are left out.
// The first holds the store up until the others wait, one behind the other, so
// that the same happens each time.
func (l *life[S, E]) together(store *atomicstore.Store[S, E], steps []uint64) []*answer {
	var answers []*answer
	var writers sync.WaitGroup
	decided, gathered := 0, make(chan struct{})
	for _, step := range steps {
		a := &answer{step: step}
		answers = append(answers, a)
		writers.Go(func() {
			a.at, a.err = store.Update(context.Background(), func(s S) ([]E, error) {
				<-gathered
				decided++ // in the store's one goroutine
				a.order = decided
				return l.x.decide(s, step)
			})
		})
		synctest.Wait()
	}
	close(gathered)
	writers.Wait()
	answers = slices.DeleteFunc(answers, func(a *answer) bool {
		if a.order == 0 && !errors.Is(a.err, atomicstore.ErrOverloaded) { // by Options.QueueLimit
			l.excuse(a.err)
		}
		return a.order == 0
	})
	slices.SortFunc(answers, func(a, b *answer) int { return cmp.Compare(a.order, b.order) })
	return answers
}
