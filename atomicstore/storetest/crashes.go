package storetest

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// accidents is how many a history goes through, after one life without any.
const accidents = 8

// crashes: in a real store, on a disk that loses power or fails at any of its
// operations, every acknowledged change is there again, in order, and nothing
// else but those that were under way, each whole or not at all.
func crashes[S atomicstore.Cloner[S], E any](x *trial[S, E]) {
	rng := rand.New(rand.NewPCG(x.seed, 2))
	operations := 0
	x.inBubble(func() {
		operations = x.survive(accident{name: "power cut after Close", keep: crashfs.KeepNone})
	})
	for range accidents {
		x.inBubble(func() { x.survive(newAccident(rng, operations)) })
	}
}

// inBubble runs f where time stands still, so that the operations on the disk
// are the same each time.
func (x *trial[S, E]) inBubble(f func()) {
	var found *fault
	synctest.Test(x.t, func(*testing.T) { found = caught(f) })
	if found != nil {
		panic(found)
	}
}

// accident happens to a disk at one of its operations, the first being 1; with
// none it happens after the last.
type accident struct {
	name string
	at   int
	keep func() bool // what a power cut leaves of what was not synced; nil if it is none
	err  error       // of the operation, if it is no power cut
}

func newAccident(rng *rand.Rand, operations int) accident {
	a := accident{at: 1 + rng.IntN(operations)}
	switch rng.IntN(6) {
	case 0:
		a.name, a.keep = "power cut at operation %d, the disk kept all that was written", crashfs.KeepAll
	case 1:
		a.name, a.keep = "power cut at operation %d, the disk kept what was synced alone", crashfs.KeepNone
	case 2, 3:
		a.name, a.keep = "power cut at operation %d, the disk kept some of what was not synced", crashfs.KeepSome(rng.Uint64())
	case 4:
		a.name, a.err = "an error of the disk at operation %d", syscall.EIO
	case 5:
		a.name, a.err = "a short write at operation %d", crashfs.ErrShortWrite
	}
	a.name = fmt.Sprintf(a.name+" of %d", a.at, operations)
	return a
}

// survive lives the history on a disk that has an accident, opens what is left,
// goes on, and loses power once more. It returns how many operations the
// history took.
func (x *trial[S, E]) survive(a accident) (operations int) {
	disk := crashfs.New()
	if a.err != nil {
		disk.FailAt, disk.FailErr = a.at, a.err
	} else {
		disk.CrashAt = a.at
	}
	l := newLife(x, disk)
	left := l.live(a)
	operations = disk.Ops

	if x.spoil != nil {
		x.spoil(left)
	}
	l.disk = left
	store := l.open(a)
	defer store.Close()
	var more []uint64
	for i, step := range x.steps[:min(3, len(x.steps))] {
		more = append(more, step+uint64(i)+1)
	}
	for _, group := range groups(more) {
		l.update(store, group)
	}
	cut := l.disk.AfterCrash(crashfs.KeepNone)
	store.Close()
	l.disk = cut
	l.open(accident{name: a.name + "; later another power cut, the disk kept what was synced alone"}).Close()
	if l.options.Import != nil {
		l.replace()
	}
	return operations
}
