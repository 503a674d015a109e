package atomicstore

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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

// fragile is a state whose Clone panics while broken is set.
type fragile struct {
	Lines  []string `json:"lines"`
	broken *atomic.Bool
}

func (f *fragile) Clone() *fragile {
	if f.broken != nil && f.broken.Load() {
		panic("clone panics")
	}
	return &fragile{Lines: slices.Clone(f.Lines), broken: f.broken}
}

func TestAPanicOfCloneCostsItsUpdateAlone(t *testing.T) {
	p := newHome(t)
	broken := new(atomic.Bool)
	open := func() (*Store[*fragile, entry], error) {
		return Open(p.data, &fragile{broken: broken}, func(f *fragile, e entry) error {
			f.Lines = append(f.Lines, e.Added.Line)
			return nil
		}, p.options())
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	update := func(line string) error {
		_, err := s.Update(t.Context(), func(*fragile) ([]entry, error) { return []entry{add(line)}, nil })
		return err
	}
	if err := update("one"); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	var panicked *PanicError
	if err := update("two"); !errors.As(err, &panicked) || panicked.Value != "clone panics" || len(panicked.Stack) == 0 {
		t.Errorf("got %v, want *PanicError", err)
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.At(t.Context(), 0); err != nil { // loaded from a file: it has no flag
		t.Error(err)
	}
	broken.Store(false)
	if err := update("three"); err != nil {
		t.Errorf("the update after it: %v", err)
	}
	if st := s.Stats(); st.Refused != 1 || st.Failed {
		t.Errorf("the numbers are %+v", st)
	}
	// A panic of decide needs no clone if it is the first of its batch.
	if _, err := s.Update(t.Context(), func(*fragile) ([]entry, error) { broken.Store(true); panic("decide panics") }); !errors.As(err, &panicked) || panicked.Value != "decide panics" {
		t.Errorf("got %v, want *PanicError", err)
	}
	broken.Store(false)
	if err := update("four"); err != nil {
		t.Errorf("the update after it: %v", err)
	}
	if state, _ := s.State(); !slices.Equal(state.Lines, []string{"one", "three", "four"}) {
		t.Errorf("the state is %q", state.Lines)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// stubborn is a state that can never be cloned.
type stubborn struct{}

func (stubborn) Clone() stubborn { panic("clone panics") }

func TestAPanicOfCloneIsAnErrorOfOpen(t *testing.T) {
	var panicked *PanicError
	_, err := Open(t.TempDir(), stubborn{}, func(stubborn, entry) error { return nil }, nil)
	if !errors.As(err, &panicked) {
		t.Errorf("got %v, want *PanicError", err)
	}
}
