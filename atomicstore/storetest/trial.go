package storetest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/coding"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// trial is one history being lived by a machine. Its methods call the machine
// and end the trial with a fault when something is wrong.
type trial[S atomicstore.Cloner[S], E any] struct {
	Machine[S, E]
	history
	t              *testing.T
	rule           string        // of the property that is tried
	states, events coding.Coding // as the store writes and reads them

	dir string // for the lock of a store; everything else is on a simulated disk

	story []string // what each step did, the last one so far
	done  tally
	quiet bool   // neither told nor counted
	fault *fault // how it ended

	spoil func(*crashfs.Disk) // the tests damage what an accident leaves; nil otherwise
}

// fail ends the trial: the rule that is tried does not hold.
func (x *trial[S, E]) fail(what, advice string, facts ...fact) {
	breach(x.rule, what, advice, facts...)
}

// living gives the steps, and begins each in the story.
func (x *trial[S, E]) living() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, step := range x.steps {
			x.begin()
			if !yield(step) {
				return
			}
		}
	}
}

// begin adds a step to the story, which tell says more of.
func (x *trial[S, E]) begin() { x.story = append(x.story, "stops here:") }

func (x *trial[S, E]) fresh() S {
	defer blame("New")
	s := x.New()
	if isNil(s) {
		breach(ruleNew, "New gives a nil state.", "Open refuses that: return a pointer to a state.")
	}
	return s
}

func isNil(s any) bool {
	v := reflect.ValueOf(s)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

func (x *trial[S, E]) clone(s S) S {
	defer blame("Clone")
	return s.Clone()
}

// apply changes s by events, until one is refused.
func (x *trial[S, E]) apply(s S, events []E) error {
	defer blame("Apply")
	for _, e := range events {
		if err := x.Apply(s, e); err != nil {
			return err
		}
	}
	return nil
}

// decide runs a step.
func (x *trial[S, E]) decide(s S, step uint64) ([]E, error) {
	defer blame("Step")
	events, err := x.Step(stepRand(step), s)
	if err != nil {
		return nil, err
	}
	return events, nil
}

func stepRand(step uint64) *rand.Rand { return rand.New(rand.NewPCG(step, 1)) }

// text is a state as its snapshot has it.
func (x *trial[S, E]) text(s S) string {
	defer blame("encoding a state")
	data, err := x.states.Marshal(s)
	if err != nil {
		breach(ruleJSON, "A state cannot be encoded as JSON.", "The store writes the state to data.json with encoding/json: no NaN, no channels, no functions; what need not be kept is left out with a tag `json:\"-\"`.", fact{"error", err.Error()})
	}
	return string(data)
}

// load is the inverse of text.
func (x *trial[S, E]) load(text string) (s S) {
	defer blame("decoding a state")
	err := x.states.Unmarshal([]byte(text), &s)
	if err == nil && isNil(s) {
		err = fmt.Errorf("it is null")
	}
	if err != nil {
		breach(ruleJSON, "A state cannot be decoded from its own JSON.", "Open reads data.json with encoding/json: what MarshalJSON writes, UnmarshalJSON must read.",
			fact{"state", around(text, 0)}, fact{"error", err.Error()})
	}
	return s
}

// encode gives events as the log holds them.
func (x *trial[S, E]) encode(events []E) []string {
	defer blame("encoding an event")
	var lines []string
	for _, e := range events {
		data, err := x.events.Marshal(e)
		if err != nil {
			breach(ruleJSON, "An event cannot be encoded as JSON.", "Events are kept in the log with encoding/json: no NaN, no channels, no functions.",
				fact{"event", fmt.Sprintf("%+v", e)}, fact{"error", err.Error()})
		}
		lines = append(lines, string(data))
	}
	return lines
}

// decode gives events as replay sees them.
func (x *trial[S, E]) decode(lines []string) []E {
	defer blame("decoding an event")
	events := make([]E, len(lines))
	for i, line := range lines {
		if err := x.events.Unmarshal([]byte(line), &events[i]); err != nil {
			breach(ruleJSON, "An event cannot be decoded from its own JSON.", "The store applies what it has decoded: use concrete types, an interface has no way back.",
				fact{"event", around(line, 0)}, fact{"error", err.Error()})
		}
	}
	return events
}

// live does a step as a store does, and tells it in the story: the events are
// decided on s, decoded from their JSON, and applied to a clone, which is
// thrown away if they are refused.
func (x *trial[S, E]) live(s S, step uint64) (after S, events []string) {
	decided, refused := x.decide(s, step)
	events = x.encode(decided)
	x.tell(events, refused)
	after = s
	if len(events) > 0 {
		after = x.clone(s)
		if refused = x.apply(after, x.decode(events)); refused != nil {
			x.amend(", refused by Apply: " + refused.Error())
			after, events = s, nil
		}
	}
	if !x.quiet {
		x.done.step(events, refused)
	}
	return after, events
}

// quietly does what is done for the second time.
func (x *trial[S, E]) quietly(f func()) {
	x.quiet = true
	defer func() { x.quiet = false }()
	f()
}

// tell says what the step that was begun last came to.
func (x *trial[S, E]) tell(events []string, refused error) {
	if !x.quiet {
		x.story[len(x.story)-1] = around(outcome(events, refused), 0)
	}
}

// amend adds to what was told last.
func (x *trial[S, E]) amend(text string) {
	if !x.quiet {
		x.story[len(x.story)-1] += text
	}
}

// outcome is what a decision came to, in words.
func outcome(events []string, refused error) string {
	switch {
	case refused != nil:
		return "refused: " + refused.Error()
	case len(events) == 0:
		return "no events"
	}
	return strings.Join(events, " ")
}

// must ends the trial unless a state has the JSON it must have.
func (x *trial[S, E]) must(s S, want, what, advice string, facts ...fact) {
	got := x.text(s)
	if got == want {
		return
	}
	x.steady(s)
	got, want = apart(got, want)
	x.fail(what, advice, append(slices.Clip(facts), fact{"it is", got}, fact{"it should be", want})...)
}

// steady ends the trial if a state has another JSON each time: then no
// difference means anything.
func (x *trial[S, E]) steady(s S) {
	first := x.text(s)
	for range 20 {
		if again := x.text(s); again != first {
			first, again = apart(first, again)
			x.fail("The JSON of one state differs from time to time.",
				"MarshalJSON should sort what it takes out of maps and sets: states are compared by their JSON here, and backups by people.",
				fact{"once", first}, fact{"then", again})
		}
	}
}

// same ends the trial unless two states are equal.
func (x *trial[S, E]) same(s, want S, what, advice string, facts ...fact) {
	x.must(s, x.text(want), what, advice, facts...)
	x.equal(s, want, what, advice)
}

// equal ends the trial unless Equal, if there is one, agrees.
func (x *trial[S, E]) equal(a, b S, what, advice string) {
	defer blame("Equal")
	if x.Equal != nil && !x.Equal(a, b) {
		x.fail(what, advice, fact{"JSON of both", around(x.text(a), 0)}, fact{"Equal", "says that they differ, in what their JSON does not show"})
	}
}
