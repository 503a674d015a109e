package contest_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/contestkit/contestkit/contest"
)

// page is a page in a visitor's browser: it shows a snapshot and then changes
// it by messages alone, through JSON, as a browser does.
type page struct{ contest.Snapshot }

func openPage(t *rapid.T, s *contest.State) *page {
	p := new(page)
	through(t, contest.PublicSnapshot(s), &p.Snapshot)
	return p
}

func through(t *rapid.T, from, to any) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *page) hear(t *rapid.T, messages []contest.Message) {
	for _, m := range messages {
		switch m.Event {
		case "newSubmission":
			var e contest.PublicEntry
			through(t, m.Data, &e)
			list := slices.DeleteFunc(p.Feed[e.Category], func(x contest.PublicEntry) bool { return x.ID == e.ID })
			at, _ := slices.BinarySearchFunc(list, e, func(a, b contest.PublicEntry) int { return b.Number - a.Number })
			p.Feed[e.Category] = slices.Insert(list, at, e)
		case "submissionRemoved":
			var r contest.Removed
			through(t, m.Data, &r)
			p.Feed[r.Category] = slices.DeleteFunc(p.Feed[r.Category], func(x contest.PublicEntry) bool { return x.ID == r.ID })
		case "categoriesUpdated":
			var c contest.Categories
			through(t, m.Data, &c)
			p.Categories = c.Categories
			kept := map[contest.CategoryID][]contest.PublicEntry{}
			for _, c := range c.Categories {
				kept[c.ID] = append([]contest.PublicEntry{}, p.Feed[c.ID]...)
			}
			p.Feed = kept
		case "winnersUpdated":
			var w contest.Winners
			through(t, m.Data, &w)
			p.Winners, p.WinnersAvailable = w.Winners, w.WinnersAvailable
		default:
			t.Fatalf("strangers are told %q", m.Event)
		}
	}
}

// desk is the organiser's page.
type desk struct{ contest.StaffView }

func (d *desk) hear(t *rapid.T, messages []contest.Message) {
	for _, m := range messages {
		switch m.Event {
		case "entryAdded", "entryChanged":
			var e contest.StaffEntry
			through(t, m.Data, &e)
			list := slices.DeleteFunc(d.Submissions[e.Category], func(x contest.StaffEntry) bool { return x.ID == e.ID })
			at, _ := slices.BinarySearchFunc(list, e, func(a, b contest.StaffEntry) int { return b.Number - a.Number })
			d.Submissions[e.Category] = slices.Insert(list, at, e)
		case "categoriesUpdated":
			var c contest.StaffCategoryList
			through(t, m.Data, &c)
			d.Categories = c.Categories
			kept := map[contest.CategoryID][]contest.StaffEntry{}
			for _, c := range c.Categories {
				kept[c.ID] = append([]contest.StaffEntry{}, d.Submissions[c.ID]...)
			}
			d.Submissions = kept
		case "winnersUpdated":
			var w contest.StaffWinners
			through(t, m.Data, &w)
			d.Winners = w.Winners
		default:
			t.Fatalf("the organiser is told %q", m.Event)
		}
	}
}

// decide draws a command, good or bad, and decides it.
func decide(t *rapid.T, s *contest.State, step int) ([]contest.Event, error) {
	categories := rapid.SampledFrom([]contest.CategoryID{"worst", "best", "sleeve", "back"})
	entries := rapid.Custom(func(t *rapid.T) contest.EntryID {
		return contest.EntryID(fmt.Sprintf("e%d", rapid.IntRange(0, 30).Draw(t, "entry")))
	})
	meta := contest.Meta{
		By:      "admin",
		At:      evening.Add(time.Duration(step) * time.Hour),
		Request: contest.RequestID(fmt.Sprintf("r%d", rapid.IntRange(0, 60).Draw(t, "request"))),
	}
	switch rapid.SampledFrom([]string{"submit", "submit", "submit", "hide", "unhide", "pick", "categories", "mirror"}).Draw(t, "command") {
	case "submit":
		cmd := entry(entries.Draw(t, "id"), categories.Draw(t, "category"))
		cmd.Meta = meta
		if rapid.Bool().Draw(t, "shared") {
			cmd.Photo.ID, cmd.Photo.URL = "p-e1", "/uploads/p-e1" // the same as another entry's
		}
		cmd.Caption = rapid.StringN(0, 20, -1).Draw(t, "caption")
		return s.Submit(cmd)
	case "hide":
		return s.Hide(contest.Hide{Meta: meta, Entry: entries.Draw(t, "id")})
	case "unhide":
		return s.Unhide(contest.Unhide{Meta: meta, Entry: entries.Draw(t, "id")})
	case "mirror":
		return s.MirrorPhoto(contest.MirrorPhoto{
			Meta:    meta,
			Photo:   "p-" + contest.PhotoID(entries.Draw(t, "id")),
			URL:     rapid.SampledFrom([]string{"https://cloud/v1/a", "https://cloud/v2/a"}).Draw(t, "place"),
			Storage: "cloudinary",
		})
	case "pick":
		return s.PickWinners(contest.PickWinners{Meta: meta, Winners: map[contest.CategoryID][]contest.EntryID{
			categories.Draw(t, "category"): rapid.SliceOfN(entries, 0, 3).Draw(t, "winners"),
			categories.Draw(t, "other"):    {},
		}})
	}
	return s.SetCategories(contest.SetCategories{
		Meta:       meta,
		Categories: inputs(rapid.SliceOfNDistinct(categories, 0, 4, rapid.ID).Draw(t, "categories")...),
	})
}

// TestRandomContests runs random commands and checks after each what must
// always hold.
func TestRandomContests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := contest.NewState()
		live, staff := openPage(t, s), new(desk)
		through(t, contest.StaffSnapshot(s), &staff.StaffView)
		var log [][]byte

		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			before, was := s.Clone(), jsonOf(t, s)
			events, err := decide(t, s, step)
			if now := jsonOf(t, s); now != was {
				t.Fatalf("deciding changed the state from\n%s to\n%s", was, now)
			}
			if err != nil && events != nil {
				t.Fatalf("a refusal (%v) came with events", err)
			}
			for _, e := range events {
				log = append(log, []byte(jsonOf(t, e)))
				if err := contest.Apply(s, e); err != nil {
					t.Fatalf("what was decided does not apply: %v", err)
				}
			}
			if now := jsonOf(t, before); now != was {
				t.Fatalf("changing a state changed its clone from\n%s to\n%s", was, now)
			}

			live.hear(t, contest.Public(before, events, s))
			if diff := cmp.Diff(contest.PublicSnapshot(s), live.Snapshot); diff != "" {
				t.Fatalf("an open page shows something else than a fresh one:\n%s", diff)
			}
			staff.hear(t, contest.Staff(before, events, s))
			if diff := cmp.Diff(contest.StaffSnapshot(s), staff.StaffView); diff != "" {
				t.Fatalf("the organiser's open page shows something else than a fresh one:\n%s", diff)
			}
			checkWinners(t, s)
			for _, shown := range []any{contest.PublicSnapshot(s), contest.Public(before, events, s)} {
				if text := jsonOf(t, shown); strings.Contains(text, "Secret") || strings.Contains(text, "5550199") {
					t.Fatalf("a stranger sees a name or a phone number: %s", text)
				}
			}
		}

		replayed := contest.NewState()
		for _, line := range log {
			var e contest.Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			if err := contest.Apply(replayed, e); err != nil {
				t.Fatal(err)
			}
		}
		loaded := new(contest.State)
		if err := json.Unmarshal([]byte(jsonOf(t, s)), loaded); err != nil {
			t.Fatal(err)
		}
		for name, other := range map[string]*contest.State{"replayed": replayed, "loaded": loaded} {
			if got, want := jsonOf(t, other), jsonOf(t, s); got != want {
				t.Fatalf("%s from JSON, the state is\n%s, live it is\n%s", name, got, want)
			}
			if got, want := jsonOf(t, contest.StaffSnapshot(other)), jsonOf(t, contest.StaffSnapshot(s)); got != want {
				t.Fatalf("%s from JSON, the organiser sees\n%s, live\n%s", name, got, want)
			}
		}
	})
}

func checkWinners(t *rapid.T, s *contest.State) {
	for _, c := range s.Categories() {
		ids := s.Winners(c.ID)
		if len(ids) > contest.DefaultWinners {
			t.Fatalf("category %q has %d winners", c.ID, len(ids))
		}
		for i, id := range ids {
			e, ok := s.Entry(id)
			if !ok || e.Hidden || e.Category != c.ID || slices.Contains(ids[:i], id) {
				t.Fatalf("%q cannot win %q: %+v", id, c.ID, e)
			}
		}
	}
}

func jsonOf(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPublicTypesHaveNoPersonalField looks at the types rather than at values,
// so that a field added later is found before it holds anything.
func TestPublicTypesHaveNoPersonalField(t *testing.T) {
	allowed := map[string]bool{"contest.PublicCategory.Name": true} // of a category, not of a person
	var walk func(reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Array:
			walk(typ.Elem())
		case reflect.Struct:
			for f := range typ.Fields() {
				where := typ.String() + "." + f.Name
				for _, private := range []string{"name", "phone", "mail", "reason", "fingerprint", "request"} {
					if strings.Contains(strings.ToLower(f.Name), private) && !allowed[where] {
						t.Errorf("%s is public", where)
					}
				}
				walk(f.Type)
			}
		case reflect.Interface:
			t.Errorf("%s can hold anything", typ)
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[contest.Snapshot](),
		reflect.TypeFor[contest.Feed](),
		reflect.TypeFor[contest.Winners](),
		reflect.TypeFor[contest.Categories](),
		reflect.TypeFor[contest.Removed](),
	} {
		walk(typ)
	}
}
