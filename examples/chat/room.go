package main

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/contestkit/contestkit/reliablews"
)

const (
	keptMessages = 500  // shown to who comes
	keptPeople   = 1000 // over it, the name that was chosen first is free again
	maxName      = 24   // characters
	maxText      = 2000 // characters
	maxID        = 64   // bytes
)

// Room is the whole state: what everyone said last, and who has which name. It
// is small enough to be copied.
type Room struct {
	People   []Person `json:"people"`   // who chose a name last is last
	Messages []Said   `json:"messages"` // oldest first
}

// Event is what can happen: one of these fields is set.
type Event struct {
	Named *Person `json:"named,omitempty"`
	Said  *Said   `json:"said,omitempty"`
}

// Person is a user and the name that the user has chosen.
type Person struct {
	User string `json:"user"`
	Name string `json:"name"`
}

// Said is a message to everyone.
type Said struct {
	ID   string `json:"id"`   // made by the page; the same when it repeats the message
	By   string `json:"by"`   // user
	Name string `json:"name"` // the name at that time
	Text string `json:"text"`
	At   int64  `json:"at"` // milliseconds since 1970
}

func (r *Room) Clone() *Room {
	return &Room{People: slices.Clone(r.People), Messages: slices.Clone(r.Messages)}
}

// apply is the only place where the room changes.
func apply(r *Room, e Event) error {
	switch {
	case e.Named != nil:
		r.People = slices.DeleteFunc(r.People, func(p Person) bool { return p.User == e.Named.User })
		r.People = append(r.People, *e.Named)
		r.People = r.People[max(0, len(r.People)-keptPeople):]
	case e.Said != nil:
		r.Messages = append(r.Messages, *e.Said)
		r.Messages = r.Messages[max(0, len(r.Messages)-keptMessages):]
	}
	return nil
}

// name returns the name that a user has chosen, "" for none.
func (r *Room) name(user string) string {
	i := slices.IndexFunc(r.People, func(p Person) bool { return p.User == user })
	if i < 0 {
		return ""
	}
	return r.People[i].Name
}

// rename decides whether a user may have a name.
func (r *Room) rename(p Person) ([]Event, error) {
	p.Name = strings.Join(strings.Fields(p.Name), " ")
	switch {
	case p.Name == "" || utf8.RuneCountInString(p.Name) > maxName:
		return nil, refuse("length", "A name has 1 to 24 characters.")
	case strings.ContainsFunc(p.Name, func(c rune) bool { return !unicode.IsPrint(c) }):
		return nil, refuse("characters", "That name has characters that cannot be seen.")
	}
	for _, other := range r.People {
		if other == p {
			return nil, nil // has it already
		}
		if other.User != p.User && strings.EqualFold(other.Name, p.Name) {
			return nil, refuse("taken", "Somebody has that name. Choose another one.")
		}
	}
	return []Event{{Named: &p}}, nil
}

// say decides whether a message is said. One that is repeated, as after a
// restart of the server, was: it is said once.
func (r *Room) say(m Said) ([]Event, error) {
	if slices.ContainsFunc(r.Messages, func(s Said) bool { return s.By == m.By && s.ID == m.ID }) {
		return nil, nil
	}
	if m.Name = r.name(m.By); m.Name == "" {
		return nil, errNoName
	}
	m.Text = strings.TrimSpace(m.Text)
	if err := checkText(m.ID, m.Text); err != nil {
		return nil, err
	}
	return []Event{{Said: &m}}, nil
}

func checkText(id, text string) error {
	switch {
	case id == "" || len(id) > maxID:
		return refuse("id", "That message has no id, or a long one.")
	case text == "" || utf8.RuneCountInString(text) > maxText:
		return refuse("length", "A message has 1 to 2,000 characters.")
	}
	return nil
}

var errNoName = refuse("name", "Choose a name first.")

// refuse is what the page is told: a word for it, a sentence for its visitor.
func refuse(word, sentence string) error {
	return &reliablews.ReplyError{Refused: word, Text: sentence}
}
