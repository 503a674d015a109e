package contest

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"
)

// State is the contest at one moment. Make one with [NewState], change it with
// [Apply] alone.
//
// Everything is found through trees that copy in constant time and through
// values that never change in place; that makes Clone cheap and safe.
type State struct {
	// cloning guards the trees' ownership marks, which Copy sets on the origin
	// too: two goroutines may clone one published state. Reading needs no lock.
	cloning sync.Mutex

	categories []Category // in the organiser's order; archived ones stay in their place
	lastNumber int        // the highest entry number given

	entries  *btree.Map[EntryID, Entry]
	shelves  *btree.Map[shelfKey, EntryID]     // the entries of each category by number
	photos   *btree.Map[photoKey, EntryID]     // the entries by photo
	winners  *btree.Map[CategoryID, []EntryID] // in order of place; no empty list
	requests *btree.Map[RequestID, request]
	expiries *btree.Map[expiryKey, RequestID] // the requests by time
}

// request remembers what a request id stands for.
type request struct {
	Entry       EntryID   `json:"entry"`
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"at"`
}

// requestLifetime is how long a repeated request gets the first answer.
const requestLifetime = 24 * time.Hour

// shelfKey orders the entries of a category by number.
type shelfKey string

func shelf(c CategoryID, number int) shelfKey {
	return shelfKey(fmt.Sprintf("%s/%019d", c, number))
}

// expiryKey orders requests by time.
type expiryKey string

func expiry(at time.Time, id RequestID) expiryKey {
	return expiryKey(fmt.Sprintf("%020d/%s", at.UnixNano(), id))
}

// NewState returns a contest with its two first categories and no entry.
func NewState() *State {
	s := emptyState()
	s.categories = []Category{
		{ID: "worst", Name: "Worst Tattoo"},
		{ID: "best", Name: "Best Tattoo"},
	}
	return s
}

func emptyState() *State {
	return &State{
		entries:  new(btree.Map[EntryID, Entry]),
		shelves:  new(btree.Map[shelfKey, EntryID]),
		photos:   new(btree.Map[photoKey, EntryID]),
		winners:  new(btree.Map[CategoryID, []EntryID]),
		requests: new(btree.Map[RequestID, request]),
		expiries: new(btree.Map[expiryKey, RequestID]),
	}
}

// Clone returns a copy in constant time. Changing either does not change the
// other. Safe for concurrent use with Clone and with reading.
func (s *State) Clone() *State {
	s.cloning.Lock()
	defer s.cloning.Unlock()
	return &State{
		categories: s.categories,
		lastNumber: s.lastNumber,
		entries:    s.entries.Copy(),
		shelves:    s.shelves.Copy(),
		photos:     s.photos.Copy(),
		winners:    s.winners.Copy(),
		requests:   s.requests.Copy(),
		expiries:   s.expiries.Copy(),
	}
}

// Len returns how many entries there are, hidden ones included.
func (s *State) Len() int { return s.entries.Len() }

// Entry returns an entry by its id.
func (s *State) Entry(id EntryID) (Entry, bool) { return s.entries.Get(id) }

// EntryByRequest returns the entry that a request led to, so that a repeated
// request can be answered as the first was.
func (s *State) EntryByRequest(id RequestID) (Entry, bool) {
	r, ok := s.requests.Get(id)
	if !ok {
		return Entry{}, false
	}
	return s.entries.Get(r.Entry)
}

// Entries returns the entries of a category, newest first, hidden ones
// included.
func (s *State) Entries(c CategoryID) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		first := shelf(c, 0)
		s.shelves.Descend(shelf(c, maxNumber), func(key shelfKey, id EntryID) bool {
			if key < first {
				return false
			}
			e, _ := s.entries.Get(id)
			return yield(e)
		})
	}
}

const maxNumber = math.MaxInt

// stateJSON is the form of a state in a snapshot: plain lists that a person
// can read and repair.
type stateJSON struct {
	Categories []Category               `json:"categories"`
	LastNumber int                      `json:"lastNumber"`
	Entries    []Entry                  `json:"entries"` // by number
	Winners    map[CategoryID][]EntryID `json:"winners"`
	Requests   map[RequestID]request    `json:"requests"`
}

// MarshalJSON writes the whole state, private fields included: for storage,
// never for an answer.
func (s *State) MarshalJSON() ([]byte, error) {
	flat := stateJSON{
		Categories: s.categories,
		LastNumber: s.lastNumber,
		Entries:    s.entries.Values(),
		Winners:    map[CategoryID][]EntryID{},
		Requests:   map[RequestID]request{},
	}
	slices.SortFunc(flat.Entries, func(a, b Entry) int { return a.Number - b.Number })
	s.winners.Scan(func(c CategoryID, ids []EntryID) bool {
		flat.Winners[c] = ids
		return true
	})
	s.requests.Scan(func(id RequestID, r request) bool {
		flat.Requests[id] = r
		return true
	})
	if flat.Entries == nil {
		flat.Entries = []Entry{}
	}
	return json.Marshal(flat)
}

// UnmarshalJSON reads what MarshalJSON wrote. A snapshot may have been edited
// by hand, so what the rules rely on is checked.
func (s *State) UnmarshalJSON(b []byte) error {
	var flat stateJSON
	if err := json.Unmarshal(b, &flat); err != nil {
		return err
	}
	loaded := emptyState()
	loaded.categories = flat.Categories
	loaded.lastNumber = flat.LastNumber
	for _, e := range flat.Entries {
		if err := loaded.add(e); err != nil {
			return err
		}
	}
	for c, ids := range flat.Winners {
		if err := loaded.checkWinners(c, ids); err != nil {
			return fmt.Errorf("winners of %q: %w", c, err)
		}
		loaded.setWinners(c, ids)
	}
	for id, r := range flat.Requests {
		loaded.remember(id, r)
	}
	s.categories, s.lastNumber = loaded.categories, loaded.lastNumber
	s.entries, s.shelves, s.photos, s.winners = loaded.entries, loaded.shelves, loaded.photos, loaded.winners
	s.requests, s.expiries = loaded.requests, loaded.expiries
	return nil
}

// add puts a new entry into its places.
func (s *State) add(e Entry) error {
	if e.ID == "" || e.Number <= 0 {
		return fmt.Errorf("entry %q has no id or no number", e.ID)
	}
	if _, taken := s.entries.Get(e.ID); taken {
		return fmt.Errorf("entry %q: %w", e.ID, ErrEntryExists)
	}
	if _, ok := s.category(e.Category); !ok {
		return fmt.Errorf("entry %q: category %q: %w", e.ID, e.Category, ErrUnknownCategory)
	}
	key := shelf(e.Category, e.Number)
	if other, taken := s.shelves.Get(key); taken {
		return fmt.Errorf("entry %q has number %d of entry %q", e.ID, e.Number, other)
	}
	s.entries.Set(e.ID, e)
	s.shelves.Set(key, e.ID)
	s.photos.Set(shownBy(e.Photo.ID, e.ID), e.ID)
	s.lastNumber = max(s.lastNumber, e.Number)
	return nil
}

// remember keeps a request id for a day, from its last use.
func (s *State) remember(id RequestID, r request) {
	if old, again := s.requests.Get(id); again {
		s.expiries.Delete(expiry(old.At, id)) // or forget stops at it, as a loaded state does not
	}
	s.requests.Set(id, r)
	s.expiries.Set(expiry(r.At, id), id)
}

// forget drops the requests that are a day old at a time.
func (s *State) forget(now time.Time) {
	for {
		key, id, ok := s.expiries.Min()
		if !ok {
			return
		}
		if r, _ := s.requests.Get(id); now.Sub(r.At) < requestLifetime {
			return
		}
		s.expiries.Delete(key)
		s.requests.Delete(id)
	}
}
