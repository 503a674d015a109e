package storetest

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// fault is a promise that a machine breaks.
type fault struct {
	rule   string // the promise
	what   string // one sentence, the same for the same fault
	advice string // what to do
	facts  []fact
}

// fact is something that was seen, under a label.
type fact struct{ label, text string }

const idle = "Step has changed nothing in any history, so nothing was tested.\n" +
	"    rule: Step returns events most of the time\n" +
	"Let it make commands that the state allows, besides some that it refuses."

// Rules that every property takes for granted.
const (
	ruleJSON  = "a state and its events can be written as JSON and read again"
	ruleNew   = "New makes a new state"
	rulePanic = "nothing panics: not New, Clone, Apply, Step, Equal, nor the JSON of a state or an event"
)

// breach ends a trial: a rule does not hold.
func breach(rule, what, advice string, facts ...fact) { panic(&fault{rule, what, advice, facts}) }

// caught returns the fault that f ends with, or nil.
func caught(f func()) (found *fault) {
	defer func() {
		if v := recover(); v != nil {
			found, _ = v.(*fault)
			if found == nil {
				panic(v)
			}
		}
	}()
	f()
	return nil
}

// blame, deferred, turns a panic of the machine into a fault.
func blame(who string) {
	switch v := recover().(type) {
	case nil:
	case *fault:
		panic(v)
	default:
		advice := "In a store this ends the program."
		if who == "Step" || who == "Apply" {
			advice = "In a store the update fails with a PanicError; if the log holds the event already, the program ends at each start. Refuse with an error instead."
		}
		breach(rulePanic, who+" panics.", advice, fact{"panic", fmt.Sprint(v)}, fact{"at", placeOf(debug.Stack())})
	}
}

// placeOf returns the innermost lines of a stack that are the machine's.
func placeOf(stack []byte) string {
	_, after, _ := strings.Cut(string(stack), "\npanic(")
	lines := strings.Split(after, "\n")[1:] // what Go prints of panic itself
	var places []string
	for i := 1; i+1 < len(lines) && len(places) < 6; i += 2 {
		if strings.Contains(lines[i], "/atomicstore/storetest.(*trial") {
			break
		}
		place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		places = append(places, place)
	}
	return strings.Join(places, "\n")
}

// report says everything about the fault of a trial, for the test of a name.
func (x *trial[S, E]) report(test string) string {
	var b strings.Builder
	fmt.Fprintln(&b, x.fault.what)
	list := func(label, text string) {
		fmt.Fprintf(&b, "    %s: %s\n", label, strings.ReplaceAll(text, "\n", "\n        "))
	}
	list("rule", x.fault.rule)
	for i, line := range x.story {
		list(fmt.Sprintf("step %d", i+1), line)
	}
	for _, f := range x.fault.facts {
		list(f.label, f.text)
	}
	fmt.Fprintln(&b, x.fault.advice)
	fmt.Fprintf(&b, "To see it again: %s=%d go test -run '%s'", seedVariable, x.seed, pattern(test))
	return b.String()
}

// pattern is what go test -run takes for a test.
func pattern(test string) string { return "^" + strings.ReplaceAll(test, "/", "$/^") + "$" }

// apart shows two texts where they begin to differ.
func apart(a, b string) (string, string) {
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	return around(a, same), around(b, same)
}

// around cuts a long text down to what is near a place in it.
func around(text string, at int) string {
	const before, after, whole = 80, 160, 300 // bytes
	if len(text) <= whole {
		return text
	}
	from, to := max(0, at-before), min(len(text), max(whole, at+after))
	cut := strings.ToValidUTF8(text[from:to], "")
	if from > 0 {
		cut = "… " + cut
	}
	if to < len(text) {
		cut += " …"
	}
	return cut
}
