package storetest

import (
	"slices"

	"github.com/contestkit/contestkit/atomicstore"
)

const adviseEvents = "The store applies what it has decoded from the log. What Apply looks at must be in the JSON: exported fields, no json:\"-\", " +
	"no omitempty where empty is not absent, no precision that the JSON does not have."

// events: an event says the same after JSON as before.
func events[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	s := x.fresh()
	for step := range x.living() {
		decided, _ := x.decide(s, step)
		lines := x.encode(decided)
		decoded := x.decode(lines)
		x.tell(lines, nil)
		if again := x.encode(decoded); !slices.Equal(lines, again) {
			i := 0
			for lines[i] == again[i] {
				i++
			}
			one, other := apart(lines[i], again[i])
			x.fail("An event is another after JSON.", adviseEvents, fact{"before", one}, fact{"after", other})
		}
		asDecided, asDecoded := x.clone(s), x.clone(s)
		refused, refusedDecoded := x.apply(asDecided, decided), x.apply(asDecoded, decoded)
		if (refused == nil) != (refusedDecoded == nil) {
			x.fail("Apply takes an event and refuses what it is after JSON, or the other way round.", adviseEvents,
				fact{"as decided", verdict(refused)}, fact{"after JSON", verdict(refusedDecoded)})
		}
		if refused == nil {
			x.same(asDecoded, asDecided, "Apply does something else with an event after JSON.", adviseEvents)
		}
		s, _ = x.live(s, step)
	}
}

func verdict(err error) string {
	if err != nil {
		return "refused: " + err.Error()
	}
	return "taken"
}
