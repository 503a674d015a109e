package contest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/contest"
)

// TestGoldenEvents applies one written event of every kind, in an order that
// makes a contest, and writes each again as it was.
func TestGoldenEvents(t *testing.T) {
	s := given(t)
	for _, kind := range []string{"categoriesSet", "submitted", "hidden", "unhidden", "winnersPicked", "photoMirrored"} {
		golden, err := os.ReadFile(filepath.Join("testdata", "events", "v1", kind+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var e contest.Event
		if err := json.Unmarshal(golden, &e); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if got := marshal(t, e); got != string(bytes.TrimSpace(golden)) {
			t.Errorf("%s is written as\n%s, the file has\n%s", kind, got, golden)
		}
		if kind == "winnersPicked" {
			delete(e.WinnersPicked.Winners, "best") // archived by the first event, and empty
		}
		if err := contest.Apply(s, e); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	const want = `{"categories":[{"id":"sleeve","name":"Best Sleeve"},{"id":"worst","name":"Worst Tattoo"}],` +
		`"feed":{"sleeve":[],"worst":[{"id":"e8fj20","number":1,"category":"worst","caption":"Regret on the left arm",` +
		`"imageUrl":"/uploads/9f86d081","width":1200,"height":1500,"artist":"Anonymous Artist","createdAt":1795543262003}]},` +
		`"winners":{"sleeve":[],"worst":[{"id":"e8fj20","caption":"Regret on the left arm","imageUrl":"/uploads/9f86d081"}]},` +
		`"winnersAvailable":true}`
	if got := marshal(t, contest.PublicSnapshot(s)); got != want {
		t.Errorf("the golden contest shows\n%s, want\n%s", got, want)
	}
}

func TestEveryKindHasAGoldenFile(t *testing.T) {
	for field := range reflect.TypeFor[contest.Event]().Fields() {
		kind, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if _, err := os.Stat(filepath.Join("testdata", "events", "v1", kind+".json")); err != nil {
			t.Error(err)
		}
	}
}

func TestApplyRefusesAnEventOfNoneOrSeveralKinds(t *testing.T) {
	for name, e := range map[string]contest.Event{
		"none":    {},
		"several": {Hidden: &contest.Hidden{Entry: "a"}, Unhidden: &contest.Unhidden{Entry: "a"}},
	} {
		s := given(t)
		submit(t, s, entry("a", "worst"))
		before := marshal(t, s)
		if err := contest.Apply(s, e); err == nil {
			t.Errorf("%s: applied", name)
		}
		if marshal(t, s) != before {
			t.Errorf("%s: the refused event changed the state", name)
		}
	}
}

func TestApplyRefusesWhatDoesNotFitAndChangesNothing(t *testing.T) {
	good := given(t)
	submit(t, good, entry("a", "worst"))
	again := entry("a", "worst")
	misfits := map[string]contest.Event{
		"entry twice":           {Submitted: &contest.Submitted{Meta: again.Meta, ID: "a", Number: 2, Category: "worst"}},
		"number twice":          {Submitted: &contest.Submitted{Meta: again.Meta, ID: "b", Number: 1, Category: "worst"}},
		"no number":             {Submitted: &contest.Submitted{Meta: again.Meta, ID: "b", Category: "worst"}},
		"unknown category":      {Submitted: &contest.Submitted{Meta: again.Meta, ID: "b", Number: 2, Category: "sleeve"}},
		"hide of nothing":       {Hidden: &contest.Hidden{Entry: "nobody"}},
		"unhide of nothing":     {Unhidden: &contest.Unhidden{Entry: "nobody"}},
		"mirror of nothing":     {PhotoMirrored: &contest.PhotoMirrored{Photo: "nothing"}},
		"winner of nothing":     {WinnersPicked: &contest.WinnersPicked{Winners: map[contest.CategoryID][]contest.EntryID{"best": {}, "worst": {"nobody"}}}},
		"category with entries": {CategoriesSet: &contest.CategoriesSet{Categories: []contest.Category{{ID: "best", Name: "Best"}}}},
		"category twice":        {CategoriesSet: &contest.CategoriesSet{Categories: []contest.Category{{ID: "worst"}, {ID: "worst"}}}},
	}
	for name, e := range misfits {
		s := good.Clone()
		before := marshal(t, s)
		if err := contest.Apply(s, e); err == nil {
			t.Errorf("%s: applied", name)
		}
		if marshal(t, s) != before {
			t.Errorf("%s: the refused event changed the state", name)
		}
	}
}

func TestUnknownFieldsInsideAnEventAreIgnored(t *testing.T) {
	var e contest.Event
	newer := `{"hidden":{"by":"admin","at":"2026-11-24T18:02:00Z","request":"r3","entry":"a","until":"tomorrow"}}`
	if err := json.Unmarshal([]byte(newer), &e); err != nil {
		t.Fatal(err)
	}
	s := given(t)
	submit(t, s, entry("a", "worst"))
	if err := contest.Apply(s, e); err != nil {
		t.Error(err)
	}
}
