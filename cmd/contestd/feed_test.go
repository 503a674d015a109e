package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/reliablews"
)

// TestAChangeTooLargeForAMessageBecomesASnapshot archives a category and takes
// it back: all of its entries come back in one change. Neither the running feed
// nor the next start may fail on it.
func TestAChangeTooLargeForAMessageBecomesASnapshot(t *testing.T) {
	cfg := &config{StateDir: t.TempDir(), AdminUser: "admin", AdminPassword: testPassword}
	log := newLogger(cfg, new(safeBuffer))
	dir := t.TempDir()
	open := func() (*atomicstore.Store[*contest.State, contest.Event], *reliablews.Hub, *feed) {
		t.Helper()
		store, err := atomicstore.Open(dir, contest.NewState(), contest.Apply, nil)
		if err != nil {
			t.Fatal(err)
		}
		hub := reliablews.NewHub(&reliablews.HubOptions{MaxMessageBytes: 2 << 10})
		f, err := openFeed(t.Context(), store, hub, log)
		if err != nil {
			t.Fatal(err)
		}
		return store, hub, f
	}
	store, hub, f := open()
	n := 0
	update := func(decide func(*contest.State, contest.Meta) ([]contest.Event, error)) {
		t.Helper()
		n++
		meta := contest.Meta{By: "admin", At: time.Now(), Request: contest.RequestID(fmt.Sprint("r", n))}
		if _, err := store.Update(t.Context(), func(s *contest.State) ([]contest.Event, error) { return decide(s, meta) }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		update(func(s *contest.State, m contest.Meta) ([]contest.Event, error) {
			return s.Submit(contest.Submit{Meta: m, ID: contest.EntryID(fmt.Sprint("e", i)), Category: "best", Caption: "one of many", Name: "x", Phone: "1", Photo: contest.Photo{ID: "p", URL: "/p", Width: 1, Height: 1}})
		})
	}
	worst, best := contest.CategoryInput{ID: "worst", Name: "Worst"}, contest.CategoryInput{ID: "best", Name: "Best"}
	for _, list := range [][]contest.CategoryInput{{worst}, {worst, best}} {
		update(func(s *contest.State, m contest.Meta) ([]contest.Event, error) {
			return s.SetCategories(contest.SetCategories{Meta: m, Categories: list})
		})
	}
	reaches := func(f *feed) {
		t.Helper()
		_, at := store.State()
		for f.public.Position().Offset < at.Seq {
			select {
			case <-f.done:
				t.Fatalf("the feed ended at %s of %s: %v", f.public.Position(), at, f.err())
			case <-time.After(time.Millisecond):
			}
		}
	}
	reaches(f)
	shut := func() {
		t.Helper()
		f.close()
		if err := hub.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	shut()
	store, hub, f = open() // publishes all of it again
	reaches(f)
	if err := f.err(); err != nil {
		t.Error(err)
	}
	shut()
}

// TestAFeedThatFellBehindGoesOn holds the feed up until the log does not reach
// back to where it is.
func TestAFeedThatFellBehindGoesOn(t *testing.T) {
	said := new(safeBuffer)
	store, err := atomicstore.Open(t.TempDir(), contest.NewState(), contest.Apply, &atomicstore.Options{SegmentBytes: 4 << 10, KeepModifications: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	hub := reliablews.NewHub(nil)
	defer hub.Shutdown(context.Background())
	f, err := openFeed(t.Context(), store, hub, newLogger(&config{}, said))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()

	// Large changes: the feed reads ahead of what it has published by so many
	// changes or bytes, and must be behind with all of that.
	update := func(n int) {
		t.Helper()
		var list []contest.CategoryInput
		for i := range contest.MaxCategories {
			list = append(list, contest.CategoryInput{ID: contest.CategoryID(fmt.Sprint("c", i)), Name: fmt.Sprintf("%070d", n)})
		}
		if _, err := store.Update(t.Context(), func(s *contest.State) ([]contest.Event, error) {
			return s.SetCategories(contest.SetCategories{Meta: contest.Meta{By: "a", At: time.Now(), Request: contest.RequestID(fmt.Sprint(n))}, Categories: list})
		}); err != nil {
			t.Fatal(err)
		}
	}
	held := func() bool {
		ahead := atomicstore.Position{Epoch: f.at.Epoch, Seq: f.at.Seq + 500}
		for _, err := range store.Changes(t.Context(), ahead) {
			var gone *atomicstore.TruncatedError
			return !errors.As(err, &gone)
		}
		return true
	}
	f.mu.Lock() // publishing waits
	n := 0
	for ; n < 600 || held(); n++ {
		update(n)
		if n%100 == 99 {
			if err := store.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n == 20_000 {
			t.Fatal("the log is never cut")
		}
	}
	f.mu.Unlock()
	for i := range 10 {
		update(n + i)
	}
	for f.lag() > 0 {
		select {
		case <-f.done:
			t.Fatal(f.err())
		case <-time.After(time.Millisecond):
		}
	}
	if !strings.Contains(said.String(), "fell behind") {
		t.Error("the feed did not fall behind: this test shows nothing")
	}
	if got := contest.PublicCategories(f.state); got[0].Name != fmt.Sprintf("%070d", n+9) {
		t.Errorf("the feed shows %v", got)
	}
}
