package contest_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/contestkit/contestkit/contest"
)

const place = "https://res.cloudinary.com/demo/image/upload/v1/p.jpg"

func mirror(photo contest.PhotoID) contest.MirrorPhoto {
	return contest.MirrorPhoto{Meta: by("server", time.Hour, "mirror"), Photo: photo, URL: place, Storage: "cloudinary"}
}

func TestAMirroredPhotoChangesNothingForStrangers(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	same := entry("b", "best")
	same.Photo.ID = "p-a"
	submit(t, s, same)
	submit(t, s, entry("c", "best"))
	before := s.Clone()
	public := marshal(t, contest.PublicSnapshot(s))

	events, err := s.MirrorPhoto(mirror("p-a"))
	must(t, s, events, err)
	for id, want := range map[contest.EntryID]string{"a": place, "b": place, "c": ""} {
		e, _ := s.Entry(id)
		if e.Photo.Mirror != want || (e.Photo.Storage == "cloudinary") != (want != "") || e.Photo.URL != "/uploads/p-"+string(id) {
			t.Errorf("the photo of %s is %+v", id, e.Photo)
		}
	}
	if got := marshal(t, contest.PublicSnapshot(s)); got != public {
		t.Errorf("strangers see\n%s, want as before\n%s", got, public)
	}
	if got := contest.Public(before, events, s); got != nil {
		t.Errorf("strangers are told %+v", got)
	}
	var told []string
	for _, m := range contest.Staff(before, events, s) {
		e := m.Data.(contest.StaffEntry)
		told = append(told, m.Event+" "+string(e.ID)+" "+e.StorageMethod)
	}
	if want := []string{"entryChanged a cloudinary", "entryChanged b cloudinary"}; !slices.Equal(told, want) {
		t.Errorf("the organiser is told %q, want %q", told, want)
	}
}

func TestMirroringTwiceIsMirroringOnce(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	events, err := s.MirrorPhoto(mirror("p-a"))
	must(t, s, events, err)
	if events, err := s.MirrorPhoto(mirror("p-a")); events != nil || err != nil {
		t.Errorf("again: %+v, %v; want no event", events, err)
	}
	moved := mirror("p-a")
	moved.URL += "?elsewhere"
	if events, err := s.MirrorPhoto(moved); len(events) != 1 || err != nil {
		t.Errorf("elsewhere: %+v, %v; want an event", events, err)
	}
}

// TestALaterEntryWithAMirroredPhoto is one that the mirror tells nobody of: the
// photo was there before the entry.
func TestALaterEntryWithAMirroredPhoto(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	events, err := s.MirrorPhoto(mirror("p-a"))
	must(t, s, events, err)
	same := entry("b", "best")
	same.Photo.ID = "p-a"
	submit(t, s, same)
	if e, _ := s.Entry("b"); e.Photo.Mirror != place || e.Photo.Storage != "cloudinary" {
		t.Errorf("the photo of the later entry is %+v", e.Photo)
	}
}

func TestRefusedMirrors(t *testing.T) {
	s := given(t)
	submit(t, s, entry("a", "worst"))
	if _, err := s.MirrorPhoto(mirror("p-b")); !errors.Is(err, contest.ErrUnknownPhoto) {
		t.Errorf("of a photo of no entry: got %v, want ErrUnknownPhoto", err)
	}
	if _, err := s.MirrorPhoto(mirror("p-")); !errors.Is(err, contest.ErrUnknownPhoto) {
		t.Errorf("of the beginning of an id: got %v, want ErrUnknownPhoto", err)
	}
	for name, change := range map[string]func(*contest.MirrorPhoto){
		"no place":          func(c *contest.MirrorPhoto) { c.URL = "" },
		"a path":            func(c *contest.MirrorPhoto) { c.URL = "/uploads/a" },
		"a script":          func(c *contest.MirrorPhoto) { c.URL = "javascript:alert(1)" },
		"a secret in it":    func(c *contest.MirrorPhoto) { c.URL = "https://key:secret@host/a" },
		"no storage method": func(c *contest.MirrorPhoto) { c.Storage = "" },
		"nobody":            func(c *contest.MirrorPhoto) { c.By = "" },
	} {
		cmd := mirror("p-a")
		change(&cmd)
		if events, err := s.MirrorPhoto(cmd); err == nil {
			t.Errorf("%s: got %+v", name, events)
		}
	}
}

func TestPhotos(t *testing.T) {
	s := given(t)
	for _, id := range []contest.EntryID{"b", "a", "c"} {
		cmd := entry(id, "best")
		if id == "c" {
			cmd.Photo.ID = "p-a"
		}
		submit(t, s, cmd)
	}
	var got []contest.PhotoID
	for p := range s.Photos() {
		got = append(got, p.ID)
	}
	if want := []contest.PhotoID{"p-a", "p-b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want each once, %q", got, want)
	}
	if !s.HasPhoto("p-a") || s.HasPhoto("p-c") || s.HasPhoto("p-") || s.HasPhoto("") {
		t.Error("HasPhoto is wrong")
	}
}
