package storetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tally counts what the steps of histories came to, so that whoever wrote Step
// sees what it does not do.
type tally struct {
	histories, steps, changes, refused int
	kinds                              map[string]int // of events that have one: a single field
}

// step counts a step.
func (t *tally) step(events []string, refused error) {
	t.steps++
	if refused != nil {
		t.refused++
	}
	if len(events) > 0 {
		t.changes++
	}
	for _, e := range events {
		var fields map[string]json.RawMessage
		if json.Unmarshal([]byte(e), &fields) != nil || len(fields) != 1 {
			continue
		}
		for kind := range fields {
			t.count(kind, 1)
		}
	}
}

func (t *tally) count(kind string, n int) {
	if t.kinds == nil {
		t.kinds = map[string]int{}
	}
	t.kinds[kind] += n
}

// add adds one history.
func (t *tally) add(one tally) {
	t.histories++
	t.steps += one.steps
	t.changes += one.changes
	t.refused += one.refused
	for kind, n := range one.kinds {
		t.count(kind, n)
	}
}

func (t tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d histories, %d steps: %d changes, %d refusals", t.histories, t.steps, t.changes, t.refused)
	for i, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		b.WriteString([]string{"; events: ", ", "}[min(i, 1)])
		fmt.Fprintf(&b, "%s %d", kind, t.kinds[kind])
	}
	return b.String()
}
