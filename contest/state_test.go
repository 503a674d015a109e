package contest_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/contestkit/contestkit/contest"
)

func TestAPublishedStateIsClonedAndReadByMany(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	want := marshal(t, contest.StaffSnapshot(s))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			mine := s.Clone()
			events, err := mine.Hide(contest.Hide{Meta: by("admin", 0, "h"), Entry: "a"})
			if err == nil {
				err = contest.Apply(mine, events[0])
			}
			if err != nil {
				t.Error(err)
			}
			if e, _ := mine.Entry("a"); !e.Hidden {
				t.Error("the clone did not change")
			}
			if got, err := json.Marshal(contest.StaffSnapshot(s)); err != nil || string(got) != want {
				t.Errorf("the origin changed: %s, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestWhatIsReturnedIsTheCallers(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	pick(t, s, "worst", "a")
	before := marshal(t, s)
	s.Winners("worst")[0] = "changed"
	s.Categories()[0].Name = "changed"
	contest.PublicFeed(s).Feed["worst"][0].Caption = "changed"
	if marshal(t, s) != before {
		t.Error("changing a result changed the state")
	}
}

func TestALoadedStateIsChecked(t *testing.T) {
	const ok = `{"categories":[{"id":"worst","name":"Worst"}],"lastNumber":1,` +
		`"entries":[{"id":"a","number":1,"category":"worst","caption":"c"}],"winners":{"worst":["a"]},"requests":{}}`
	s := new(contest.State)
	if err := json.Unmarshal([]byte(ok), s); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string][2]string{
		"winner without entry":      {`["a"]`, `["b"]`},
		"winner of another":         {`"winners":{"worst"`, `"winners":{"best"`},
		"entry without category":    {`"category":"worst"`, `"category":"best"`},
		"entry without number":      {`"number":1`, `"number":0`},
		"entry without id":          {`"id":"a"`, `"id":""`},
		"text in place of a number": {`"number":1`, `"number":"1"`},
	} {
		bad := strings.Replace(ok, edit[0], edit[1], 1)
		if bad == ok {
			t.Fatalf("%s: the edit does nothing", what)
		}
		if err := json.Unmarshal([]byte(bad), new(contest.State)); err == nil {
			t.Errorf("%s: loaded", what)
		}
	}
	// The number goes on above what is there, even where a hand has lowered it.
	lowered := strings.Replace(ok, `"lastNumber":1`, `"lastNumber":0`, 1)
	if err := json.Unmarshal([]byte(lowered), s); err != nil {
		t.Fatal(err)
	}
	submit(t, s, entry("b", "worst"))
	if e, _ := s.Entry("b"); e.Number != 2 {
		t.Errorf("got number %d, want 2", e.Number)
	}
}
