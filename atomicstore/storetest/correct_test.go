package storetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/btree"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/storetest"
)

// counter is a state without any pointer: it is changed through one that is
// all its clone has.
type counter struct {
	N int `json:"n"`
}

func (c *counter) Clone() *counter { copied := *c; return &copied }

func TestACounterPasses(t *testing.T) {
	storetest.Run(t, storetest.Machine[*counter, int]{
		New:   func() *counter { return &counter{} },
		Apply: func(c *counter, by int) error { c.N += by; return nil },
		Step: func(r *rand.Rand, c *counter) ([]int, error) {
			switch by := r.IntN(5) - 2; {
			case by == 0:
				return nil, nil
			case c.N+by < 0:
				return nil, errors.New("below zero")
			default:
				return []int{by, -by, by}, nil
			}
		},
		Equal: func(a, b *counter) bool { return *a == *b },
	})
}

// TestTheOptionsOfTheProgramAreTried, as far as they can be.
func TestTheOptionsOfTheProgramAreTried(t *testing.T) {
	upgraded, imported := 0, 0
	storetest.Run(t, *listMachine(func(m *lists) {
		m.Options = &atomicstore.Options{
			Upgrade:           func(event []byte) ([]byte, error) { upgraded++; return event, nil },
			Import:            func(data []byte) ([]byte, error) { imported++; return data, nil },
			KeepModifications: 3,
			KeepBackups:       1,
			SegmentBytes:      1 << 10,
			QueueLimit:        1, // so that some are refused
			MaxChangeBytes:    100,
		}
		m.Histories = 10
	}))
	if upgraded == 0 || imported == 0 {
		t.Errorf("Upgrade was called %d times, Import %d times", upgraded, imported)
	}
}

func TestOptionsThatCannotBeTriedAreRefused(t *testing.T) {
	for name, o := range map[string]atomicstore.Options{
		"BackupDir": {BackupDir: "backups"},
		"MaxAge":    {MaxAge: time.Hour},
		"Reserve":   {Reserve: 1},
	} {
		err := storetest.RefuseOptions(&o)
		if err == nil || !strings.Contains(err.Error(), "Machine.Options."+name+" cannot be tried: ") || !strings.Contains(err.Error(), "leave it out") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := storetest.RefuseOptions(&atomicstore.Options{Reserve: -1, KeepModifications: 7}); err != nil {
		t.Error(err)
	}
}

// prices is a state that is no pointer.
type prices map[string]float64

func (p prices) Clone() prices { return maps.Clone(p) }

func TestAMapPasses(t *testing.T) {
	type priced struct {
		What string    `json:"what"`
		At   time.Time `json:"at"`
		For  float64   `json:"for"`
	}
	// With the zone and the monotonic clock that JSON does not keep.
	start := time.Now().In(time.FixedZone("CET", 3600))
	storetest.Run(t, storetest.Machine[prices, priced]{
		New: func() prices { return prices{} },
		Apply: func(p prices, e priced) error {
			p[e.What] = e.For + float64(e.At.Nanosecond())
			if e.For > 0.9 {
				return errors.New("too much") // which leaves the clone changed
			}
			return nil
		},
		Step: func(r *rand.Rand, _ prices) ([]priced, error) {
			at := start.Add(time.Duration(r.Int32()))
			return []priced{{fmt.Sprint(r.IntN(3)), at, r.Float64()}}, nil
		},
		Histories: 5,
	})
}

// shelf is copied on write, and its origin takes part in that.
type shelf struct {
	mu    sync.Mutex // guards the marks that Copy leaves in the tree
	books *btree.Map[int, string]
	last  []string
}

func newShelf() *shelf { return &shelf{books: new(btree.Map[int, string])} }

func (s *shelf) Clone() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{books: s.books.Copy(), last: slices.Clip(s.last)}
}

type shelfJSON struct {
	Books map[int]string
	Last  []string
}

func (s *shelf) MarshalJSON() ([]byte, error) {
	flat := shelfJSON{map[int]string{}, s.last}
	s.books.Scan(func(n int, title string) bool {
		flat.Books[n] = title
		return true
	})
	return json.Marshal(flat)
}

func (s *shelf) UnmarshalJSON(data []byte) error {
	var flat shelfJSON
	if err := json.Unmarshal(data, &flat); err != nil {
		return err
	}
	s.books, s.last = new(btree.Map[int, string]), flat.Last
	for n, title := range flat.Books {
		s.books.Set(n, title)
	}
	return nil
}

func TestACopyOnWritePasses(t *testing.T) {
	type put struct {
		At    int
		Title string
	}
	storetest.Run(t, storetest.Machine[*shelf, put]{
		New: newShelf,
		Apply: func(s *shelf, e put) error {
			s.books.Set(e.At, e.Title)
			s.last = append(s.last, e.Title)
			if len(s.last) > 3 {
				s.last = s.last[1:]
			}
			return nil
		},
		Step: func(r *rand.Rand, s *shelf) ([]put, error) {
			at := r.IntN(200)
			if _, taken := s.books.Get(at); taken {
				return nil, errors.New("there is a book")
			}
			return []put{{at, "a book"}, {at + 1000, "its second volume"}}, nil
		},
		Steps: 60, // so that the tree has several nodes
	})
}
