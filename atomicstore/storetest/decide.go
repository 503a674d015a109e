package storetest

import (
	"slices"

	"github.com/contestkit/contestkit/atomicstore"
)

const adviseDecide = "A decision reads the state and returns events; only Apply changes the state, which is the clone by then. " +
	"Mind slices and maps that a method of the state hands out without copying: sorting one changes the state."

// decides: deciding leaves the state alone, also when it refuses, and gives the
// same again, since a store may run it again.
func decides[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	s := x.fresh()
	for step := range x.living() {
		text, kept := x.text(s), x.clone(s)
		x.same(kept, s, notEqual, adviseCopy) // or it would be laid at the decision's door
		unchanged := func(what string) {
			x.must(s, text, what, adviseDecide)
			x.equal(kept, s, what, adviseDecide)
		}
		first, refused := x.decide(s, step)
		lines := x.encode(first)
		x.tell(lines, refused)
		if refused != nil {
			unchanged("A decision that refuses has changed the state.")
		}
		unchanged("A decision has changed the state.")
		second, refusedAgain := x.decide(s, step)
		again := x.encode(second)
		if !slices.Equal(lines, again) || (refused == nil) != (refusedAgain == nil) {
			one, other := apart(outcome(lines, refused), outcome(again, refusedAgain))
			x.fail("The same decision on the same state gives something else the second time.",
				"A store may run a decision again. Step must take ids, times and choices from its r, and a decision from what it was given.",
				fact{"first", one}, fact{"second", other})
		}
		s, _ = x.live(s, step)
	}
}
