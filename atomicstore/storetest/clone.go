package storetest

import "github.com/contestkit/contestkit/atomicstore"

const adviseClone = "The two share a map, a slice or a pointer that Apply writes to. Clone must copy it, or Apply must replace it instead of changing it; " +
	"appending to a slice needs slices.Clip on what is shared; a copy on write must be made by both."

const notEqual = "A clone is not equal to its origin."

const adviseCopy = "Clone must copy everything that the state has. Nil and empty are two things in JSON, null and [] or {}."

// clones: a state and its clones are independent, in every direction.
func clones[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	s := x.fresh()
	type version struct {
		state S
		text  string
	}
	var published []version
	for step := range x.living() {
		text := x.text(s)
		published = append(published, version{s, text})
		x.same(x.clone(s), s, notEqual, adviseCopy)

		after, _ := x.live(s, step) // in a clone
		x.must(s, text, "Changing a clone changes its origin.", adviseClone)

		changed := x.text(after)
		x.change(x.clone(s), step+1)
		x.must(s, text, "Changing a clone changes its origin.", adviseClone)
		x.must(after, changed, "Changing a clone changes another clone of the same origin.", adviseClone)

		origin := x.clone(s)
		x.change(origin, step+2) // written to, so it may take what it has for its own
		written, kept := x.text(origin), x.clone(origin)
		x.same(kept, origin, notEqual, adviseCopy)
		x.change(origin, step+3)
		x.must(kept, written, "Changing a state changes its clone.", adviseClone)
		s = after
	}
	for _, v := range published {
		x.must(v.state, v.text, "A state changed after it was cloned.", adviseClone)
	}
}

// change does a step to a state itself. If Apply refuses, the state may be
// changed in part, and nothing that shares with it may be.
func (x *trial[S, E]) change(s S, step uint64) {
	events, _ := x.decide(s, step)
	x.apply(s, x.decode(x.encode(events)))
}
