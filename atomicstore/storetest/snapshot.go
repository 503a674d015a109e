package storetest

import (
	"slices"
	"strings"

	"github.com/contestkit/contestkit/atomicstore"
)

const adviseSnapshot = "After a restart the store goes on with a state that was read from its JSON: everything that Apply or a decision looks at must be in it. " +
	"Fields that are not exported are left out unless there is MarshalJSON; a map that is left out comes back nil."

// snapshots: a state that was written as JSON and read again is the same, and
// goes on as the first would have.
func snapshots[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	s := x.fresh()
	loaded := x.load(x.text(s))
	x.same(loaded, s, "A new state is another after JSON.", adviseSnapshot)
	for step := range x.living() {
		before := x.text(s)
		after, events := x.live(s, step)
		var afterLoaded S
		var eventsLoaded []string
		x.quietly(func() { afterLoaded, eventsLoaded = x.live(loaded, step) })
		if !slices.Equal(events, eventsLoaded) {
			one, other := apart(strings.Join(events, " "), strings.Join(eventsLoaded, " "))
			x.fail("A state that was read from its JSON decides otherwise.", adviseSnapshot,
				fact{"its JSON", around(x.text(s), 0)}, fact{"the state decides", one}, fact{"read again, it decides", other})
		}
		x.same(afterLoaded, after, "Apply does something else to a state that was read from its JSON.", adviseSnapshot)
		if len(events) > 0 {
			// Open and At apply the log to what they have read, without Clone.
			replayed := x.load(before)
			x.apply(replayed, x.decode(events))
			x.same(replayed, after, "Apply does something else to a state that was read from its JSON and not cloned.", adviseSnapshot)
		}
		s, loaded = after, x.load(x.text(afterLoaded))
		x.same(loaded, s, "A state is another after JSON.", adviseSnapshot)
	}
}
