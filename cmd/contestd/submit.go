package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
)

const (
	maxPhoto      = 10 << 20        // bytes
	maxText       = 4 << 10         // bytes in one text field, far above what the rules allow
	maxParts      = 16              // fields in one form
	uploadTimeout = 5 * time.Minute // for one photo over a hall's Wi-Fi
	maxKey        = 128             // characters in an Idempotency-Key
)

// submitted answers POST /api/submit. It holds nothing that the public feed
// does not: the page that sent a name already knows it.
type submitted struct {
	Success              bool                 `json:"success"`
	Entry                contest.PublicEntry  `json:"entry"`
	StorageMethod        string               `json:"storageMethod"`
	SubmissionID         contest.EntryID      `json:"submissionId"`
	PersistenceConfirmed bool                 `json:"persistenceConfirmed"`
	TransactionID        string               `json:"transactionId"`
	Position             atomicstore.Position `json:"position"`
}

// submit takes an entry. The order is the promise: the photo is on disk before
// the entry that names it, and the answer comes after both. The live pages
// learn of it from the log (feed.go), never from here.
func (a *app) submit(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	// One slow phone must not hold a request for ever, nor be cut off early.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTimeout)); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxPhoto+maxParts*maxText)
	form, err := r.MultipartReader()
	if err != nil {
		return refuse(http.StatusUnsupportedMediaType, "Send the entry as a form: multipart/form-data with photo, category, caption, name and phone.")
	}
	cmd, err := a.readEntry(r.Context(), form)
	// A phone that is still sending when the connection closes never reads why:
	// what is left of the body, which is bounded, goes by before the answer.
	io.Copy(io.Discard, r.Body)
	if err != nil {
		return err
	}
	cmd.Meta = contest.Meta{By: "visitor", At: time.Now().UTC(), Request: contest.RequestID(key)}
	cmd.ID = contest.EntryID(strings.ToLower(rand.Text()[:16]))
	cmd.Fingerprint = fingerprint(cmd)

	ctx := atomicstore.WithRequestID(r.Context(), requestID(r.Context()))
	at, err := a.store.Update(ctx, func(s *contest.State) ([]contest.Event, error) { return s.Submit(cmd) })
	if err != nil {
		return err
	}

	state, _ := a.store.State()
	entry, ok := state.EntryByRequest(cmd.Request)
	if !ok {
		return errors.New("the entry was saved but is not in the state")
	}
	return writeJSON(w, http.StatusCreated, submitted{
		Success:              true,
		Entry:                contest.PublicEntryOf(entry),
		StorageMethod:        entry.Photo.Storage,
		SubmissionID:         entry.ID,
		PersistenceConfirmed: true,
		TransactionID:        at.String(),
		Position:             at,
	})
}

// readEntry reads the form in the order it comes. Texts that come before the
// photo are checked before the photo is decoded and written.
func (a *app) readEntry(ctx context.Context, form *multipart.Reader) (contest.Submit, error) {
	var cmd contest.Submit
	texts := map[string]*string{"caption": &cmd.Caption, "name": &cmd.Name, "phone": &cmd.Phone, "category": (*string)(&cmd.Category)}
	seen := map[string]bool{}
	for range maxParts {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return cmd, nil // what is missing, the rules say
		}
		if err != nil {
			return cmd, formError(err)
		}
		name := part.FormName()
		if _, known := texts[name]; (known || name == "photo") && seen[name] {
			return cmd, refuseField(http.StatusBadRequest, name, "This field was sent twice. Send it once.")
		}
		seen[name] = true
		switch {
		case name == "photo":
			if seen["caption"] && seen["name"] && seen["phone"] && seen["category"] {
				if err := a.checkTexts(cmd); err != nil {
					return cmd, err
				}
			}
			if cmd.Photo, err = a.takePhoto(ctx, part); err != nil {
				return cmd, err
			}
		case texts[name] != nil:
			if *texts[name], err = readText(part); err != nil {
				return cmd, err
			}
		}
	}
	return cmd, refuse(http.StatusBadRequest, "The form has too many fields.")
}

// checkTexts asks the rules about an entry whose photo is still to come.
func (a *app) checkTexts(cmd contest.Submit) error {
	state, _ := a.store.State()
	cmd.Meta = contest.Meta{By: "visitor", At: time.Now().UTC(), Request: "check"}
	cmd.ID, cmd.Fingerprint = "check", "check"
	cmd.Photo = contest.Photo{ID: "check", URL: "/", Width: 1, Height: 1, Storage: storageLocal}
	_, err := state.Submit(cmd)
	return err
}

// storageLocal is the storage method of a photo that is in the uploads folder
// and meant to be there.
const storageLocal = "local-primary"

// takePhoto puts the photo on disk. A browser sends an empty part for a file
// that was not chosen: that is no photo, and the rules will say so.
func (a *app) takePhoto(ctx context.Context, part io.Reader) (contest.Photo, error) {
	body := bufio.NewReader(part)
	if _, err := body.Peek(1); errors.Is(err, io.EOF) {
		return contest.Photo{}, nil
	}
	photo, err := a.photos.Accept(ctx, body)
	if err != nil {
		return contest.Photo{}, formError(err)
	}
	return photoOf(photo), nil
}

func photoOf(p uploads.Photo) contest.Photo {
	return contest.Photo{ID: contest.PhotoID(p.ID), URL: "/uploads/" + string(p.ID), Width: p.Width, Height: p.Height, Storage: storageLocal}
}

func readText(part io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(part, maxText+1))
	if err != nil {
		return "", formError(err)
	}
	return string(b), nil // longer than the rules allow stays longer: they refuse it
}

// formError keeps errors that already say what to do and explains the rest:
// what goes wrong while reading a form is the sender's side or the network.
func formError(err error) error {
	var tooLong *http.MaxBytesError
	var photo photoError
	if errors.As(err, &tooLong) || errors.As(err, &photo) || !isFormFault(err) {
		return err
	}
	return &problem{Status: http.StatusBadRequest, Detail: "The form broke off in the middle. Send it again.", cause: err}
}

func isFormFault(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false // it did not break off: it was too slow
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || strings.HasPrefix(err.Error(), "multipart:") || strings.HasPrefix(err.Error(), "mime:")
}

// idempotencyKey returns the key that makes a retry safe, made up for senders
// that give none.
func idempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return "once-" + rand.Text(), nil
	}
	if len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c < '!' || c > '~' }) {
		return "", refuse(http.StatusBadRequest, "The Idempotency-Key must be 1 to 128 visible ASCII characters.")
	}
	return key, nil
}

// fingerprint tells whether two requests with one key are the same entry.
func fingerprint(cmd contest.Submit) string {
	h := sha256.New()
	// Marshalling keeps the fields apart; a list of strings cannot fail.
	fields, _ := json.Marshal([]string{string(cmd.Category), cmd.Caption, cmd.Name, cmd.Phone, string(cmd.Photo.ID)})
	h.Write(fields)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
