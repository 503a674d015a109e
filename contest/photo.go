package contest

import (
	"errors"
	"fmt"
	"iter"
	"net/url"
)

// Photo is where the picture of an entry is.
type Photo struct {
	ID      PhotoID `json:"id"`
	URL     string  `json:"url"`    // as pages show it, for ever
	Width   int     `json:"width"`  // pixels
	Height  int     `json:"height"` // pixels
	Storage string  `json:"storage"`
	Mirror  string  `json:"mirror,omitempty"` // where it is in the cloud, "" while it is not known to be there
}

// MirrorPhoto notes that a photo has come to the cloud. Pages show it at the
// address that they know.
type MirrorPhoto struct {
	Meta
	Photo   PhotoID
	URL     string // where it is there; an address without a password
	Storage string // what the organiser sees as the storage from now on
}

// PhotoMirrored is a photo that has come to the cloud.
type PhotoMirrored struct {
	Meta
	Photo   PhotoID `json:"photo"`
	URL     string  `json:"url"`
	Storage string  `json:"storage"`
}

var errMirror = errors.New("contest: a mirrored photo needs a Storage and the http address where it is, without a password")

// MirrorPhoto decides the command of the same name, for every entry with the
// photo. What is known already gives no event. It returns [ErrUnknownPhoto] when
// no entry has the photo, which may be because it is yet to come.
func (s *State) MirrorPhoto(cmd MirrorPhoto) ([]Event, error) {
	if err := cmd.check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(cmd.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || cmd.Storage == "" {
		return nil, errMirror // without the error, which repeats the address
	}
	named, news := false, false
	for e := range s.entriesWith(cmd.Photo) {
		named = true
		news = news || e.Photo.Mirror != cmd.URL || e.Photo.Storage != cmd.Storage
	}
	switch {
	case !named:
		return nil, fmt.Errorf("%w: %q", ErrUnknownPhoto, cmd.Photo)
	case !news:
		return nil, nil
	}
	return []Event{{PhotoMirrored: &PhotoMirrored{Meta: cmd.utc(), Photo: cmd.Photo, URL: cmd.URL, Storage: cmd.Storage}}}, nil
}

func (s *State) applyPhotoMirrored(e *PhotoMirrored) error {
	var entries []Entry // the tree must not change while it is read
	for entry := range s.entriesWith(e.Photo) {
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return ErrUnknownPhoto
	}
	for _, entry := range entries {
		entry.Photo.Mirror, entry.Photo.Storage = e.URL, e.Storage
		s.entries.Set(entry.ID, entry)
	}
	return nil
}

// Photos returns the photo of every entry, hidden ones included: each photo once,
// however many entries have it.
func (s *State) Photos() iter.Seq[Photo] {
	return func(yield func(Photo) bool) {
		last := PhotoID("")
		s.photos.Scan(func(_ photoKey, id EntryID) bool {
			e, _ := s.entries.Get(id)
			if e.Photo.ID == last {
				return true
			}
			last = e.Photo.ID
			return yield(e.Photo)
		})
	}
}

// HasPhoto tells whether an entry has the photo.
func (s *State) HasPhoto(id PhotoID) bool {
	for range s.entriesWith(id) {
		return true
	}
	return false
}

// photoKey orders entries by their photo.
type photoKey string

func shownBy(photo PhotoID, entry EntryID) photoKey {
	return photoKey(string(photo) + "\x00" + string(entry))
}

// entriesWith returns the entries that have a photo.
func (s *State) entriesWith(photo PhotoID) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		s.photos.Ascend(shownBy(photo, ""), func(_ photoKey, id EntryID) bool {
			e, _ := s.entries.Get(id)
			return e.Photo.ID == photo && yield(e)
		})
	}
}
