package contest

import (
	"fmt"
	"regexp"
	"slices"
)

// Limits of the categories.
const (
	MaxCategories   = 50 // shown at once; archived ones do not count
	MaxCategoryName = 80 // characters
	DefaultWinners  = 2  // places of a category that sets no number
)

var categoryID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Category is one contest among those of an evening.
type Category struct {
	ID       CategoryID `json:"id"`
	Name     string     `json:"name"`
	Winners  int        `json:"winners,omitempty"`  // places; 0 is DefaultWinners
	Archived bool       `json:"archived,omitempty"` // off every page, its entries kept
}

// places returns how many winners the category may have.
func (c Category) places() int {
	if c.Winners == 0 {
		return DefaultWinners
	}
	return c.Winners
}

// SetCategories replaces the list of categories. One that is left out is
// dropped; if it has entries it is archived instead, and comes back with them
// when it is named again.
type SetCategories struct {
	Meta
	Categories []CategoryInput // in the order to show
}

// CategoryInput is what the organiser says of a category.
type CategoryInput struct {
	ID   CategoryID `json:"id"`   // lower-case letters, digits and hyphens, at most 40
	Name string     `json:"name"` // 1 to 80 characters
}

// CategoriesSet is the resulting list, archived categories included.
type CategoriesSet struct {
	Meta
	Categories []Category `json:"categories"`
}

// SetCategories decides the command of the same name. It returns
// [*FieldErrors] for a list that cannot be.
func (s *State) SetCategories(cmd SetCategories) ([]Event, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	list, err := s.newCategories(cmd.Categories)
	if err != nil {
		return nil, err
	}
	if slices.Equal(list, s.categories) {
		return nil, nil
	}
	return []Event{{CategoriesSet: &CategoriesSet{Meta: cmd.utc(), Categories: list}}}, nil
}

func (s *State) newCategories(input []CategoryInput) ([]Category, error) {
	var errs FieldErrors
	switch {
	case len(input) == 0:
		errs.add("categories", "A contest needs at least one category.")
	case len(input) > MaxCategories:
		errs.add("categories", fmt.Sprintf("At most %d categories fit on the page.", MaxCategories))
	}
	list := make([]Category, 0, len(input))
	named := map[CategoryID]bool{}
	for i, in := range input {
		at := fmt.Sprintf("categories[%d].", i)
		if !categoryID.MatchString(string(in.ID)) {
			errs.add(at+"id", "Use lower-case letters, digits and hyphens, at most 40, and begin with a letter or digit.")
		} else if named[in.ID] {
			errs.add(at+"id", "This id is in the list twice.")
		}
		named[in.ID] = true
		c, _ := s.category(in.ID) // what the organiser does not name here stays as it is
		c.ID, c.Name, c.Archived = in.ID, text(&errs, at+"name", in.Name, MaxCategoryName), false
		list = append(list, c)
	}
	for _, c := range s.categories {
		if !named[c.ID] && s.hasEntries(c.ID) {
			c.Archived = true
			list = append(list, c)
		}
	}
	return list, errs.err()
}

func (s *State) applyCategoriesSet(e *CategoriesSet) error {
	kept := map[CategoryID]bool{}
	for _, c := range e.Categories {
		if c.ID == "" || kept[c.ID] {
			return fmt.Errorf("category %q is empty or there twice", c.ID)
		}
		kept[c.ID] = true
	}
	for _, c := range s.categories {
		if !kept[c.ID] && s.hasEntries(c.ID) {
			return fmt.Errorf("category %q has entries and is not in the list", c.ID)
		}
	}
	s.categories = slices.Clone(e.Categories)
	return nil
}

// Categories returns all categories in order, archived ones included. The
// slice is the caller's.
func (s *State) Categories() []Category { return slices.Clone(s.categories) }

func (s *State) category(id CategoryID) (Category, bool) {
	i := slices.IndexFunc(s.categories, func(c Category) bool { return c.ID == id })
	if i < 0 {
		return Category{}, false
	}
	return s.categories[i], true
}

// openCategory returns a category that visitors see.
func (s *State) openCategory(id CategoryID) (Category, bool) {
	c, ok := s.category(id)
	return c, ok && !c.Archived
}

func (s *State) hasEntries(id CategoryID) bool {
	for range s.Entries(id) {
		return true
	}
	return false
}
