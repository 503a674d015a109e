package contest

import (
	"errors"
	"time"
)

// The ids have types of their own, so that one taken for another does not
// compile.
type (
	EntryID    string // chosen by the caller, random, in every address of the entry
	CategoryID string // chosen by the organiser, such as "worst"
	PhotoID    string // the name of a photo in its storage
	RequestID  string // chosen by whoever sends a command, to make a repeat safe
)

// Meta is part of every command and of every event it leads to.
type Meta struct {
	By      string    `json:"by"`      // who: "visitor", "server", or the organiser's user name; no entrant's name
	At      time.Time `json:"at"`      // when, in UTC
	Request RequestID `json:"request"` // which request asked for it
}

// errNoMeta is a mistake in the calling program, not of any user.
var errNoMeta = errors.New("contest: a command needs By, At and Request")

func (m Meta) check() error {
	if m.By == "" || m.At.IsZero() || m.Request == "" {
		return errNoMeta
	}
	return nil
}

// utc fixes the time zone, so that an event has one form however it was made.
func (m Meta) utc() Meta {
	m.At = m.At.UTC()
	return m
}
