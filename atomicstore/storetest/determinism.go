package storetest

import "github.com/contestkit/contestkit/atomicstore"

// replays is how often a history is replayed: two keys of a map come out in one
// order that often with a probability of one in a million.
const replays = 20

const adviseDeterminism = "Apply may depend on the state and the event alone: no time.Now, no random numbers, no order of a map (sort the keys first), " +
	"no variables outside of the state. Decide such things before Update and put them into the event."

// determinism: the same events applied to new states give equal states, since
// that is how Open makes the state from the log.
func determinism[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	s := x.fresh()
	empty := x.text(s)
	x.must(x.fresh(), empty, "New gives another state each time.", "Replay begins with it: a new state depends on nothing.")
	var log []string
	for step := range x.living() {
		var events []string
		s, events = x.live(s, step)
		log = append(log, events...)
	}
	for range replays {
		again := x.fresh()
		x.must(again, empty, "New gives a state that was used before.", "It must make a new one at each call, sharing nothing with others.")
		if err := x.apply(again, x.decode(log)); err != nil {
			x.fail("Apply refuses in replay what it took before.", adviseDeterminism, fact{"error", err.Error()})
		}
		x.same(again, s, "Apply made two different states of the same events.", adviseDeterminism)
	}
}
