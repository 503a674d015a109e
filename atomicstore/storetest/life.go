package storetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

const adviseCrash = "Without a store the machine did the same each time. Look for what Step or Apply take from outside of the state and the event; " +
	"if there is nothing, this is a fault of atomicstore, and the line below is all that is needed to report it."

const adviseUpgrade = "Options.Upgrade is given every event of the log that is not of a kind the program has, and each one if events have no kinds: " +
	"it must return today's as they are, and do the same each time. If it does: "

const adviseImport = "Options.Import is given whatever an operator puts there: the JSON of a state as well, which it must return as it is."

// life is a machine in a store, and beside it what must be there after
// anything that happens to the disk.
type life[S atomicstore.Cloner[S], E any] struct {
	x       *trial[S, E]
	options *atomicstore.Options
	advice  string // in case of a fault
	disk    *crashfs.Disk
	changes []change[S] // that were acknowledged
	unknown []change[S] // after them, in the order they were decided in
}

// change is one that was made in the store, as it is without one.
type change[S any] struct {
	events []string
	state  S      // after it
	text   string // its JSON
}

func newLife[S atomicstore.Cloner[S], E any](x *trial[S, E], d *crashfs.Disk) *life[S, E] {
	x.story = nil
	s := x.fresh()
	l := &life[S, E]{x: x, options: x.storeOptions(), advice: adviseCrash, disk: d, changes: []change[S]{{nil, s, x.text(s)}}}
	if l.options.Upgrade != nil {
		l.advice = adviseUpgrade + adviseCrash
	}
	return l
}

// last is the latest change that was acknowledged, made without a store; the
// first of all is no change, and has the new state.
func (l *life[S, E]) last() change[S] { return l.changes[l.seq()] }

// seq is the number of the latest change.
func (l *life[S, E]) seq() int { return len(l.changes) - 1 }

func (l *life[S, E]) start() (*atomicstore.Store[S, E], error) {
	l.options.FS = l.disk
	return atomicstore.Open(l.x.dir, l.x.fresh(), l.x.Apply, l.options)
}

// live does all steps, half of them before the store is closed and opened
// again, and returns the disk as the accident leaves it.
func (l *life[S, E]) live(a accident) *crashfs.Disk {
	half := len(l.x.steps) / 2
	l.run(l.x.steps[:half])
	if len(l.unknown) == 0 {
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
	for i, group := range groups(steps) {
		if !l.update(store, group) {
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
		l.x.fail("A store cannot work with the machine.", l.advice, fact{"error", err.Error()})
	}
}

// update does steps at the same time in the store, and one after the other
// beside it. It returns false when the store takes no more.
func (l *life[S, E]) update(store *atomicstore.Store[S, E], steps []uint64) bool {
	l.compareAnswers(l.together(store, steps))
	if len(l.unknown) > 0 || store.Err() != nil {
		return false
	}
	stored, _ := store.State()
	l.x.must(stored, l.last().text, "In a store the state is another than without one.", l.advice)
	return true
}

// compareAnswers lives, without a store, what one has answered.
func (l *life[S, E]) compareAnswers(answers []*answer) {
	x, state := l.x, l.last().state
	for i, a := range answers {
		x.begin()
		after, events := x.live(state, a.step)
		if i > 0 {
			x.amend(", at the same time")
		}
		l.judge(a, change[S]{events, after, x.text(after)})
		state = after
	}
}

// judge compares what a store says of an update with what it comes to without
// one.
func (l *life[S, E]) judge(a *answer, c change[S]) {
	x := l.x
	var panicked *atomicstore.PanicError
	switch {
	case errors.As(a.err, &panicked):
		if f, ok := panicked.Value.(*fault); ok {
			panic(f)
		}
		x.fail("In a store, the machine panics.", l.advice, fact{"panic", fmt.Sprint(panicked.Value)})
	case errors.Is(a.err, atomicstore.ErrFailed):
		l.excuse(a.err)
		if len(c.events) > 0 {
			l.unknown = append(l.unknown, c)
		}
	case errors.Is(a.err, atomicstore.ErrUnknownKind):
		x.fail("A store refuses an event.", "An event that is a struct of pointers is a union: Step must set exactly one of them.", fact{"error", a.err.Error()})
	case len(c.events) == 0: // refused, or nothing to do
	case a.err != nil:
		x.fail("A store refuses what the machine takes.", l.advice, fact{"error", a.err.Error()})
	default:
		l.changes = append(l.changes, c)
		if a.at.Seq != uint64(l.seq()) { // also where one before it has an unknown outcome
			x.fail("A store counts other changes than the machine makes.", l.advice,
				fact{"position", a.at.String()}, fact{"changes", fmt.Sprint(l.seq() + len(l.unknown))})
		}
	}
}

// open opens the store after an accident and compares everything in it.
func (l *life[S, E]) open(a accident) *atomicstore.Store[S, E] {
	x, after := l.x, fact{"accident", a.name}
	store, err := l.start()
	if err != nil {
		x.fail("The store does not open after an accident.", l.advice, after, fact{"error", err.Error()})
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
	// Of those of unknown outcome the first ones may have reached the disk, each
	// of them whole.
	for _, c := range l.unknown {
		if at.Seq > uint64(l.seq()) {
			l.changes = append(l.changes, c)
		}
	}
	l.unknown = nil
	x.must(state, l.last().text, "After an accident the store holds something else than it acknowledged.", l.advice, after)
	if at.Seq != uint64(l.seq()) {
		x.fail("After an accident the store holds another number of changes than it acknowledged.", l.advice, after,
			fact{"position", at.String()}, fact{"acknowledged", fmt.Sprint(l.seq())})
	}
	n := max(0, l.seq()-l.options.KeepModifications)
	if back := (n + l.seq()) / 2; back > 0 || l.seq() > 0 {
		old, err := store.At(context.Background(), uint64(back))
		if err != nil {
			x.fail("After an accident an earlier state cannot be read.", l.advice, after, fact{"change", fmt.Sprint(back)}, fact{"error", err.Error()})
		}
		x.must(old, l.changes[back].text, "After an accident an earlier state is not what it was.", l.advice, after, fact{"change", fmt.Sprint(back)})
	}
	if n == l.seq() {
		return
	}
	for c, err := range store.Changes(context.Background(), atomicstore.Position{Epoch: at.Epoch, Seq: uint64(n)}) {
		if err != nil {
			x.fail("After an accident the changes cannot be read.", l.advice, after, fact{"error", err.Error()})
		}
		n++
		if got, want := x.encode(c.Events), l.changes[n].events; !slices.Equal(got, want) {
			one, other := apart(strings.Join(got, " "), strings.Join(want, " "))
			x.fail("After an accident a change is not the one that was acknowledged.", l.advice, after,
				fact{"change", fmt.Sprint(n)}, fact{"it is", one}, fact{"it should be", other})
		}
		if n == l.seq() {
			break
		}
	}
}

// replace puts an earlier state in the place of data.json, as an operator does.
// It must be there when the store is opened again.
func (l *life[S, E]) replace() {
	x, put := l.x, l.changes[l.seq()/2].text
	l.disk.Put(filepath.Join(x.dir, "data.json"), true, put)
	store, err := l.start()
	if err != nil {
		x.fail("The store does not open with a state that was put in the place of data.json.", adviseImport, fact{"state", around(put, 0)}, fact{"error", err.Error()})
	}
	state, at := store.State()
	store.Close() // before a fault, for the lock
	x.must(state, put, "A state that was put in the place of data.json is not taken over.", adviseImport)
	if at.Seq < uint64(l.seq()) {
		x.fail("After data.json was replaced, changes have numbers that were used before.", adviseCrash, fact{"position", at.String()}, fact{"used", fmt.Sprint(l.seq())})
	}
}
