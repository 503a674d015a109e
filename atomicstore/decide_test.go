package atomicstore

import (
	"errors"
	"runtime"
	"sync"
	"testing"
)

// together sends updates that meet in one batch, and returns their errors.
func together(t *testing.T, s *ledgerStore, decide ...func(*ledger) ([]entry, error)) []error {
	t.Helper()
	release := hold(t, s)
	results := make([]error, len(decide))
	var wg sync.WaitGroup
	for i, d := range decide {
		wg.Go(func() { _, results[i] = s.Update(t.Context(), d) })
		waiting(t, s, i+1) // in this order
	}
	release()
	wg.Wait()
	return results
}

func adds(lines ...string) func(*ledger) ([]entry, error) {
	return func(*ledger) (list []entry, err error) {
		for _, line := range lines {
			list = append(list, add(line))
		}
		return list, nil
	}
}

// FailNow of package testing calls runtime.Goexit: a test that fails within
// decide must not leave a store behind that hangs.
func TestAnUpdateThatEndsItsGoroutineCostsItselfAlone(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	exit := func(*ledger) ([]entry, error) { runtime.Goexit(); return nil, nil }
	for i, err := range together(t, s, adds("one"), exit, adds("two"), exit, adds("three")) {
		var p *PanicError
		if ended := i%2 == 1; errors.As(err, &p) != ended || !ended && err != nil {
			t.Errorf("update %d: got %v", i, err)
		}
	}
	if _, err := s.Update(t.Context(), exit); !errors.As(err, new(*PanicError)) {
		t.Errorf("alone: got %v, want *PanicError", err)
	}
	wantLines(t, s, "held", "one", "two", "three")
	if st := s.Stats(); st.Refused != 3 {
		t.Errorf("%d updates are counted as refused, want 3", st.Refused)
	}
	mustWrite(t, s, "four")
	mustClose(t, s)
	s = mustOpen(t, dir, nil)
	defer mustClose(t, s)
	wantLines(t, s, "held", "one", "two", "three", "four")
}

// A log that cannot be replayed is worth nothing: the store stops before it
// writes one.
func TestAnApplyThatChangesItsMindStopsTheStore(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("not this time") },
		"panic": func() error { panic("not this time") },
		"end":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			met := 0
			fickle := func(l *ledger, e entry) error {
				if e.Added != nil && e.Added.Line == "fickle" {
					if met++; met > 1 {
						return fail()
					}
				}
				return applyEntry(l, e)
			}
			s, err := Open(dir, &ledger{}, fickle, nil)
			if err != nil {
				t.Fatal(err)
			}
			results := make([]error, 3)
			entered, leave := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, results[0] = s.Update(t.Context(), func(*ledger) ([]entry, error) {
					close(entered)
					<-leave
					return []entry{add("fickle")}, nil
				})
			})
			<-entered
			for i, line := range []string{"too much", "two"} {
				wg.Go(func() { _, results[i+1] = write(s, line) })
				waiting(t, s, i+1)
			}
			close(leave)
			wg.Wait()
			for i, err := range results {
				if !errors.Is(err, ErrFailed) {
					t.Errorf("update %d: got %v, want ErrFailed", i, err)
				}
			}
			wantLines(t, s)
			s.Close()
			again := mustOpen(t, dir, nil)
			defer mustClose(t, again)
			mustWrite(t, again, "on")
			wantLines(t, again, "on")
		})
	}
}
