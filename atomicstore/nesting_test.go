package atomicstore

import (
	"encoding/json"
	"strings"
	"testing"
)

// deepState keeps the last event, which holds anything.
type deepState struct {
	V any `json:"v"`
	N int `json:"n"`
}

func (s *deepState) Clone() *deepState { c := *s; return &c }

type deepEvent struct {
	V any `json:"v"`
}

func keepDeep(s *deepState, e deepEvent) error {
	s.V = e.V
	s.N++
	return nil
}

// nested returns what has so many levels as JSON.
func nested(levels int) (v any) {
	for range levels {
		v = []any{v}
	}
	return v
}

// TestWhatIsNestedTooDeepIsRefusedBeforeItIsWritten, and what is not can be
// replayed, opened and restored.
func TestWhatIsNestedTooDeepIsRefusedBeforeItIsWritten(t *testing.T) {
	open := func(p home) *Store[*deepState, deepEvent] {
		s, err := Open(p.data, &deepState{}, keepDeep, p.options())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	p := newHome(t)
	s := open(p)
	for _, levels := range []int{maxNesting, 9999, 10000, 10001} { // with the object around it one more
		_, err := s.Update(t.Context(), func(*deepState) ([]deepEvent, error) { return []deepEvent{{nested(levels)}}, nil })
		if err == nil || !strings.Contains(err.Error(), "nested more than 9990 levels") && !strings.Contains(err.Error(), "exceeded max depth") {
			t.Errorf("%d levels: got %v", levels+1, err)
		}
	}
	text, err := json.Marshal([]string{strings.Repeat(`[{"\`, maxNesting)})
	if err != nil || deep(text) {
		t.Errorf("brackets in a text are taken for levels, %v", err)
	}
	for _, levels := range []int{maxNesting - 1, 1} {
		if _, err := s.Update(t.Context(), func(*deepState) ([]deepEvent, error) { return []deepEvent{{nested(levels)}}, nil }); err != nil {
			t.Fatalf("%d levels: %v", levels+1, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := RestoreBefore(t.Context(), p.data, 2, p.options()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // taken over, and from its own data.json
		s = open(p)
		state, _ := s.State()
		levels := 0
		for v := state.V; v != nil; levels++ {
			v = v.([]any)[0]
		}
		if state.N != 1 || levels != maxNesting-1 {
			t.Errorf("restored, it has %d changes and %d levels", state.N, levels)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAStateThatGrowsTooDeepIsKeptByTheLog: the snapshot fails, and says so.
func TestAStateThatGrowsTooDeepIsKeptByTheLog(t *testing.T) {
	p := newHome(t)
	grow := func(s *deepState, e deepEvent) error {
		for range 1000 {
			s.V = []any{s.V}
		}
		s.N++
		return nil
	}
	open := func() *Store[*deepState, deepEvent] {
		s, err := Open(p.data, &deepState{}, grow, p.options())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for range 12 {
		if _, err := s.Update(t.Context(), func(*deepState) ([]deepEvent, error) { return []deepEvent{{1}}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "the state is nested more than 9990 levels") {
		t.Errorf("a state of 12,000 levels: got %v", err)
	}
	s = open()
	if state, _ := s.State(); state.N != 12 {
		t.Errorf("opened again it has %d of 12 changes", state.N)
	}
	s.Close()
}
