package contest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/contestkit/contestkit/contest"
)

func TestAFreshContestHasTwoCategories(t *testing.T) {
	want := []contest.PublicCategory{{ID: "worst", Name: "Worst Tattoo"}, {ID: "best", Name: "Best Tattoo"}}
	if diff := cmp.Diff(want, contest.PublicCategories(given(t))); diff != "" {
		t.Error(diff)
	}
}

func TestSetCategoriesReplacesTheList(t *testing.T) {
	s := given(t)
	setCategories(t, s, "sleeve", "worst")
	want := []contest.Category{{ID: "sleeve", Name: "Name of sleeve"}, {ID: "worst", Name: "Name of worst"}}
	if diff := cmp.Diff(want, s.Categories()); diff != "" {
		t.Error(diff)
	}
	events, err := s.SetCategories(contest.SetCategories{Meta: by("admin", 0, "again"), Categories: inputs("sleeve", "worst")})
	if err != nil || events != nil {
		t.Errorf("setting the same list gave %v, %v", events, err)
	}
}

func TestADroppedCategoryKeepsItsEntries(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	pick(t, s, "worst", "a")
	before := marshal(t, contest.PublicSnapshot(s))

	setCategories(t, s, "best")
	if feed := contest.PublicFeed(s); len(feed.Feed) != 1 || feed.WinnersAvailable {
		t.Errorf("strangers still see the dropped category: %v", feed)
	}
	if staff := contest.StaffSubmissions(s).Submissions["worst"]; len(staff) != 1 {
		t.Errorf("the organiser sees %d entries of it, want 1", len(staff))
	}

	events, err := s.SetCategories(contest.SetCategories{Meta: by("admin", 2*time.Hour, "back"), Categories: []contest.CategoryInput{{ID: "worst", Name: "Worst Tattoo"}, {ID: "best", Name: "Best Tattoo"}}})
	must(t, s, events, err)
	if diff := cmp.Diff(before, marshal(t, contest.PublicSnapshot(s))); diff != "" {
		t.Errorf("a category that comes back is not as it was:\n%s", diff)
	}
}

func TestSetCategoriesRefuses(t *testing.T) {
	var tooMany []contest.CategoryID
	for i := range 51 {
		tooMany = append(tooMany, contest.CategoryID(fmt.Sprintf("c%d", i)))
	}
	tests := map[string]struct {
		list  []contest.CategoryInput
		field string
	}{
		"nothing":      {nil, "categories"},
		"too many":     {inputs(tooMany...), "categories"},
		"twice":        {inputs("a", "a"), "categories[1].id"},
		"capital":      {inputs("Best"), "categories[0].id"},
		"slash":        {inputs("a/b"), "categories[0].id"},
		"empty id":     {inputs(""), "categories[0].id"},
		"long id":      {inputs(contest.CategoryID(strings.Repeat("a", 41))), "categories[0].id"},
		"no name":      {[]contest.CategoryInput{{ID: "a"}}, "categories[0].name"},
		"long name":    {[]contest.CategoryInput{{ID: "a", Name: strings.Repeat("a", 81)}}, "categories[0].name"},
		"control name": {[]contest.CategoryInput{{ID: "a", Name: "a\u0007"}}, "categories[0].name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := given(t).SetCategories(contest.SetCategories{Meta: by("admin", 0, "r"), Categories: test.list})
			var fields *contest.FieldErrors
			if !errors.As(err, &fields) || fields.Fields[0].Field != test.field {
				t.Errorf("got %v, want a refusal of %s", err, test.field)
			}
		})
	}
}
