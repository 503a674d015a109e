package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/storetest"
	"github.com/contestkit/contestkit/contest"
)

// TestTheContestKeepsWhatAStoreAsks runs random contests through everything
// that a store does with a state.
func TestTheContestKeepsWhatAStoreAsks(t *testing.T) {
	storetest.Run(t, storetest.Machine[*contest.State, contest.Event]{
		New:   contest.NewState,
		Apply: contest.Apply,
		Step:  randomCommand,
		Steps: 60,
	})
}

// randomCommand decides a command of the organiser or of a visitor, good or
// bad. There are few ids of everything, so that they are met again.
func randomCommand(r *rand.Rand, s *contest.State) ([]contest.Event, error) {
	category := func() contest.CategoryID {
		return []contest.CategoryID{"worst", "best", "worst", "best", "sleeve", "back"}[r.IntN(6)]
	}
	entry := func() contest.EntryID { return contest.EntryID(fmt.Sprintf("e%d", r.IntN(15))) }
	meta := contest.Meta{
		By:      "admin",
		At:      time.Date(2026, 11, 24, 18, 0, 0, 0, time.FixedZone("CET", 3600)).Add(time.Duration(r.IntN(72*3600)) * time.Second),
		Request: contest.RequestID(fmt.Sprintf("r%d", r.IntN(50))),
	}
	switch r.IntN(16) {
	case 0:
		list := []contest.CategoryInput{{ID: "best", Name: "Best Tattoo"}}
		for range r.IntN(3) {
			id := category()
			list = append(list, contest.CategoryInput{ID: id, Name: "The " + string(id)})
		}
		return s.SetCategories(contest.SetCategories{Meta: meta, Categories: list})
	case 1, 2:
		return s.Hide(contest.Hide{Meta: meta, Entry: entry(), Reason: "blurred"})
	case 3, 4:
		return s.Unhide(contest.Unhide{Meta: meta, Entry: entry()})
	case 7:
		return s.MirrorPhoto(contest.MirrorPhoto{Meta: meta, Photo: "p-" + contest.PhotoID(entry()), URL: "https://cloud/a", Storage: "cloudinary"})
	case 5, 6:
		winners := map[contest.CategoryID][]contest.EntryID{category(): {}}
		for c := range s.Entries(category()) {
			winners[c.Category] = []contest.EntryID{c.ID}
		}
		return s.PickWinners(contest.PickWinners{Meta: meta, Winners: winners})
	}
	id := entry()
	return s.Submit(contest.Submit{
		Meta:        meta,
		ID:          id,
		Category:    category(),
		Caption:     "Caption of <" + string(id) + ">",
		Name:        "Nora",
		Phone:       "0170 5550199",
		Photo:       contest.Photo{ID: "p-" + contest.PhotoID(id), URL: "/uploads/p-" + string(id), Width: 4, Height: 5, Storage: "local-primary"},
		Fingerprint: "print-" + string(id),
	})
}
