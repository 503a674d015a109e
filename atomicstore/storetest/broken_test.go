package storetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/storetest"
)

// list is a state to break: words in order.
type list struct {
	Words  []string `json:"words"`
	hidden int
}

func newList() *list { return &list{Words: []string{}} }

func (l *list) Clone() *list { return &list{slices.Clone(l.Words), l.hidden} }

func addWord(l *list, word string) error {
	l.Words = append(l.Words, word)
	return nil
}

// someWord is a step: one word of a few.
func someWord[S any](r *rand.Rand, _ S) ([]string, error) {
	return []string{fmt.Sprintf("w%d", r.IntN(5))}, nil
}

type lists = storetest.Machine[*list, string]

func listMachine(broken func(*lists)) *lists {
	m := &lists{New: newList, Apply: addWord, Step: someWord[*list]}
	broken(m)
	return m
}

// wordsOf is a machine whose state is of another type than list.
func wordsOf[S atomicstore.Cloner[S]](fresh func() S, apply func(S, string) error) *storetest.Machine[S, string] {
	return &storetest.Machine[S, string]{New: fresh, Apply: apply, Step: someWord[S]}
}

// Clones that are wrong.

type sharedMap struct{ Count map[string]int }

func (s *sharedMap) Clone() *sharedMap { return &sharedMap{s.Count} }

type sharedArray struct{ Words []string }

func (s *sharedArray) Clone() *sharedArray { return &sharedArray{s.Words} } // append writes behind it

type forgetful struct{ Words, Seen []string }

func (s *forgetful) Clone() *forgetful { return &forgetful{Words: slices.Clone(s.Words)} }

type partial struct {
	Title string
	Words []string
}

func (s *partial) Clone() *partial { return &partial{Words: slices.Clone(s.Words)} }

type chained struct { // to the state before
	Words  []string
	before *chained
}

func (s *chained) Clone() *chained { return &chained{slices.Clone(s.Words), s} }

type owner struct { // a copy on write that only the clone minds
	Count  map[string]int
	shared bool
}

func (s *owner) Clone() *owner { return &owner{s.Count, true} }

type cloneless struct{ Words []string }

func (s *cloneless) Clone() *cloneless { panic("not yet written") }

// States whose JSON is wrong.

type omitted struct {
	Count map[string]int `json:"count,omitempty"`
}

func (s *omitted) Clone() *omitted { return &omitted{maps.Clone(s.Count)} }

type oneWay struct{ words []string }

func (s *oneWay) Clone() *oneWay               { return &oneWay{slices.Clone(s.words)} }
func (s *oneWay) MarshalJSON() ([]byte, error) { return json.Marshal(s.words) }

type unsorted struct{ set map[string]bool }

func (s *unsorted) Clone() *unsorted { return &unsorted{maps.Clone(s.set)} }
func (s *unsorted) MarshalJSON() ([]byte, error) {
	return json.Marshal(slices.Collect(maps.Keys(s.set)))
}
func (s *unsorted) UnmarshalJSON(data []byte) error {
	var words []string
	err := json.Unmarshal(data, &words)
	s.set = map[string]bool{}
	for _, w := range words {
		s.set[w] = true
	}
	return err
}

type infinite struct{ Sum float64 }

func (s *infinite) Clone() *infinite { c := *s; return &c }

// Events that are wrong.

type event struct {
	Word   string
	hidden string
	Value  float64
	Any    fmt.Stringer `json:",omitempty"`
	Count  count
}

// count is lossy in JSON: it is written in tens.
type count int

func (c count) MarshalJSON() ([]byte, error) { return json.Marshal(int(c) / 10) }

type union struct {
	Added   *string `json:"added,omitempty"`
	Removed *string `json:"removed,omitempty"`
}

func eventMachine(make func(r *rand.Rand) event, word func(event) string) *storetest.Machine[*list, event] {
	return &storetest.Machine[*list, event]{
		New:   newList,
		Apply: func(l *list, e event) error { return addWord(l, word(e)) },
		Step:  func(r *rand.Rand, _ *list) ([]event, error) { return []event{make(r)}, nil },
	}
}

// machine is a storetest.Machine of any types.
type machine interface {
	try(t *testing.T, property string) string
}

type of[S atomicstore.Cloner[S], E any] struct{ m *storetest.Machine[S, E] }

func (o of[S, E]) try(t *testing.T, property string) string {
	o.m.Seed = 1
	return storetest.Try(t, *o.m, property)
}

func TestABrokenMachineIsCaught(t *testing.T) {
	tests := []struct {
		name, property string
		machine        machine
		want           []string // parts of the message
	}{
		{"Apply reads the clock", "determinism", of[*list, string]{listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error { return addWord(l, word+time.Now().String()) }
		})}, []string{"Apply made two different states of the same events.", "step 1: \"w", "it is: {", "it should be: {", "no time.Now"}},

		{"Apply takes a map as it comes", "determinism", of[*list, string]{listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error {
				for either := range map[string]bool{word: true, word + "'": true} {
					return addWord(l, either)
				}
				return nil
			}
		})}, []string{"Apply made two different states", "order of a map"}},

		{"Apply counts outside of the state", "determinism", of[*list, string]{listMachine(func(m *lists) {
			n := 0
			m.Apply = func(l *list, word string) error { n++; return addWord(l, fmt.Sprint(word, n)) }
		})}, []string{"Apply made two different states", "no variables outside of the state"}},

		{"Apply takes every event once", "determinism", of[*list, string]{listMachine(func(m *lists) {
			seen := map[string]bool{}
			m.Apply = func(l *list, word string) error {
				if seen[word] {
					return errors.New("seen before")
				}
				seen[word] = true
				return addWord(l, word)
			}
		})}, []string{"Apply refuses in replay what it took before.", "error: seen before"}},

		{"New gives the same state", "determinism", of[*list, string]{listMachine(func(m *lists) {
			one := newList()
			m.New = func() *list { return one }
		})}, []string{"New gives a state that was used before."}},

		{"New is random", "determinism", of[*list, string]{listMachine(func(m *lists) {
			m.New = func() *list { return &list{Words: []string{fmt.Sprint(rand.Uint64())}} }
		})}, []string{"New gives another state each time."}},

		{"the hidden part differs", "determinism", of[*list, string]{listMachine(func(m *lists) {
			n := 0
			m.Apply = func(l *list, word string) error { n++; l.hidden = n; return addWord(l, word) }
			m.Equal = func(a, b *list) bool { return a.hidden == b.hidden }
		})}, []string{"Apply made two different states", "Equal: says that they differ"}},

		{"the JSON of a set is not sorted", "determinism", of[*unsorted, string]{wordsOf(func() *unsorted { return &unsorted{map[string]bool{}} },
			func(s *unsorted, word string) error { s.set[word] = true; return nil })},
			[]string{"The JSON of one state differs from time to time.", "MarshalJSON should sort"}},

		{"a field is not in the snapshot", "snapshot", of[*list, string]{listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error { l.hidden++; return addWord(l, fmt.Sprint(word, l.hidden)) }
		})}, []string{"Apply does something else to a state that was read from its JSON.", "step 2:", "Fields that are not exported"}},

		{"a decision sees what is not in the snapshot", "snapshot", of[*list, string]{listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error { l.hidden++; return addWord(l, word) }
			m.Step = func(r *rand.Rand, l *list) ([]string, error) { return []string{fmt.Sprint(l.hidden)}, nil }
		})}, []string{"A state that was read from its JSON decides otherwise.", `the state decides: "1"`, `read again, it decides: "0"`}},

		{"only Equal sees what is not in the snapshot", "snapshot", of[*list, string]{listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error { l.hidden++; return addWord(l, word) }
			m.Equal = func(a, b *list) bool { return a.hidden == b.hidden }
		})}, []string{"A state is another after JSON.", "Equal: says that they differ"}},

		{"New has what is not in the snapshot", "snapshot", of[*list, string]{listMachine(func(m *lists) {
			m.New = func() *list { return &list{[]string{}, 1} }
			m.Equal = func(a, b *list) bool { return a.hidden == b.hidden }
		})}, []string{"A new state is another after JSON."}},

		{"a map comes back nil", "snapshot", of[*omitted, string]{wordsOf(func() *omitted { return &omitted{map[string]int{}} },
			func(s *omitted, word string) error { s.Count[word]++; return nil })},
			[]string{"Apply panics.", "assignment to entry in nil map", "broken_test.go:"}},

		{"UnmarshalJSON is missing", "snapshot", of[*oneWay, string]{wordsOf(func() *oneWay { return &oneWay{[]string{}} },
			func(s *oneWay, word string) error { s.words = append(s.words, word); return nil })},
			[]string{"A state cannot be decoded from its own JSON.", "cannot unmarshal array", "UnmarshalJSON must read"}},

		{"a state becomes infinite", "snapshot", of[*infinite, string]{wordsOf(func() *infinite { return &infinite{1} },
			func(s *infinite, _ string) error { s.Sum *= math.MaxFloat64; return nil })},
			[]string{"A state cannot be encoded as JSON.", "step 2:", "+Inf"}},

		{"Clone shares a map", "clone", of[*sharedMap, string]{wordsOf(func() *sharedMap { return &sharedMap{map[string]int{}} },
			func(s *sharedMap, word string) error { s.Count[word]++; return nil })},
			[]string{"Changing a clone changes its origin.", "step 1: ", `it should be: {"Count":{}}`, "Clone must copy it"}},

		{"Clone shares an array", "clone", of[*sharedArray, string]{&storetest.Machine[*sharedArray, string]{
			New:   func() *sharedArray { return &sharedArray{make([]string, 0, 99)} },
			Apply: func(s *sharedArray, word string) error { s.Words = append(s.Words, word); return nil },
			Step:  func(r *rand.Rand, _ *sharedArray) ([]string, error) { return []string{fmt.Sprint(r.Uint64())}, nil },
		}}, []string{"Changing a clone changes another clone of the same origin.", "slices.Clip"}},

		{"Clone forgets a field", "clone", of[*forgetful, string]{wordsOf(func() *forgetful { return &forgetful{} },
			func(s *forgetful, word string) error { s.Seen = append(s.Seen, word); return nil })},
			[]string{"A clone is not equal to its origin.", "Clone must copy everything"}},

		{"Clone forgets what New has set", "clone", of[*partial, string]{wordsOf(func() *partial { return &partial{Title: "words"} },
			func(s *partial, word string) error { s.Words = append(s.Words, word); return nil })},
			[]string{"A clone is not equal to its origin.", `it should be: {"Title":"words"`}},

		{"a change reaches the state before the last", "clone", of[*chained, string]{wordsOf(func() *chained { return &chained{} },
			func(s *chained, word string) error {
				s.Words = append(s.Words, word)
				if s.before != nil && s.before.before != nil {
					s.before.before.Words = s.Words
				}
				return nil
			})}, []string{"A state changed after it was cloned.", "step 2: "}},

		{"the origin of a clone writes to what they share", "clone", of[*owner, string]{wordsOf(func() *owner { return &owner{Count: map[string]int{}} },
			func(s *owner, word string) error {
				if s.shared {
					s.Count, s.shared = maps.Clone(s.Count), false
				}
				s.Count[word]++
				return nil
			})}, []string{"Changing a state changes its clone."}},

		{"an event that is refused has changed the origin", "clone", of[*sharedMap, string]{wordsOf(func() *sharedMap { return &sharedMap{map[string]int{}} },
			func(s *sharedMap, word string) error { s.Count[word]++; return errors.New("no") })},
			[]string{"Changing a clone changes its origin.", "refused by Apply: no"}},

		{"Clone panics", "clone", of[*cloneless, string]{wordsOf(func() *cloneless { return &cloneless{} },
			func(s *cloneless, word string) error { return nil })},
			[]string{"Clone panics.", "panic: not yet written", "broken_test.go:", "ends the program"}},

		{"a decision changes the state", "decide", of[*list, string]{listMachine(func(m *lists) {
			m.Step = func(r *rand.Rand, l *list) ([]string, error) {
				slices.Sort(l.Words)
				return someWord(r, l)
			}
		})}, []string{"A decision has changed the state.", "sorting one changes the state"}},

		{"a decision changes the hidden part of the state", "decide", of[*list, string]{listMachine(func(m *lists) {
			m.Step = func(r *rand.Rand, l *list) ([]string, error) { l.hidden++; return someWord(r, l) }
			m.Equal = func(a, b *list) bool { return a.hidden == b.hidden }
		})}, []string{"A decision has changed the state.", "Equal: says"}},

		{"a refusal changes the state", "decide", of[*list, string]{listMachine(func(m *lists) {
			m.Step = func(r *rand.Rand, l *list) ([]string, error) {
				if r.IntN(2) == 0 {
					l.Words = append(l.Words, "tried")
					return nil, errors.New("too late")
				}
				return someWord(r, l)
			}
		})}, []string{"A decision that refuses has changed the state.", "step 1: refused: too late"}},

		{"a clone is not what decide needs to compare", "decide", of[*marked, string]{&storetest.Machine[*marked, string]{
			New:   func() *marked { return &marked{Words: []string{}} },
			Apply: func(m *marked, word string) error { m.Words = append(m.Words, word); return nil },
			Step:  someWord[*marked],
			Equal: func(a, b *marked) bool { return a.cloned == b.cloned },
		}}, []string{"A clone is not equal to its origin.", "Clone must copy everything"}},

		{"a decision is random", "decide", of[*list, string]{listMachine(func(m *lists) {
			m.Step = func(*rand.Rand, *list) ([]string, error) { return []string{fmt.Sprint(rand.Uint64())}, nil }
		})}, []string{"The same decision on the same state gives something else the second time.", "first: ", "second: "}},

		{"a refusal is random", "decide", of[*list, string]{listMachine(func(m *lists) {
			n := 0
			m.Step = func(*rand.Rand, *list) ([]string, error) {
				if n++; n%2 == 0 {
					return nil, errors.New("every other time")
				}
				return nil, nil
			}
		})}, []string{"The same decision on the same state gives something else", "first: no events", "second: refused: every other time"}},

		{"Step panics", "decide", of[*list, string]{listMachine(func(m *lists) {
			m.Step = func(_ *rand.Rand, l *list) ([]string, error) { return []string{l.Words[3]}, nil }
		})}, []string{"Step panics.", "index out of range"}},

		{"Apply panics", "events", of[*list, string]{listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error {
				if word == "w3" {
					panic("never three")
				}
				return addWord(l, word)
			}
		})}, []string{"Apply panics.", `step 1: "w3"`, "panic: never three", "Refuse with an error instead"}},

		{"an event has a hidden field", "events", of[*list, event]{eventMachine(
			func(*rand.Rand) event { return event{hidden: "x"} }, func(e event) string { return e.hidden })},
			[]string{"Apply does something else with an event after JSON.", `it should be: {"words":["x"]}`, "exported fields"}},

		{"an event is refused for a hidden field", "events", of[*list, event]{&storetest.Machine[*list, event]{
			New: newList,
			Apply: func(l *list, e event) error {
				if e.hidden == "" {
					return errors.New("nothing is hidden")
				}
				return addWord(l, e.Word)
			},
			Step: func(*rand.Rand, *list) ([]event, error) { return []event{{hidden: "x"}}, nil },
		}}, []string{"Apply takes an event and refuses what it is after JSON", "as decided: taken", "after JSON: refused: nothing is hidden"}},

		{"an event is not a number", "events", of[*list, event]{eventMachine(
			func(*rand.Rand) event { return event{Value: math.NaN()} }, func(e event) string { return e.Word })},
			[]string{"An event cannot be encoded as JSON.", "Value:NaN", "unsupported value"}},

		{"an event holds an interface", "events", of[*list, event]{eventMachine(
			func(*rand.Rand) event { return event{Any: time.Second} }, func(e event) string { return e.Word })},
			[]string{"An event cannot be decoded from its own JSON.", "an interface has no way back"}},

		{"an event is rounded", "events", of[*list, event]{eventMachine(
			func(*rand.Rand) event { return event{Count: 123} }, func(e event) string { return e.Word })},
			[]string{"An event is another after JSON.", `before: {"Word":"","Value":0,"Count":12}`, `"Count":1}`}},

		{"an event is of two kinds", "crashes", of[*list, union]{&storetest.Machine[*list, union]{
			New:   newList,
			Apply: func(l *list, e union) error { return addWord(l, *e.Added) },
			Step: func(r *rand.Rand, l *list) ([]union, error) {
				word := "both"
				return []union{{Added: &word, Removed: &word}}, nil
			},
		}}, []string{"A store refuses an event.", "2 fields of storetest_test.union are set", "set exactly one"}},

		{"the store is not like the machine", "crashes", of[*list, string]{listMachine(func(m *lists) {
			n := 0
			m.Apply = func(l *list, word string) error { n++; return addWord(l, fmt.Sprint(word, n)) }
		})}, []string{"In a store the state is another than without one.", "outside of the state"}},

		{"Upgrade changes an event of today", "crashes", of[*list, string]{listMachine(func(m *lists) {
			m.Options = &atomicstore.Options{Upgrade: func(e []byte) ([]byte, error) { return []byte(`"old"`), nil }}
		})}, []string{"After an accident", "Options.Upgrade is given every event"}},

		{"Upgrade refuses an event of today", "crashes", of[*list, string]{listMachine(func(m *lists) {
			m.Options = &atomicstore.Options{Upgrade: func(e []byte) ([]byte, error) { return nil, errors.New("not an old one") }}
		})}, []string{"After an accident the changes cannot be read.", "not an old one", "Options.Upgrade is given every event"}},

		{"Import refuses a state", "crashes", of[*list, string]{listMachine(func(m *lists) {
			m.Options = &atomicstore.Options{Import: func([]byte) ([]byte, error) { return nil, errors.New("not of the old server") }}
		})}, []string{"A state that was put in the place of data.json is not taken over.", "which it must return as it is"}},

		{"events are larger than is allowed", "crashes", of[*list, string]{listMachine(func(m *lists) {
			m.Options = &atomicstore.Options{MaxChangeBytes: 3}
		})}, []string{"A store refuses what the machine takes.", "the change is too large"}},

		{"Step never changes anything", "determinism", of[*list, string]{listMachine(func(m *lists) {
			m.Step = func(*rand.Rand, *list) ([]string, error) { return nil, errors.New("no") }
		})}, []string{"Step has changed nothing in any history"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report := test.machine.try(t, test.property)
			if report == "" {
				t.Fatal("it is not caught")
			}
			for _, part := range test.want {
				if !strings.Contains(report, part) {
					t.Errorf("the message lacks %q:\n%s", part, report)
				}
			}
		})
	}
}
