// Package storetest tests a program's own state and Apply: whether they keep
// what atomicstore.Open asks of them, and whether they survive every accident
// in a store.
//
//	func TestVotes(t *testing.T) {
//		storetest.Run(t, storetest.Machine[*Votes, Event]{
//			New:   NewVotes,
//			Apply: Apply,
//			Step: func(r *rand.Rand, v *Votes) ([]Event, error) {
//				return v.Vote([]string{"dragon", "rose", "skull"}[r.IntN(3)])
//			},
//		})
//	}
//
// Run makes random histories of steps, and tries on them, each rule with what
// the ones before it have found to be right:
//
//   - decide: deciding leaves the state alone, and can be done again;
//   - clone: changing a clone does not change its origin, nor another clone,
//     nor the other way round;
//   - readers: a state is cloned while others read it (with -race);
//   - determinism: the same events make the same state, as replay has it;
//   - snapshot: a state that is read from its JSON is the same, and goes on the
//     same;
//   - events: an event says the same after JSON;
//   - crashes: in a real store, on a simulated disk that loses power or fails
//     at some operation, everything acknowledged is there again, in order, and
//     nothing else; of updates that were made at the same time, and that were
//     not acknowledged, each is there whole or not at all.
//
// A failure tells what is wrong, the rule, the shortest history it has found,
// what to do about it, and how to see it again. The rules after it are skipped:
//
//	Changing a clone changes its origin.
//	    rule: a state and its clones are independent, in every direction
//	    step 1: {"voted":{"for":"rose"}}
//	    it is: {"count":{"rose":1},"closed":false}
//	    it should be: {"count":{},"closed":false}
//	The two share a map, a slice or a pointer that Apply writes to. [...]
//	To see it again: STORETEST_SEED=3141592653 go test -run '^TestVotes$/^clone$'
//
// The histories are others at each run, so that many runs find more than one
// (-count=1 runs again what go test remembers as passed).
// What Step does not do is not tried: let it make every kind of event, and
// choose from few names and ids, so that the same are met again. With -v each
// sub-test prints how often it made what.
//
// Machine.Options is what the program gives to Open, Upgrade and Import with it.
//
// The package needs nothing but the standard library and atomicstore.
package storetest
