package contest

import (
	"fmt"
	"time"
)

// Limits of an entry's texts, in characters.
const (
	MaxCaption = 280
	MaxName    = 100
	MaxPhone   = 40
	MaxReason  = 280
)

// Entry is one photo in the contest. Name and Phone are the entrant's: for the
// organiser alone.
type Entry struct {
	ID           EntryID    `json:"id"`
	Number       int        `json:"number"` // counted from 1 over all categories, to be read aloud
	Category     CategoryID `json:"category"`
	Caption      string     `json:"caption"`
	Name         string     `json:"name"`
	Phone        string     `json:"phone"`
	Photo        Photo      `json:"photo"`
	CreatedAt    time.Time  `json:"createdAt"`
	Hidden       bool       `json:"hidden,omitempty"`
	HiddenReason string     `json:"hiddenReason,omitempty"`
}

// Submit enters a photo.
type Submit struct {
	Meta
	ID          EntryID
	Category    CategoryID
	Caption     string // 1 to 280 characters, as are the others within their limits
	Name        string
	Phone       string
	Photo       Photo
	Fingerprint string // same for the same content: tells a repeat from a reuse of the request id
}

// Submitted is a new entry.
type Submitted struct {
	Meta
	ID          EntryID    `json:"id"`
	Number      int        `json:"number"`
	Category    CategoryID `json:"category"`
	Caption     string     `json:"caption"`
	Name        string     `json:"name"`
	Phone       string     `json:"phone"`
	Photo       Photo      `json:"photo"`
	Fingerprint string     `json:"fingerprint"`
}

// Submit decides the command of the same name. A repeat of a request within a
// day gives no event and no error: [State.EntryByRequest] has the entry. It
// returns [*FieldErrors], [ErrUnknownCategory], [ErrRequestReused] or
// [ErrEntryExists].
func (s *State) Submit(cmd Submit) ([]Event, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	if first, ok := s.requests.Get(cmd.Request); ok && cmd.At.Sub(first.At) < requestLifetime {
		if first.Fingerprint != cmd.Fingerprint {
			return nil, ErrRequestReused
		}
		return nil, nil
	}

	var errs FieldErrors
	if cmd.Photo.ID == "" || cmd.Photo.URL == "" {
		errs.add("photo", "Choose a photo.")
	}
	if cmd.Category == "" {
		errs.add("category", "Choose a category.")
	}
	event := Submitted{
		Meta:        cmd.utc(),
		ID:          cmd.ID,
		Number:      s.lastNumber + 1,
		Category:    cmd.Category,
		Caption:     text(&errs, "caption", cmd.Caption, MaxCaption),
		Name:        text(&errs, "name", cmd.Name, MaxName),
		Phone:       text(&errs, "phone", cmd.Phone, MaxPhone),
		Photo:       cmd.Photo,
		Fingerprint: cmd.Fingerprint,
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	if _, ok := s.openCategory(cmd.Category); !ok {
		return nil, ErrUnknownCategory
	}
	// The mirror will not tell again of a photo that it has brought there.
	for other := range s.entriesWith(cmd.Photo.ID) {
		if other.Photo.Mirror != "" {
			event.Photo.Mirror, event.Photo.Storage = other.Photo.Mirror, other.Photo.Storage
		}
	}
	if _, taken := s.entries.Get(cmd.ID); taken || cmd.ID == "" {
		return nil, fmt.Errorf("%w: %q", ErrEntryExists, cmd.ID)
	}
	return []Event{{Submitted: &event}}, nil
}

func (s *State) applySubmitted(e *Submitted) error {
	if err := s.add(Entry{
		ID:        e.ID,
		Number:    e.Number,
		Category:  e.Category,
		Caption:   e.Caption,
		Name:      e.Name,
		Phone:     e.Phone,
		Photo:     e.Photo,
		CreatedAt: e.At,
	}); err != nil {
		return err
	}
	s.remember(e.Request, request{Entry: e.ID, Fingerprint: e.Fingerprint, At: e.At})
	return nil
}
