package contest

import (
	"reflect"
	"slices"
)

// StaffEntry is an entry as the organiser sees it.
type StaffEntry struct {
	ID            EntryID    `json:"id"`
	Number        int        `json:"number"`
	Category      CategoryID `json:"category"`
	Caption       string     `json:"caption"`
	Name          string     `json:"name"`
	Phone         string     `json:"phone"`
	ImageURL      string     `json:"imageUrl"`
	Width         int        `json:"width"`  // pixels of the image
	Height        int        `json:"height"` // pixels of the image
	StorageMethod string     `json:"storageMethod"`
	CreatedAt     int64      `json:"createdAt"`    // milliseconds since 1970
	SubmissionID  EntryID    `json:"submissionId"` // the same as ID
	Hidden        bool       `json:"hidden"`
	HiddenReason  string     `json:"hiddenReason"`
}

// StaffCategory is a category as the organiser sees it.
type StaffCategory struct {
	ID       CategoryID `json:"id"`
	Name     string     `json:"name"`
	Winners  int        `json:"winners"` // places
	Archived bool       `json:"archived"`
}

// Submissions is every entry. Each category has a list, newest first, archived
// categories included.
type Submissions struct {
	Submissions map[CategoryID][]StaffEntry `json:"submissions"`
}

// StaffCategoryList is the list in the organiser's order.
type StaffCategoryList struct {
	Categories []StaffCategory `json:"categories"`
}

// StaffWinners is the winners' ids, a list for each category.
type StaffWinners struct {
	Winners map[CategoryID][]EntryID `json:"winners"`
}

// StaffView is all that the organiser's page shows.
type StaffView struct {
	Categories  []StaffCategory             `json:"categories"`
	Submissions map[CategoryID][]StaffEntry `json:"submissions"`
	Winners     map[CategoryID][]EntryID    `json:"winners"`
}

func staffEntry(e Entry) StaffEntry {
	return StaffEntry{
		ID:            e.ID,
		Number:        e.Number,
		Category:      e.Category,
		Caption:       e.Caption,
		Name:          e.Name,
		Phone:         e.Phone,
		ImageURL:      e.Photo.URL,
		Width:         e.Photo.Width,
		Height:        e.Photo.Height,
		StorageMethod: e.Photo.Storage,
		CreatedAt:     e.CreatedAt.UnixMilli(),
		SubmissionID:  e.ID,
		Hidden:        e.Hidden,
		HiddenReason:  e.HiddenReason,
	}
}

// StaffSubmissions returns every entry.
func StaffSubmissions(s *State) Submissions {
	all := map[CategoryID][]StaffEntry{}
	for _, c := range s.categories {
		list := []StaffEntry{}
		for e := range s.Entries(c.ID) {
			list = append(list, staffEntry(e))
		}
		all[c.ID] = list
	}
	return Submissions{all}
}

func staffCategories(s *State) []StaffCategory {
	list := []StaffCategory{}
	for _, c := range s.categories {
		list = append(list, StaffCategory{c.ID, c.Name, c.places(), c.Archived})
	}
	return list
}

func staffWinners(s *State) map[CategoryID][]EntryID {
	winners := map[CategoryID][]EntryID{}
	for _, c := range s.categories {
		winners[c.ID] = append([]EntryID{}, s.Winners(c.ID)...)
	}
	return winners
}

// StaffSnapshot returns all that the organiser's page shows.
func StaffSnapshot(s *State) StaffView {
	return StaffView{
		Categories:  staffCategories(s),
		Submissions: StaffSubmissions(s).Submissions,
		Winners:     staffWinners(s),
	}
}

// Staff returns what the organiser is told of a change, as [Public] does for
// strangers.
//
// In order: categoriesUpdated ([StaffCategoryList]), entryAdded and
// entryChanged ([StaffEntry]), and winnersUpdated ([StaffWinners], all of
// them).
func Staff(before *State, events []Event, after *State) []Message {
	var messages []Message
	say := func(event string, data any) { messages = append(messages, Message{event, data}) }

	touched := touch(events, after)
	if touched.categories {
		if is := staffCategories(after); !slices.Equal(staffCategories(before), is) {
			say("categoriesUpdated", StaffCategoryList{is})
		}
	}
	for _, id := range touched.entries {
		was, known := before.Entry(id)
		is, _ := after.Entry(id)
		switch {
		case !known:
			say("entryAdded", staffEntry(is))
		case staffEntry(was) != staffEntry(is):
			say("entryChanged", staffEntry(is))
		}
	}
	if touched.winners {
		if is := staffWinners(after); !reflect.DeepEqual(staffWinners(before), is) {
			say("winnersUpdated", StaffWinners{is})
		}
	}
	return messages
}
