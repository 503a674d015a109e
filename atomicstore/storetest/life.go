package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

const adviseCrash = "Without a store the machine did the same each time. Look for what Step or Apply take from outside of the state and the event; " +
	"if there is nothing, this is a fault of atomicstore, and the line below is all that is needed to report it."

// life is a machine in a store, and beside it what must be there after
// anything that happens to the disk.
type life[S atomicstore.Cloner[S], E any] struct {
	x     *trial[S, E]
	disk  *crashfs.Disk
	state S          // after the acknowledged changes, made without a store
	texts []string   // the state after each number of changes, as JSON
	log   [][]string // the events of each change

	underWay []string // the events of a change of unknown outcome
	then     S        // the state with it
}

func newLife[S atomicstore.Cloner[S], E any](x *trial[S, E], d *crashfs.Disk) *life[S, E] {
	x.story = nil
	s := x.fresh()
	return &life[S, E]{x: x, disk: d, state: s, texts: []string{x.text(s)}}
}

func (l *life[S, E]) start() (*atomicstore.Store[S, E], error) {
	o := &atomicstore.Options{
		SegmentBytes:      4 << 10, // so that there are several
		BackupDir:         "/backups",
		KeepModifications: 1 << 20, // all, to compare them
	}
	o.FS = l.disk
	return atomicstore.Open(l.x.dir, l.x.fresh(), l.x.Apply, o)
}

// live does all steps, half of them before the store is closed and opened
// again, and returns the disk as the accident leaves it.
func (l *life[S, E]) live(a accident) *crashfs.Disk {
	half := len(l.x.steps) / 2
	l.run(l.x.steps[:half])
	if l.underWay == nil {
		l.run(l.x.steps[half:])
	}
	if a.err != nil {
		l.disk.FailAt = 0
		return l.disk
	}
	return l.disk.AfterCrash(a.keep)
}

// run opens the store, does steps until the accident, and closes it.
func (l *life[S, E]) run(steps []uint64) {
	store, err := l.start()
	if err != nil {
		l.excuse(err)
		return
	}
	defer store.Close()
	for i, step := range steps {
		if !l.update(store, step) {
			return
		}
		if i%5 == 4 {
			store.Checkpoint(context.Background()) // may fail, and is tried again
		}
	}
}

// excuse ends the trial with an error that no accident explains.
func (l *life[S, E]) excuse(err error) {
	l.disk.Lock()
	defer l.disk.Unlock()
	happened := l.disk.CrashAt > 0 && l.disk.Ops >= l.disk.CrashAt || l.disk.FailErr != nil && l.disk.Ops >= l.disk.FailAt
	if !happened {
		l.x.fail("A store cannot work with the machine.", adviseCrash, fact{"error", err.Error()})
	}
}

// update does a step in the store and beside it. It returns false when the
// store takes no more.
func (l *life[S, E]) update(store *atomicstore.Store[S, E], step uint64) bool {
	x := l.x
	x.begin()
	after, lines := x.live(l.state, step)
	at, err := store.Update(context.Background(), func(s S) ([]E, error) { return x.decide(s, step) })
	var panicked *atomicstore.PanicError
	switch {
	case errors.As(err, &panicked):
		if f, ok := panicked.Value.(*fault); ok {
			panic(f)
		}
		x.fail("In a store, the machine panics.", adviseCrash, fact{"panic", fmt.Sprint(panicked.Value)})
	case errors.Is(err, atomicstore.ErrFailed):
		l.excuse(err)
		l.underWay, l.then = lines, after
		return false
	case errors.Is(err, atomicstore.ErrUnknownKind):
		x.fail("A store refuses an event.", "An event that is a struct of pointers is a union: Step must set exactly one of them.", fact{"error", err.Error()})
	case len(lines) == 0: // refused, or nothing to do
		return true
	case err != nil:
		x.fail("A store refuses what the machine takes.", adviseCrash, fact{"error", err.Error()})
	}
	l.note(after, lines)
	state, _ := store.State()
	x.must(state, l.texts[len(l.log)], "In a store the state is another than without one.", adviseCrash)
	if at.Seq != uint64(len(l.log)) {
		x.fail("A store counts other changes than the machine makes.", adviseCrash, fact{"position", at.String()}, fact{"changes", fmt.Sprint(len(l.log))})
	}
	return true
}

// note adds a change that is on disk.
func (l *life[S, E]) note(after S, lines []string) {
	l.state = after
	l.log = append(l.log, lines)
	l.texts = append(l.texts, l.x.text(after))
}

// open opens the store after an accident and compares everything in it.
func (l *life[S, E]) open(a accident) *atomicstore.Store[S, E] {
	x, after := l.x, fact{"accident", a.name}
	store, err := l.start()
	if err != nil {
		x.fail("The store does not open after an accident.", adviseCrash, after, fact{"error", err.Error()})
	}
	if f := caught(func() { l.compare(store, after) }); f != nil {
		store.Close()
		panic(f)
	}
	return store
}

func (l *life[S, E]) compare(store *atomicstore.Store[S, E], after fact) {
	x := l.x
	state, at := store.State()
	if l.underWay != nil && at.Seq == uint64(len(l.log))+1 {
		l.note(l.then, l.underWay) // it had reached the disk, whole
	}
	l.underWay = nil
	x.must(state, l.texts[len(l.log)], "After an accident the store holds something else than it acknowledged.", adviseCrash, after)
	if at.Seq != uint64(len(l.log)) {
		x.fail("After an accident the store holds another number of changes than it acknowledged.", adviseCrash, after,
			fact{"position", at.String()}, fact{"acknowledged", fmt.Sprint(len(l.log))})
	}
	if len(l.log) == 0 {
		return
	}
	n := 0
	for change, err := range store.Changes(context.Background(), atomicstore.Position{}) {
		if err != nil {
			x.fail("After an accident the changes cannot be read.", adviseCrash, after, fact{"error", err.Error()})
		}
		if got := x.encode(change.Events); !slices.Equal(got, l.log[n]) {
			one, other := apart(strings.Join(got, " "), strings.Join(l.log[n], " "))
			x.fail("After an accident a change is not the one that was acknowledged.", adviseCrash, after,
				fact{"change", fmt.Sprint(n + 1)}, fact{"it is", one}, fact{"it should be", other})
		}
		if n++; n == len(l.log) {
			break
		}
	}
	back := len(l.log) / 2
	old, err := store.At(context.Background(), uint64(back))
	if err != nil {
		x.fail("After an accident an earlier state cannot be read.", adviseCrash, after, fact{"error", err.Error()})
	}
	x.must(old, l.texts[back], "After an accident an earlier state is not what it was.", adviseCrash, after, fact{"change", fmt.Sprint(back)})
}
