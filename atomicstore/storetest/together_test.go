package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/coding"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

type words []string

func (w *words) Clone() *words { c := slices.Clone(*w); return &c }

// newWords begins a life that adds a word at each step.
func newWords(t *testing.T) *life[*words, string] {
	m := Machine[*words, string]{
		New:   func() *words { return &words{} },
		Apply: func(w *words, word string) error { *w = append(*w, word); return nil },
		Step: func(r *rand.Rand, w *words) ([]string, error) {
			return []string{fmt.Sprint(len(*w), r.IntN(1000))}, nil
		},
	}
	x := &trial[*words, string]{Machine: m, t: t, dir: t.TempDir(), rule: "crashes", states: coding.Coding{}, events: coding.Coding{}}
	return newLife(x, crashfs.New())
}

// lived opens the store of a life in a bubble, and returns the fault it ends
// with.
func lived(t *testing.T, l *life[*words, string], f func(*atomicstore.Store[*words, string])) (found *fault) {
	l.x.inBubble(func() {
		store, err := l.start()
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		found = caught(func() { f(store) })
	})
	return found
}

func TestUpdatesAtTheSameTimeMeetInOneBatch(t *testing.T) {
	l := newWords(t)
	found := lived(t, l, func(store *atomicstore.Store[*words, string]) {
		before := store.Stats()
		l.update(store, []uint64{1, 2, 4, 5})
		after := store.Stats()
		if batches, changes := after.Batches-before.Batches, after.Changes-before.Changes; batches != 1 || changes != 4 {
			t.Errorf("%d batches of %d changes, want 1 of 4", batches, changes)
		}
	})
	if found != nil {
		t.Error(found)
	}
	if story := strings.Join(l.x.story, "\n"); strings.Count(story, ", at the same time") != 3 {
		t.Errorf("the story is\n%s", story)
	}
}

func TestGroupsStayWhenOthersAreTakenOut(t *testing.T) {
	got := groups([]uint64{1, 2, 3, 4, 5, 7, 8, 6})
	if want := [][]uint64{{1, 2}, {3, 4, 5, 7}, {8}, {6}}; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWhatAStoreSaysOfABatchIsCompared tells a life other things of three
// updates at the same time than what the store has made of them.
func TestWhatAStoreSaysOfABatchIsCompared(t *testing.T) {
	tests := map[string]struct {
		tell func([]*answer)
		want string // "" where there is nothing wrong
	}{
		"as it was": {func([]*answer) {}, ""},
		"in another order": {func(list []*answer) {
			list[0].at, list[1].at = list[1].at, list[0].at
		}, "counts other changes"},
		"one position twice": {func(list []*answer) { list[2].at = list[1].at }, "counts other changes"},
		"a gap of one not acknowledged": {func(list []*answer) {
			list[1].err = atomicstore.ErrFailed
		}, "counts other changes"},
		"the last two not acknowledged": {func(list []*answer) {
			list[1].err, list[2].err = atomicstore.ErrFailed, atomicstore.ErrFailed
		}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newWords(t)
			found := lived(t, l, func(store *atomicstore.Store[*words, string]) {
				list := l.together(store, []uint64{1, 2, 4})
				test.tell(list)
				l.disk.Lock() // an error of the disk excuses those that are not acknowledged
				l.disk.FailAt, l.disk.FailErr = l.disk.Ops, atomicstore.ErrFailed
				l.disk.Unlock()
				l.compareAnswers(list)
				l.compare(store, fact{})
			})
			switch {
			case test.want == "" && found != nil:
				t.Errorf("it says %q", found.what)
			case test.want != "" && (found == nil || !strings.Contains(found.what, test.want)):
				t.Errorf("got %v, want %q", found, test.want)
			}
		})
	}
}

// TestChangesOfUnknownOutcomeAreThereInOrder and each whole.
func TestChangesOfUnknownOutcomeAreThereInOrder(t *testing.T) {
	tests := map[string]struct {
		change func([]change[*words])
		want   string
	}{
		"in order": {func([]change[*words]) {}, ""},
		"swapped":  {func(list []change[*words]) { list[1], list[2] = list[2], list[1] }, "After an accident"},
		"by half":  {func(list []change[*words]) { list[2].text = `["half"]` }, "holds something else"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newWords(t)
			found := lived(t, l, func(store *atomicstore.Store[*words, string]) {
				l.update(store, []uint64{1, 2, 4})
				l.changes, l.unknown = l.changes[:1], slices.Clone(l.changes[1:])
				test.change(l.unknown)
				l.compare(store, fact{})
			})
			switch {
			case test.want == "" && found != nil:
				t.Errorf("it says %q", found.what)
			case test.want != "" && (found == nil || !strings.Contains(found.what, test.want)):
				t.Errorf("got %v, want %q", found, test.want)
			}
		})
	}
}
