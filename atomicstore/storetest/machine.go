package storetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

// Machine is a state and what can happen to it, as a program gives them to
// atomicstore.Open. New, Apply and Step are needed.
type Machine[S atomicstore.Cloner[S], E any] struct {
	// New returns the state that Open is given, a new one at each call.
	New func() S

	// Apply is the function that Open is given.
	Apply func(S, E) error

	// Step decides something at random, right or wrong, as a function given to
	// Update does: it returns events, or an error that refuses, or neither. It
	// takes every choice from r, ids and times too: with the same r and the
	// same state it returns the same.
	Step func(r *rand.Rand, s S) ([]E, error)

	// Equal compares two states by what their JSON does not show. Default:
	// states with the same JSON are equal.
	Equal func(a, b S) bool

	// Options is what the program gives to Open, or nil. The crashes honour it,
	// but for what a simulated disk in a time that stands still cannot:
	// BackupDir, MaxAge and Reserve are refused. With Import, the JSON of a
	// state is put in the place of data.json too, and must come back as that
	// state. Without SegmentBytes and KeepModifications segments are small and
	// everything is kept, so that more of it is tried.
	Options *atomicstore.Options

	// Steps is how many steps a history has at most. Default: 30.
	Steps int

	// Histories is how many random histories each property is tried on.
	// Default: 100, as far as a second goes; with -short 20, and a fifth of
	// a second.
	Histories int

	// Seed chooses the histories. Default: another at each run, or what the
	// variable STORETEST_SEED says.
	Seed uint64
}

const seedVariable = "STORETEST_SEED"

// Run tries every property of a machine in a sub-test of its own: decide,
// clone, readers, determinism, snapshot, events, crashes. Each takes those
// before it for granted, so after the first that fails the others are skipped:
// one mistake makes one report. That names the rule that is broken, and shows
// the shortest history it has found, what to do, and how to see it again.
func Run[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E]) {
	t.Helper()
	if m.New == nil || m.Apply == nil || m.Step == nil {
		t.Fatal("storetest: a Machine needs New, Apply and Step")
	}
	if err := refuseOptions(m.Options); err != nil {
		t.Fatal("storetest: ", err)
	}
	m = m.withDefaults(t)
	dir := t.TempDir()
	broken := ""
	for _, p := range properties[S, E]() {
		passed := t.Run(p.name, func(t *testing.T) {
			if broken != "" {
				t.Skipf("tried once the machine has the property %q, which this one takes for granted", broken)
			}
			if report := search(t, m, p, dir); report != "" {
				t.Error(report)
			}
		})
		if !passed && broken == "" {
			broken = p.name
		}
	}
}

func (m Machine[S, E]) withDefaults(t *testing.T) Machine[S, E] {
	if m.Steps <= 0 {
		m.Steps = 30
	}
	if text := os.Getenv(seedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("storetest: %s: %v", seedVariable, err)
		}
		m.Seed = seed
	}
	if m.Seed == 0 {
		m.Seed = uint64(rand.Uint32()) // short enough to be typed
	}
	return m
}

// budget returns how many histories are tried, and for how long.
func (m Machine[S, E]) budget() (histories int, limit time.Duration) {
	switch {
	case m.Histories > 0:
		return m.Histories, time.Hour
	case testing.Short():
		return 20, time.Second / 5
	}
	return 100, time.Second
}

// property is something that a machine must have.
type property[S atomicstore.Cloner[S], E any] struct {
	name  string
	rule  string             // what it says of the machine
	check func(*trial[S, E]) // ends the trial where the machine does not have it
}

// properties are in an order in which each is tried with what the ones before
// it have found to be right: a state that a decision changes, or that shares
// something with its clone, looks like a fault of everything else.
func properties[S atomicstore.Cloner[S], E any]() []property[S, E] {
	return []property[S, E]{
		{"decide", "deciding leaves the state alone, and can be done again", decides[S, E]},
		{"clone", "a state and its clones are independent, in every direction", clones[S, E]},
		{"readers", "a state can be cloned while others read it", readers[S, E]},
		{"determinism", "the same events make the same state", determinism[S, E]},
		{"snapshot", "a state that is read from its JSON is the same, and goes on the same", snapshots[S, E]},
		{"events", "an event says the same after JSON", events[S, E]},
		{"crashes", "in a store, everything acknowledged is there after any accident, and nothing else", crashes[S, E]},
	}
}
