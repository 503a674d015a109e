package contest

import "reflect"

// This file alone decides what a stranger may see: never the name or the phone
// number of an entrant, never a hidden entry, never an archived category.

// PublicEntry is an entry as everyone sees it.
type PublicEntry struct {
	ID        EntryID    `json:"id"`
	Number    int        `json:"number"`
	Category  CategoryID `json:"category"`
	Caption   string     `json:"caption"`
	ImageURL  string     `json:"imageUrl"`
	Width     int        `json:"width"`  // pixels of the image
	Height    int        `json:"height"` // pixels of the image
	Artist    string     `json:"artist"`
	CreatedAt int64      `json:"createdAt"` // milliseconds since 1970
}

// PublicWinner is a winner as everyone sees it.
type PublicWinner struct {
	ID       EntryID `json:"id"`
	Caption  string  `json:"caption"`
	ImageURL string  `json:"imageUrl"`
}

// PublicCategory is a category as everyone sees it.
type PublicCategory struct {
	ID   CategoryID `json:"id"`
	Name string     `json:"name"`
}

// Feed is every visible entry. Each public category has a list, newest first.
type Feed struct {
	Feed             map[CategoryID][]PublicEntry `json:"feed"`
	WinnersAvailable bool                         `json:"winnersAvailable"`
}

// Winners is every winner. Each public category has a list, in order of place.
type Winners struct {
	Winners          map[CategoryID][]PublicWinner `json:"winners"`
	WinnersAvailable bool                          `json:"winnersAvailable"`
}

// Categories is the public list in the organiser's order.
type Categories struct {
	Categories []PublicCategory `json:"categories"`
}

// Snapshot is all that a public page shows.
type Snapshot struct {
	Categories       []PublicCategory              `json:"categories"`
	Feed             map[CategoryID][]PublicEntry  `json:"feed"`
	Winners          map[CategoryID][]PublicWinner `json:"winners"`
	WinnersAvailable bool                          `json:"winnersAvailable"`
}

// anonymous stands for the artist.
const anonymous = "Anonymous Artist"

// PublicEntryOf returns what a stranger may see of an entry, provided that the
// entry itself may be seen.
func PublicEntryOf(e Entry) PublicEntry {
	return PublicEntry{
		ID:        e.ID,
		Number:    e.Number,
		Category:  e.Category,
		Caption:   e.Caption,
		ImageURL:  e.Photo.URL,
		Width:     e.Photo.Width,
		Height:    e.Photo.Height,
		Artist:    anonymous,
		CreatedAt: e.CreatedAt.UnixMilli(),
	}
}

// PublicCategories returns the categories that are not archived.
func PublicCategories(s *State) []PublicCategory {
	list := []PublicCategory{}
	for _, c := range s.categories {
		if !c.Archived {
			list = append(list, PublicCategory{c.ID, c.Name})
		}
	}
	return list
}

// PublicFeed returns the visible entries.
func PublicFeed(s *State) Feed {
	feed := map[CategoryID][]PublicEntry{}
	for _, c := range PublicCategories(s) {
		feed[c.ID] = publicEntries(s, c.ID)
	}
	return Feed{Feed: feed, WinnersAvailable: winnersAvailable(s)}
}

func publicEntries(s *State, c CategoryID) []PublicEntry {
	list := []PublicEntry{}
	for e := range s.Entries(c) {
		if !e.Hidden {
			list = append(list, PublicEntryOf(e))
		}
	}
	return list
}

// PublicWinners returns the winners.
func PublicWinners(s *State) Winners {
	winners := map[CategoryID][]PublicWinner{}
	for _, c := range PublicCategories(s) {
		list := []PublicWinner{}
		for _, id := range s.Winners(c.ID) {
			e, _ := s.Entry(id)
			list = append(list, PublicWinner{e.ID, e.Caption, e.Photo.URL})
		}
		winners[c.ID] = list
	}
	return Winners{Winners: winners, WinnersAvailable: winnersAvailable(s)}
}

func winnersAvailable(s *State) bool {
	for _, c := range PublicCategories(s) {
		if _, some := s.winners.Get(c.ID); some {
			return true
		}
	}
	return false
}

// PublicSnapshot returns all that a public page shows.
func PublicSnapshot(s *State) Snapshot {
	return Snapshot{
		Categories:       PublicCategories(s),
		Feed:             PublicFeed(s).Feed,
		Winners:          PublicWinners(s).Winners,
		WinnersAvailable: winnersAvailable(s),
	}
}

// Message tells a page what to change. A page that applies the messages of a
// change to what it shows then shows the same as a page that is opened after
// the change.
type Message struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// Removed is the data of submissionRemoved.
type Removed struct {
	ID       EntryID    `json:"id"`
	Category CategoryID `json:"category"`
}

// Public returns what strangers are told of a change, possibly nothing. before
// and after are the states around the events.
//
// In order: categoriesUpdated ([Categories]; entries of a category that is
// missing are gone), submissionRemoved ([Removed]), newSubmission
// ([PublicEntry]; replaces an entry with the same id, ordered by number), and
// winnersUpdated ([Winners], all of them).
func Public(before *State, events []Event, after *State) []Message {
	var messages []Message
	say := func(event string, data any) { messages = append(messages, Message{event, data}) }

	touched := touch(events, after)
	if touched.categories {
		was, is := PublicCategories(before), PublicCategories(after)
		if !reflect.DeepEqual(was, is) {
			say("categoriesUpdated", Categories{is})
		}
		for _, c := range is {
			if _, seen := before.openCategory(c.ID); !seen {
				// Back from the archive, with its entries.
				for _, e := range publicEntries(after, c.ID) {
					say("newSubmission", e)
				}
			}
		}
	}
	for _, id := range touched.entries {
		was, wasSeen := before.visible(id)
		is, isSeen := after.visible(id)
		switch {
		case isSeen && (!wasSeen || PublicEntryOf(was) != PublicEntryOf(is)):
			say("newSubmission", PublicEntryOf(is))
		case wasSeen && !isSeen:
			say("submissionRemoved", Removed{was.ID, was.Category})
		}
	}
	if touched.winners {
		if is := PublicWinners(after); !reflect.DeepEqual(PublicWinners(before), is) {
			say("winnersUpdated", is)
		}
	}
	return messages
}

// visible returns an entry that strangers see.
func (s *State) visible(id EntryID) (Entry, bool) {
	e, ok := s.entries.Get(id)
	if !ok || e.Hidden {
		return Entry{}, false
	}
	_, ok = s.openCategory(e.Category)
	return e, ok
}

// touched is what events may have changed: the rest need not be compared, so
// that telling a change costs no more than the change.
type touched struct {
	categories, winners bool
	entries             []EntryID // each once, in order
}

func touch(events []Event, after *State) touched {
	var t touched
	seen := map[EntryID]bool{}
	entry := func(id EntryID) {
		if !seen[id] {
			seen[id] = true
			t.entries = append(t.entries, id)
		}
	}
	for _, e := range events {
		switch {
		case e.CategoriesSet != nil:
			t.categories, t.winners = true, true
		case e.Submitted != nil:
			entry(e.Submitted.ID)
		case e.Hidden != nil:
			entry(e.Hidden.Entry)
			t.winners = true
		case e.Unhidden != nil:
			entry(e.Unhidden.Entry)
		case e.WinnersPicked != nil:
			t.winners = true
		case e.PhotoMirrored != nil:
			for is := range after.entriesWith(e.PhotoMirrored.Photo) {
				entry(is.ID)
			}
		}
	}
	return t
}
