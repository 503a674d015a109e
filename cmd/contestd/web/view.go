package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
)

// A page is rendered from the state at one position. It carries the position
// and the state as JSON, so that its script subscribes from exactly there.

// firstCards is how many entries of the first category are in the page itself,
// to be seen before any script has loaded. The script draws the others.
const firstCards = 12

// page is what the layout needs to know of every page.
type page struct {
	Title   string
	Name    string   // names the page in the style sheet
	Script  string   // the module that runs the page
	Modules []string // what it imports: fetched at once instead of one after the other
	Data    any      // goes into the page as JSON
}

// data is the JSON of a page.
type data struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
	View  any    `json:"view"`
}

type feedPage struct {
	page
	Tabs  []tab
	First []card
}

type tab struct {
	ID       contest.CategoryID
	Name     string
	Count    int
	Selected bool
}

type card struct {
	contest.PublicEntry
	Ago string
}

// FeedPage is the wall of entries with the entry form.
func FeedPage(epoch string, seq uint64, view contest.Snapshot) any {
	p := feedPage{page: page{
		Title:   "Ink Contest",
		Name:    "feed",
		Script:  "feed.js",
		Modules: []string{"page.js", "connection.js", "words.js", "feed-model.js", "wall.js", "enter.js", "upload.js", "viewer.js"},
		Data:    data{epoch, seq, view},
	}}
	for i, c := range view.Categories {
		entries := view.Feed[c.ID]
		p.Tabs = append(p.Tabs, tab{c.ID, c.Name, len(entries), i == 0})
		if i > 0 {
			continue
		}
		for _, e := range entries[:min(firstCards, len(entries))] {
			p.First = append(p.First, card{e, ago(time.Since(time.UnixMilli(e.CreatedAt)))})
		}
	}
	return p
}

type winnersPage struct {
	page
	Sections []section
	Any      bool
}

type section struct {
	contest.PublicCategory
	Winners []place
}

type place struct {
	contest.PublicWinner
	Place string
}

// WinnersPage is the places of every category.
func WinnersPage(epoch string, seq uint64, view contest.Snapshot) any {
	p := winnersPage{
		page: page{
			Title:   "Winners · Ink Contest",
			Name:    "winners",
			Script:  "winners.js",
			Modules: []string{"page.js", "connection.js", "words.js", "feed-model.js", "viewer.js"},
			// The entries themselves are not shown here.
			Data: data{epoch, seq, contest.Snapshot{
				Categories:       view.Categories,
				Feed:             map[contest.CategoryID][]contest.PublicEntry{},
				Winners:          view.Winners,
				WinnersAvailable: view.WinnersAvailable,
			}},
		},
		Any: view.WinnersAvailable,
	}
	for _, c := range view.Categories {
		s := section{PublicCategory: c}
		for i, w := range view.Winners[c.ID] {
			s.Winners = append(s.Winners, place{w, ordinal(i + 1)})
		}
		p.Sections = append(p.Sections, s)
	}
	return p
}

// LoginPage asks the organiser for the password. Nothing of the contest is in
// it.
func LoginPage() any {
	return page{
		Title:   "Organiser · Ink Contest",
		Name:    "login",
		Script:  "login.js",
		Modules: []string{"page.js", "api.js"},
	}
}

type adminPage struct {
	page
	User string
}

// AdminPage is the organiser's board, names and phone numbers included.
func AdminPage(epoch string, seq uint64, user string, view contest.StaffView) any {
	return adminPage{
		page: page{
			Title:   "Organiser · Ink Contest",
			Name:    "admin",
			Script:  "admin.js",
			Modules: []string{"page.js", "connection.js", "words.js", "staff-model.js", "categories.js", "api.js", "viewer.js"},
			Data:    data{epoch, seq, view},
		},
		User: user,
	}
}

func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"static": p.url,
		"srcset": srcset,
		"widths": widths,
		"card":   func() card { return card{} }, // the blank that scripts copy
		"place":  func() place { return place{} },
	}
}

// srcset offers a photo of this server in the widths that package uploads
// keeps, so that a phone loads no more than it shows. width is the photo's own
// in pixels, 0 when it is not known. Photos elsewhere have no narrower copies.
func srcset(url string, width int) string {
	if !strings.HasPrefix(url, "/uploads/") {
		return ""
	}
	return uploads.SrcSet(url, width)
}

// widths is what the scripts need to know to do the same.
func widths() string { return strings.Trim(fmt.Sprint(uploads.Widths()), "[]") }

// ago says how long ago something was, as ago of words.js does.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// ordinal names a place, as ordinal of words.js does.
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}
