package uploads

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Handler serves the photos at /<id>, and narrower copies at /<id>?w=400, 800
// and 1600. Mount it with http.StripPrefix.
//
// Answers may be kept for ever: a photo does not change under its id. They have
// an ETag and ranges, their type is image/jpeg whatever the browser thinks, and
// a page opened from one can do nothing. A photo that was deleted is 410, an
// unknown one 404.
//
// The first request for a copy waits until it is made. If that fails, which is
// logged, the photo itself is sent and not to be kept.
func (d *Dir) Handler() http.Handler { return http.HandlerFunc(d.serve) }

func (d *Dir) serve(w http.ResponseWriter, r *http.Request) {
	// Also on errors: nothing here is ever a page.
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")

	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		refuseRequest(w, http.StatusMethodNotAllowed, "Photos can only be read.")
		return
	}
	id := PhotoID(strings.TrimPrefix(r.URL.Path, "/"))
	if !id.valid() {
		refuseRequest(w, http.StatusNotFound, "There is no such photo.")
		return
	}
	width, err := widthOf(r)
	if err != nil {
		refuseRequest(w, http.StatusBadRequest, "A photo can be had in the widths 400, 800 and 1600.")
		return
	}

	file, tag, keep, err := d.openFor(r, id, width)
	switch {
	case errors.Is(err, ErrUnknownPhoto) && d.buried(id):
		refuseRequest(w, http.StatusGone, "This photo was deleted.")
		return
	case errors.Is(err, ErrUnknownPhoto):
		refuseRequest(w, http.StatusNotFound, "There is no such photo.")
		return
	case errors.Is(err, ErrClosed):
		refuseRequest(w, http.StatusServiceUnavailable, "The server is restarting. Try again in a few seconds.")
		return
	case err != nil:
		if r.Context().Err() == nil {
			d.options.Logger.ErrorContext(r.Context(), "cannot serve a photo", "photo", id, "error", err)
		}
		refuseRequest(w, http.StatusInternalServerError, "The photo cannot be read at the moment.")
		return
	}
	defer file.Close()

	h.Set("Content-Type", "image/jpeg")
	h.Set("Content-Disposition", `inline; filename="photo-`+string(id[:12])+extension+`"`)
	h.Set("Cache-Control", "no-store")
	if keep {
		h.Set("ETag", `"`+tag+`"`)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	d.counts.served.Add(1)
	http.ServeContent(w, r, "", time.Time{}, file)
}

// openFor opens what a request asks for and names it for ETag. keep is false
// when it is sent in place of something else.
func (d *Dir) openFor(r *http.Request, id PhotoID, width int) (_ *os.File, tag string, keep bool, err error) {
	if width > 0 {
		file, own, err := d.openWidth(r.Context(), id, width)
		switch {
		case err == nil && own:
			return file, string(id), true, nil
		case err == nil:
			return file, string(id) + "-" + strconv.Itoa(width), true, nil
		case errors.Is(err, ErrUnknownPhoto), errors.Is(err, ErrClosed), r.Context().Err() != nil:
			return nil, "", false, err
		}
		d.counts.scaleFailed.Add(1)
		d.options.Logger.WarnContext(r.Context(), "cannot make a smaller copy of a photo", "photo", id, "width", width, "error", err)
		file, err = d.Open(id)
		return file, "", false, err
	}
	file, err := d.Open(id)
	return file, string(id), true, err
}

var errWidth = errors.New("no such width")

// widthOf returns the width that a request asks for, 0 for the photo's own.
func widthOf(r *http.Request) (int, error) {
	if r.URL.RawQuery == "" {
		return 0, nil
	}
	w := r.URL.Query().Get("w")
	if w == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(w)
	if err != nil || !slices.Contains(Widths(), n) {
		return 0, errWidth
	}
	return n, nil
}

func refuseRequest(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, sentence, status)
}
