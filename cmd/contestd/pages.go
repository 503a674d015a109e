package main

import (
	"bytes"
	"net/http"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/cmd/contestd/web"
	"github.com/contestkit/contestkit/contest"
)

// A page is rendered from the state at one position and subscribes from there,
// so that nothing falls between what it shows and what it hears.

func (a *app) feedPage(w http.ResponseWriter, r *http.Request) error {
	state, at := a.store.State()
	return a.render(w, "feed", web.FeedPage(at.Epoch, at.Seq, contest.PublicSnapshot(state)))
}

func (a *app) winnersPage(w http.ResponseWriter, r *http.Request) error {
	state, at := a.store.State()
	return a.render(w, "winners", web.WinnersPage(at.Epoch, at.Seq, contest.PublicSnapshot(state)))
}

// adminPage is the login form for a stranger: nothing of the contest is in it.
func (a *app) adminPage(w http.ResponseWriter, r *http.Request) error {
	user := a.sessions.user(r)
	if user == "" {
		return a.render(w, "login", web.LoginPage())
	}
	state, at := a.store.State()
	return a.render(w, "admin", web.AdminPage(at.Epoch, at.Seq, user, contest.StaffSnapshot(state)))
}

func (a *app) render(w http.ResponseWriter, name string, data any) error {
	var page bytes.Buffer // so that a template that fails answers with a problem, not with half a page
	if err := a.pages.Render(&page, name, data); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache")
	}
	page.WriteTo(w) // an error here means that the client is gone
	return nil
}

func (a *app) publicFeed(w http.ResponseWriter, r *http.Request) error {
	state, at := a.store.State()
	setPosition(w, at)
	return writeJSON(w, http.StatusOK, contest.PublicFeed(state))
}

func (a *app) publicWinners(w http.ResponseWriter, r *http.Request) error {
	state, at := a.store.State()
	setPosition(w, at)
	return writeJSON(w, http.StatusOK, contest.PublicWinners(state))
}

func (a *app) categories(w http.ResponseWriter, r *http.Request) error {
	state, at := a.store.State()
	setPosition(w, at)
	return writeJSON(w, http.StatusOK, contest.PublicCategories(state))
}

// setPosition tells readers of the API where to subscribe from.
func setPosition(w http.ResponseWriter, at atomicstore.Position) {
	w.Header().Set("Contest-Position", at.String())
}
