package reliablews

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// errPanicked is in the error of a function that panicked.
var errPanicked = errors.New("panic")

// contain calls a function of the application and turns a panic into an error
// with the stack: what one client or one topic asks for must not end the server
// for all. The caller logs it, as any other error.
func (h *Hub) contain(f func() error) (err error) {
	defer h.contained(&err)
	return f()
}

// contained is deferred by what calls such a function.
func (h *Hub) contained(err *error) {
	if p := recover(); p != nil {
		h.counts.panics.Add(1)
		*err = fmt.Errorf("%w: %v\n%s", errPanicked, p, debug.Stack())
	}
}

// firstLine is an error without the stack of a panic.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// callAuthorize calls Authorize. A panic is no judgement on the client.
func (h *Hub) callAuthorize(r *http.Request) (id Identity, err error) {
	err = h.contain(func() (err error) {
		id, err = h.opts.Authorize(r)
		return err
	})
	if errors.Is(err, errPanicked) {
		h.opts.Logger.Error("Authorize panicked; the client comes back later", "error", err)
	}
	return id, err
}

// notAllowed answers a request that Authorize has refused.
func notAllowed(w http.ResponseWriter, err error) {
	if errors.Is(err, errPanicked) {
		http.Error(w, "The server could not do that.", http.StatusInternalServerError)
		return
	}
	http.Error(w, "Not allowed.", http.StatusUnauthorized)
}

// originAllowed calls CheckOrigin. It takes nobody in after a panic.
func (h *Hub) originAllowed(r *http.Request) (allowed bool) {
	err := h.contain(func() error {
		allowed = h.opts.CheckOrigin(r)
		return nil
	})
	if err != nil {
		h.opts.Logger.Error("CheckOrigin panicked; the origin is refused", "error", err)
	}
	return allowed
}

// tellPresence returns OnPresence, contained, or nil when nobody hears.
func (h *Hub) tellPresence() func(user string, here bool) {
	if h.opts.OnPresence == nil {
		return nil
	}
	return func(user string, here bool) {
		err := h.contain(func() error {
			h.opts.OnPresence(user, here)
			return nil
		})
		if err != nil {
			h.opts.Logger.Error("OnPresence panicked; the next change is told all the same", "error", err)
		}
	}
}
