package contest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/contestkit/contestkit/contest"
)

func TestPickWinnersTouchesOnlyTheCategoriesItNames(t *testing.T) {
	s := given(t)
	for _, id := range []contest.EntryID{"a", "b"} {
		submit(t, s, entry(id, "worst"))
	}
	submit(t, s, entry("c", "best"))
	pick(t, s, "worst", "b", "a")
	pick(t, s, "best", "c")

	if diff := cmp.Diff([]contest.EntryID{"b", "a"}, s.Winners("worst")); diff != "" {
		t.Errorf("places of worst:\n%s", diff)
	}
	pick(t, s, "worst")
	if len(s.Winners("worst")) != 0 || len(s.Winners("best")) != 1 {
		t.Errorf("got %v and %v, want none and c", s.Winners("worst"), s.Winners("best"))
	}
}

func TestPickWinnersRefuses(t *testing.T) {
	tests := map[string]struct {
		category contest.CategoryID
		ids      []contest.EntryID
		is       error
	}{
		"three for two places":   {"worst", []contest.EntryID{"a", "b", "c"}, contest.ErrTooManyWinners},
		"unknown entry":          {"worst", []contest.EntryID{"nobody"}, contest.ErrUnknownEntry},
		"of another category":    {"best", []contest.EntryID{"a"}, contest.ErrUnknownEntry},
		"hidden":                 {"worst", []contest.EntryID{"hidden"}, contest.ErrHiddenEntry},
		"unknown category":       {"sleeve", nil, contest.ErrUnknownCategory},
		"the same entry twice":   {"worst", []contest.EntryID{"a", "a"}, nil},
		"good and bad, together": {"worst", []contest.EntryID{"a", "nobody"}, contest.ErrUnknownEntry},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := given(t)
			for _, id := range []contest.EntryID{"a", "b", "c", "hidden"} {
				submit(t, s, entry(id, "worst"))
			}
			hide(t, s, "hidden")
			_, err := s.PickWinners(contest.PickWinners{Meta: by("admin", 0, "r"), Winners: map[contest.CategoryID][]contest.EntryID{test.category: test.ids}})
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, want %v", err, test.is)
			}
		})
	}
}

func TestAHiddenEntryIsGoneAndWinsNoMore(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	submit(t, s, entry("b", "worst"))
	pick(t, s, "worst", "a", "b")
	hide(t, s, "a")

	feed := contest.PublicFeed(s).Feed["worst"]
	if len(feed) != 1 || feed[0].ID != "b" {
		t.Errorf("the feed shows %v, want b alone", feed)
	}
	if diff := cmp.Diff([]contest.EntryID{"b"}, s.Winners("worst")); diff != "" {
		t.Errorf("winners:\n%s", diff)
	}
	events, err := s.Hide(contest.Hide{Meta: by("admin", 0, "again"), Entry: "a"})
	if err != nil || events != nil {
		t.Errorf("hiding twice gave %v, %v", events, err)
	}

	events, err = s.Unhide(contest.Unhide{Meta: by("admin", 0, "show"), Entry: "a"})
	must(t, s, events, err)
	if feed := contest.PublicFeed(s).Feed["worst"]; len(feed) != 2 || feed[1].ID != "a" {
		t.Errorf("shown again, the feed is %v, want b before a", feed)
	}
	if len(s.Winners("worst")) != 1 {
		t.Errorf("showing an entry made it win: %v", s.Winners("worst"))
	}
	events, err = s.Unhide(contest.Unhide{Meta: by("admin", 0, "again"), Entry: "a"})
	if err != nil || events != nil {
		t.Errorf("showing twice gave %v, %v", events, err)
	}
}

func TestHideAndUnhideNeedAnEntry(t *testing.T) {
	s := given(t)
	if _, err := s.Hide(contest.Hide{Meta: by("admin", 0, "r"), Entry: "nobody"}); !errors.Is(err, contest.ErrUnknownEntry) {
		t.Error(err)
	}
	if _, err := s.Unhide(contest.Unhide{Meta: by("admin", 0, "r"), Entry: "nobody"}); !errors.Is(err, contest.ErrUnknownEntry) {
		t.Error(err)
	}
}
