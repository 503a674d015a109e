package atomicstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"testing"
)

// words is a state whose MarshalJSON ends with a line feed, as all do that use
// a json.Encoder.
type words struct{ of map[string]int }

func (w *words) Clone() *words { return &words{maps.Clone(w.of)} }

func (w *words) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(w.of)
	return b.Bytes(), err
}

func (w *words) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &w.of) }

func countWord(w *words, word string) error { w.of[word]++; return nil }

func TestAStateThatIsWrittenWithALineFeedIsRead(t *testing.T) {
	dir := t.TempDir()
	for want := range 3 {
		s, err := Open(dir, &words{map[string]int{}}, countWord, nil)
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := s.State(); w.of["a"] != want {
			t.Errorf("opened %d times, it has %v", want, w.of)
		}
		if _, err := s.Update(t.Context(), func(*words) ([]string, error) { return []string{"a"}, nil }); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

type badName struct {
	//lint:ignore SA5008 that is what the test is about
	Word *string `json:"it's"` // no name for encoding/json, which takes Word
}

type unwritten struct {
	Word *string `json:"-"`
}

type named struct {
	Word *string
}

func (n named) MarshalJSON() ([]byte, error)     { return json.Marshal(map[string]string{"say": *n.Word}) }
func (n *named) UnmarshalJSON(data []byte) error { n.Word = new(string); return nil }

func refuses[E any](e E) func(*testing.T) {
	return func(t *testing.T) {
		apply := func(*words, E) error { return nil }
		s, err := Open(t.TempDir(), &words{map[string]int{}}, apply, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if at, err := s.Update(t.Context(), func(*words) ([]E, error) { return []E{e}, nil }); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("got %s and %v, want ErrUnknownKind", at, err)
		}
	}
}

// What was acknowledged must be read again, so an event whose kind is not in
// its JSON is refused.
func TestAnEventWhoseKindWouldBeLostIsRefused(t *testing.T) {
	word := "a"
	t.Run("null", refuses(struct {
		Words *map[string]int `json:"words"`
	}{new(map[string]int)}))
	t.Run("no name", refuses(badName{&word}))
	t.Run("not written", refuses(unwritten{&word}))
	t.Run("another name", refuses(named{&word}))
}

// Whatever encoding/json takes, an event may be of.
func TestAnEventIsTakenAsEncodingJSONTakesIt(t *testing.T) {
	type event struct {
		//lint:ignore SA5008 encoding/json allows it, so it must survive
		Words  []string `json:"words,string"` // without a meaning
		Hidden struct{ word string }
	}
	apply := func(w *words, e event) error { return countWord(w, e.Words[0]) }
	dir := t.TempDir()
	for want := range 2 {
		s, err := Open(dir, &words{map[string]int{}}, apply, nil)
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := s.State(); w.of["a"] != want {
			t.Errorf("opened %d times, it has %v", want, w.of)
		}
		if _, err := s.Update(t.Context(), func(*words) ([]event, error) { return []event{{Words: []string{"a"}}}, nil }); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}
