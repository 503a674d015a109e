package contest

import (
	"fmt"
	"slices"
)

// PickWinners sets the winners of the categories it names and of no other. An
// empty list takes the winners of a category back.
type PickWinners struct {
	Meta
	Winners map[CategoryID][]EntryID // in order of place, first place first
}

// WinnersPicked is the new winners of the categories that changed.
type WinnersPicked struct {
	Meta
	Winners map[CategoryID][]EntryID `json:"winners"`
}

// PickWinners decides the command of the same name. It returns
// [ErrUnknownCategory], [ErrUnknownEntry], [ErrHiddenEntry] or
// [ErrTooManyWinners], and [*FieldErrors] for an entry named twice.
func (s *State) PickWinners(cmd PickWinners) ([]Event, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	changed := map[CategoryID][]EntryID{}
	for c, ids := range cmd.Winners {
		if _, ok := s.openCategory(c); !ok {
			return nil, fmt.Errorf("%w: %q", ErrUnknownCategory, c)
		}
		if err := s.checkWinners(c, ids); err != nil {
			return nil, err
		}
		if !slices.Equal(ids, s.Winners(c)) {
			changed[c] = append([]EntryID{}, ids...)
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	return []Event{{WinnersPicked: &WinnersPicked{Meta: cmd.utc(), Winners: changed}}}, nil
}

// checkWinners tells whether the entries may win the category together.
func (s *State) checkWinners(c CategoryID, ids []EntryID) error {
	category, ok := s.category(c)
	if !ok {
		return ErrUnknownCategory
	}
	if len(ids) > category.places() {
		return fmt.Errorf("%w: %d for the %d of %q", ErrTooManyWinners, len(ids), category.places(), c)
	}
	for i, id := range ids {
		e, ok := s.entries.Get(id)
		switch {
		case !ok || e.Category != c:
			return fmt.Errorf("%w: %q in %q", ErrUnknownEntry, id, c)
		case e.Hidden:
			return fmt.Errorf("%w: %q", ErrHiddenEntry, id)
		case slices.Contains(ids[:i], id):
			return &FieldErrors{[]FieldError{{"winners", "An entry can have one place only."}}}
		}
	}
	return nil
}

func (s *State) applyWinnersPicked(e *WinnersPicked) error {
	for c, ids := range e.Winners {
		if err := s.checkWinners(c, ids); err != nil {
			return err
		}
	}
	for c, ids := range e.Winners {
		s.setWinners(c, ids)
	}
	return nil
}

// Winners returns the winners of a category in order of place. The slice is
// the caller's.
func (s *State) Winners(c CategoryID) []EntryID {
	ids, _ := s.winners.Get(c)
	return slices.Clone(ids)
}

func (s *State) setWinners(c CategoryID, ids []EntryID) {
	if len(ids) == 0 {
		s.winners.Delete(c)
		return
	}
	s.winners.Set(c, slices.Clone(ids)) // never changed in place: clones share it
}

func (s *State) dropWinner(e Entry) {
	ids := s.Winners(e.Category)
	s.setWinners(e.Category, slices.DeleteFunc(ids, func(id EntryID) bool { return id == e.ID }))
}
