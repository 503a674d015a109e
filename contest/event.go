package contest

import (
	"errors"
	"fmt"
	"time"
)

// Event is something that happened. Exactly one field is set; its JSON name is
// the kind: {"submitted": {...}}. Kinds and their fields may be added, what is
// there never changes its meaning: written events must apply for ever.
type Event struct {
	CategoriesSet *CategoriesSet `json:"categoriesSet,omitempty"`
	Submitted     *Submitted     `json:"submitted,omitempty"`
	Hidden        *Hidden        `json:"hidden,omitempty"`
	Unhidden      *Unhidden      `json:"unhidden,omitempty"`
	WinnersPicked *WinnersPicked `json:"winnersPicked,omitempty"`
	PhotoMirrored *PhotoMirrored `json:"photoMirrored,omitempty"`
}

// errKinds is a damaged event or one of a newer program.
var errKinds = errors.New("contest: an event has exactly one kind")

// change is what Apply needs of an event: when it was and how to make it.
type change struct {
	kind  string
	at    time.Time
	apply func(*State) error
}

// only returns the one change of the event.
func (e Event) only() (change, error) {
	var found []change
	if x := e.CategoriesSet; x != nil {
		found = append(found, change{"categoriesSet", x.At, func(s *State) error { return s.applyCategoriesSet(x) }})
	}
	if x := e.Submitted; x != nil {
		found = append(found, change{"submitted", x.At, func(s *State) error { return s.applySubmitted(x) }})
	}
	if x := e.Hidden; x != nil {
		found = append(found, change{"hidden", x.At, func(s *State) error { return s.applyHidden(x) }})
	}
	if x := e.Unhidden; x != nil {
		found = append(found, change{"unhidden", x.At, func(s *State) error { return s.applyUnhidden(x) }})
	}
	if x := e.WinnersPicked; x != nil {
		found = append(found, change{"winnersPicked", x.At, func(s *State) error { return s.applyWinnersPicked(x) }})
	}
	if x := e.PhotoMirrored; x != nil {
		found = append(found, change{"photoMirrored", x.At, func(s *State) error { return s.applyPhotoMirrored(x) }})
	}
	if len(found) != 1 {
		return change{}, fmt.Errorf("%w, this one has %d", errKinds, len(found))
	}
	return found[0], nil
}
