package storetest

import (
	"cmp"
	"sync"

	"github.com/contestkit/contestkit/atomicstore"
)

// readers: a published state is cloned by one goroutine, and changed in the
// clone, while others read and clone it. The race detector sees what is wrong
// with that; without it little is seen.
func readers[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	s := x.fresh()
	for step := range x.living() {
		text := x.text(s)
		after, events := x.live(x.clone(s), step)
		decoded := x.decode(events)
		var group sync.WaitGroup
		var read, written *fault
		group.Go(func() {
			read = caught(func() {
				x.must(s, text, "A state that others clone is not what it was.", adviseClone)
				x.clone(s)
			})
		})
		group.Go(func() {
			written = caught(func() { x.apply(x.clone(s), decoded) })
		})
		group.Wait()
		if f := cmp.Or(read, written); f != nil {
			panic(f)
		}
		s = after
	}
}
