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

func TestSubmitGivesOneEventWithANumber(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	cmd := entry("b", "best")
	cmd.Caption = "  room around  "

	events, err := s.Submit(cmd)
	want := []contest.Event{{Submitted: &contest.Submitted{
		Meta: cmd.Meta, ID: "b", Number: 2, Category: "best", Caption: "room around",
		Name: cmd.Name, Phone: cmd.Phone, Photo: cmd.Photo, Fingerprint: cmd.Fingerprint,
	}}}
	if diff := cmp.Diff(want, events); err != nil || diff != "" {
		t.Errorf("got error %v and, want to got:\n%s", err, diff)
	}
	if s.Len() != 1 {
		t.Errorf("deciding changed the state: %d entries", s.Len())
	}
}

func TestSubmitRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*contest.Submit)
		field  string
		is     error
	}{
		"no caption":            {change: func(c *contest.Submit) { c.Caption = " \t" }, field: "caption"},
		"no name":               {change: func(c *contest.Submit) { c.Name = "" }, field: "name"},
		"no phone":              {change: func(c *contest.Submit) { c.Phone = "" }, field: "phone"},
		"no photo":              {change: func(c *contest.Submit) { c.Photo = contest.Photo{} }, field: "photo"},
		"no category":           {change: func(c *contest.Submit) { c.Category = "" }, field: "category"},
		"long caption":          {change: func(c *contest.Submit) { c.Caption = strings.Repeat("é", 281) }, field: "caption"},
		"long name":             {change: func(c *contest.Submit) { c.Name = strings.Repeat("n", 101) }, field: "name"},
		"long phone":            {change: func(c *contest.Submit) { c.Phone = strings.Repeat("1", 41) }, field: "phone"},
		"line break":            {change: func(c *contest.Submit) { c.Caption = "one\ntwo" }, field: "caption"},
		"null byte":             {change: func(c *contest.Submit) { c.Name = "a\x00b" }, field: "name"},
		"right-to-left mark":    {change: func(c *contest.Submit) { c.Caption = "photo\u202egnp.exe" }, field: "caption"},
		"isolate":               {change: func(c *contest.Submit) { c.Caption = "a\u2066b" }, field: "caption"},
		"broken UTF-8":          {change: func(c *contest.Submit) { c.Caption = "a\xffb" }, field: "caption"},
		"unknown category":      {change: func(c *contest.Submit) { c.Category = "sleeve" }, is: contest.ErrUnknownCategory},
		"id taken":              {change: func(c *contest.Submit) { c.ID = "first" }, is: contest.ErrEntryExists},
		"request id reused":     {change: func(c *contest.Submit) { c.Request = "request-first" }, is: contest.ErrRequestReused},
		"archived category":     {change: func(c *contest.Submit) { c.Category = "best" }, is: contest.ErrUnknownCategory},
		"command without Meta":  {change: func(c *contest.Submit) { c.Meta = contest.Meta{} }},
		"command without an id": {change: func(c *contest.Submit) { c.ID = "" }, is: contest.ErrEntryExists},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := given(t)
			submit(t, s, entry("first", "best"))
			setCategories(t, s, "worst")
			cmd := entry("new", "worst")
			test.change(&cmd)

			events, err := s.Submit(cmd)
			if err == nil || events != nil {
				t.Fatalf("got %v and error %v, want a refusal", events, err)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, want %v", err, test.is)
			}
			var fields *contest.FieldErrors
			if test.field != "" && (!errors.As(err, &fields) || len(fields.Fields) != 1 || fields.Fields[0].Field != test.field || fields.Fields[0].Detail == "") {
				t.Errorf("got %v, want a sentence for the field %s alone", err, test.field)
			}
		})
	}
}

func TestSubmitNamesEveryWrongFieldAtOnce(t *testing.T) {
	_, err := given(t).Submit(contest.Submit{Meta: by("visitor", 0, "r"), ID: "x"})
	var fields *contest.FieldErrors
	if !errors.As(err, &fields) {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fields.Fields {
		got = append(got, f.Field)
	}
	if want := []string{"photo", "category", "caption", "name", "phone"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTextsMayUseTheirWholeLimitAndEmoji(t *testing.T) {
	s := given(t)
	cmd := entry("a", "worst")
	cmd.Caption = strings.Repeat("🖤", 278) + "👩\u200d🎤"[0:4] + "é"
	submit(t, s, cmd)
	joined := entry("b", "worst")
	joined.Caption = "👩\u200d🎤 on the arm" // a joiner is no forbidden control
	submit(t, s, joined)
}

func TestARepeatedRequestGetsTheFirstEntryForADay(t *testing.T) {
	s := given(t)
	cmd := entry("a", "worst")
	submit(t, s, cmd)

	repeat := cmd
	repeat.ID, repeat.At = "other-id", cmd.At.Add(24*time.Hour-time.Nanosecond)
	events, err := s.Submit(repeat)
	if err != nil || len(events) != 0 {
		t.Fatalf("got %v, %v, want neither events nor an error", events, err)
	}
	if e, ok := s.EntryByRequest(cmd.Request); !ok || e.ID != "a" {
		t.Errorf("got entry %q, want a", e.ID)
	}

	// A day later the same request id is a new request, before and after an
	// event has swept the old one away.
	late := cmd
	late.ID, late.At = "late", cmd.At.Add(24*time.Hour)
	events, err = s.Submit(late)
	must(t, s, events, err)
	if e, _ := s.EntryByRequest(cmd.Request); e.ID != "late" || s.Len() != 2 {
		t.Errorf("got entry %q of %d, want late of 2", e.ID, s.Len())
	}
}

func TestRequestsAreForgottenByTheTimeOfEvents(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	next := entry("b", "worst")
	next.At = evening.Add(25 * time.Hour)
	submit(t, s, next)
	if _, ok := s.EntryByRequest("request-a"); ok {
		t.Error("a request is remembered after a day")
	}
	if _, ok := s.EntryByRequest("request-b"); !ok {
		t.Error("a new request is not remembered")
	}
	if _, ok := s.Entry("a"); !ok {
		t.Error("the entry went with its request")
	}
}

// A request id that is used again after a day leaves nothing of its first use
// behind: a state that was loaded would not have it, and forget other requests.
func TestALoadedStateForgetsTheSameRequests(t *testing.T) {
	s := given(t)
	for i, use := range []struct {
		request contest.RequestID
		after   time.Duration
	}{{"other", 2 * time.Hour}, {"again", 0}, {"again", 25 * time.Hour}, {"late", 27 * time.Hour}} {
		cmd := entry(contest.EntryID(fmt.Sprintf("e%d", i)), "worst")
		cmd.Meta = by("visitor", use.after, use.request)
		submit(t, s, cmd)
	}
	if _, ok := s.EntryByRequest("other"); ok {
		t.Error("a request is remembered for more than a day")
	}
}
