package contest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/contestkit/contestkit/contest"
)

// evening is when the tests' contest begins.
var evening = time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)

// given returns the state after the events.
func given(t testing.TB, events ...contest.Event) *contest.State {
	t.Helper()
	s := contest.NewState()
	for _, e := range events {
		if err := contest.Apply(s, e); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// must decides and applies a command.
func must(t testing.TB, s *contest.State, events []contest.Event, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := contest.Apply(s, e); err != nil {
			t.Fatal(err)
		}
	}
}

func by(who string, after time.Duration, request contest.RequestID) contest.Meta {
	return contest.Meta{By: who, At: evening.Add(after), Request: request}
}

// entry is a good submission; tests change what they are about.
func entry(id contest.EntryID, c contest.CategoryID) contest.Submit {
	return contest.Submit{
		Meta:        by("visitor", time.Minute, contest.RequestID("request-"+id)),
		ID:          id,
		Category:    c,
		Caption:     "Caption of " + string(id),
		Name:        "Nora Secret",
		Phone:       "0170 5550199",
		Photo:       contest.Photo{ID: "p-" + contest.PhotoID(id), URL: "/uploads/p-" + string(id), Width: 4, Height: 5, Storage: "local-primary"},
		Fingerprint: "print-" + string(id),
	}
}

func submit(t testing.TB, s *contest.State, cmd contest.Submit) {
	t.Helper()
	events, err := s.Submit(cmd)
	must(t, s, events, err)
}

func hide(t testing.TB, s *contest.State, id contest.EntryID) {
	t.Helper()
	events, err := s.Hide(contest.Hide{Meta: by("admin", time.Hour, "hide-"+contest.RequestID(id)), Entry: id, Reason: "blurred"})
	must(t, s, events, err)
}

func pick(t testing.TB, s *contest.State, c contest.CategoryID, ids ...contest.EntryID) {
	t.Helper()
	events, err := s.PickWinners(contest.PickWinners{Meta: by("admin", time.Hour, "pick"), Winners: map[contest.CategoryID][]contest.EntryID{c: ids}})
	must(t, s, events, err)
}

func setCategories(t testing.TB, s *contest.State, ids ...contest.CategoryID) {
	t.Helper()
	events, err := s.SetCategories(contest.SetCategories{Meta: by("admin", time.Hour, "categories"), Categories: inputs(ids...)})
	must(t, s, events, err)
}

func inputs(ids ...contest.CategoryID) []contest.CategoryInput {
	var list []contest.CategoryInput
	for _, id := range ids {
		list = append(list, contest.CategoryInput{ID: id, Name: "Name of " + string(id)})
	}
	return list
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
