package main

import (
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/contest"
)

// logIn answers POST /api/login: {username?, password}.
func (a *app) logIn(w http.ResponseWriter, r *http.Request) error {
	var login struct {
		Username *string `json:"username"`
		Password string  `json:"password"`
	}
	if err := readJSON(w, r, &login); err != nil {
		return err
	}
	// The hash is compared for a wrong name too: time must not tell which it was.
	knownUser := login.Username == nil || *login.Username == "" ||
		subtle.ConstantTimeCompare([]byte(*login.Username), []byte(a.cfg.AdminUser)) == 1
	ok, err := a.throttle.try(r.Context(), a.clientAddress(r), func() (bool, error) {
		match, err := argon2id.ComparePasswordAndHash(login.Password, a.password)
		return match && knownUser, err
	})
	switch {
	case err != nil:
		return err
	case !ok:
		a.log.WarnContext(r.Context(), "login refused", "requestId", requestID(r.Context()))
		return refuseField(http.StatusUnauthorized, "password", "That is not the password.")
	}
	if err := a.sessions.logIn(r, a.cfg.AdminUser); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"success": true, "user": a.cfg.AdminUser})
}

// logOut answers POST /api/logout. Logging out twice is no mistake.
func (a *app) logOut(w http.ResponseWriter, r *http.Request) error {
	login := a.sessions.login(r)
	if err := a.sessions.logOut(r.Context(), r); err != nil {
		return err
	}
	a.hub.Kick(login) // other tabs of the same login hear nothing more for organisers
	return writeJSON(w, http.StatusOK, map[string]any{"success": true})
}

func (a *app) session(w http.ResponseWriter, r *http.Request) error {
	user := a.sessions.user(r)
	answer := map[string]any{"authenticated": user != ""}
	if user != "" {
		answer["user"] = user
	}
	return writeJSON(w, http.StatusOK, answer)
}

// submissions answers GET /api/submissions: everything the organiser may see.
func (a *app) submissions(w http.ResponseWriter, r *http.Request) error {
	state, _ := a.store.State()
	return writeJSON(w, http.StatusOK, contest.StaffSubmissions(state))
}

// setCategories answers POST /api/categories: {categories:[{id,name}]}
// replaces the list.
func (a *app) setCategories(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Categories []contest.CategoryInput `json:"categories"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	return a.command(w, r, func(s *contest.State) ([]contest.Event, error) {
		return s.SetCategories(contest.SetCategories{Meta: a.organiser(r), Categories: body.Categories})
	})
}

// saveWinners answers POST /api/save-winners: {winners:{<category>:[ids]}}
// touches only the categories it names.
func (a *app) saveWinners(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Winners map[contest.CategoryID][]contest.EntryID `json:"winners"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if body.Winners == nil {
		return refuseField(http.StatusBadRequest, "winners", `Name the winners: {"winners": {"<category>": ["<entry id>"]}}.`)
	}
	return a.command(w, r, func(s *contest.State) ([]contest.Event, error) {
		return s.PickWinners(contest.PickWinners{Meta: a.organiser(r), Winners: body.Winners})
	})
}

func (a *app) hide(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ID     contest.EntryID `json:"id"`
		Reason string          `json:"reason"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	return a.command(w, r, func(s *contest.State) ([]contest.Event, error) {
		return s.Hide(contest.Hide{Meta: a.organiser(r), Entry: body.ID, Reason: body.Reason})
	})
}

func (a *app) unhide(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ID contest.EntryID `json:"id"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	return a.command(w, r, func(s *contest.State) ([]contest.Event, error) {
		return s.Unhide(contest.Unhide{Meta: a.organiser(r), Entry: body.ID})
	})
}

// command runs an organiser's command and answers with its position.
func (a *app) command(w http.ResponseWriter, r *http.Request, decide func(*contest.State) ([]contest.Event, error)) error {
	ctx := atomicstore.WithRequestID(r.Context(), requestID(r.Context()))
	at, err := a.store.Update(ctx, decide)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]any{"success": true, "persistenceConfirmed": true, "position": at})
}

// organiser says who gave the command. The request id of each call is its own:
// organisers' commands set a state rather than add to it, so a repeat is harmless.
func (a *app) organiser(r *http.Request) contest.Meta {
	return contest.Meta{By: a.sessions.user(r), At: time.Now().UTC(), Request: contest.RequestID(requestID(r.Context()))}
}
