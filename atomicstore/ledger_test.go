package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// ledger is the state of the tests: a list that keeps the order of changes.
type ledger struct {
	Lines []string `json:"lines"`
}

func (l *ledger) Clone() *ledger {
	return &ledger{Lines: l.Lines[:len(l.Lines):len(l.Lines)]} // appending to a clone copies
}

// entry is its event.
type entry struct {
	Added   *added   `json:"added,omitempty"`
	Cleared *cleared `json:"cleared,omitempty"`
}

type added struct {
	Line string `json:"line"`
}

type cleared struct{}

func add(line string) entry { return entry{Added: &added{line}} }

var errFull = errors.New("the ledger is full")

func applyEntry(l *ledger, e entry) error {
	switch {
	case e.Cleared != nil:
		l.Lines = nil
	case e.Added.Line == "too much":
		return errFull
	case e.Added.Line == "panic":
		panic("apply panics")
	default:
		l.Lines = append(l.Lines, e.Added.Line)
	}
	return nil
}

type ledgerStore = Store[*ledger, entry]

func openLedger(dir string, o *Options) (*ledgerStore, error) {
	return Open(dir, &ledger{}, applyEntry, o)
}

func mustOpen(t testing.TB, dir string, o *Options) *ledgerStore {
	t.Helper()
	s, err := openLedger(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write adds a line.
func write(s *ledgerStore, line string) (Position, error) {
	return s.Update(context.Background(), func(*ledger) ([]entry, error) { return []entry{add(line)}, nil })
}

func mustWrite(t testing.TB, s *ledgerStore, lines ...string) (at Position) {
	t.Helper()
	for _, line := range lines {
		var err error
		if at, err = write(s, line); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

func mustClose(t testing.TB, s *ledgerStore) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func lines(s *ledgerStore) []string {
	l, _ := s.State()
	return l.Lines
}

func wantLines(t testing.TB, s *ledgerStore, want ...string) {
	t.Helper()
	if got := lines(s); !slices.Equal(got, want) {
		t.Errorf("the ledger has %q, want %q", got, want)
	}
}

func numbered(prefix string, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}
