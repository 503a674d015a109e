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
//
// With HandlerOptions.Elsewhere, photos that are in the cloud are had from there:
// the address stays the same, the answer is 302. A photo that is not there, or
// not yet, is sent from here. options may be nil.
func (d *Dir) Handler(options *HandlerOptions) http.Handler {
	var o HandlerOptions
	if options != nil {
		o = *options
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, o) })
}

// HandlerOptions changes how photos are served. The zero value is good; Handler
// copies it.
type HandlerOptions struct {
	// Elsewhere returns the address of a photo that is in the cloud, in a width in
	// pixels, 0 for its own; "" when it is to be sent from here. place is that of
	// [Dir.Place]. It is called for every request and must not wait for the cloud.
	// A request for /<id>?from=here is never sent elsewhere: that is what a page
	// asks for when the cloud did not give it the picture. Default: everything is
	// sent from here.
	Elsewhere func(id PhotoID, place string, width int) string
}

// elsewhereFor is how long a browser may go to the cloud without asking here
// again: short, because the cloud may go away and the photo may be deleted.
const elsewhereFor = time.Minute

func (d *Dir) serve(w http.ResponseWriter, r *http.Request, o HandlerOptions) {
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

	if there := d.elsewhere(r, id, width, o); there != "" {
		d.counts.redirected.Add(1)
		h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(elsewhereFor/time.Second)))
		h.Set("Location", there)
		w.WriteHeader(http.StatusFound) // without the little page that http.Redirect writes
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

// elsewhere returns the address in the cloud that a request is sent to, "" when
// it is answered from here.
func (d *Dir) elsewhere(r *http.Request, id PhotoID, width int, o HandlerOptions) string {
	if o.Elsewhere == nil || r.URL.RawQuery != "" && r.URL.Query().Get("from") == "here" {
		return ""
	}
	place, err := d.Place(id)
	if err != nil {
		if !errors.Is(err, ErrUnknownPhoto) && !errors.Is(err, ErrClosed) {
			d.options.Logger.WarnContext(r.Context(), "cannot read whether a photo is in the cloud", "photo", id, "error", err)
		}
		return ""
	}
	return o.Elsewhere(id, place, width)
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
