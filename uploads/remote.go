package uploads

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Remote is a place in the cloud that a [Syncer] mirrors the photos to. It is
// safe for concurrent use; there is at most one call at a time for one photo.
//
// Its errors are logged and shown to the operator: they must hold no secret. A
// *[RemoteError] says what kind of failure it is; any other, and a panic, is tried
// again. A call must return soon after its ctx ends: [Syncer.Run] waits for it.
type Remote interface {
	// Name tells this place from others, such as another account with the same
	// provider: photos that are in the one are sent to the other as well. It holds
	// no secret and is the same after a restart.
	Name() string

	// Put stores a photo under its id and returns where browsers find it. Putting
	// the same photo again changes nothing. The file is not to be used after Put has
	// returned.
	Put(ctx context.Context, id PhotoID, photo *os.File) (url string, err error)

	// Delete removes a photo, and copies made from it. A photo that is not there
	// is deleted: no error.
	Delete(ctx context.Context, id PhotoID) error
}

// RemoteError is a failure of a Remote.
type RemoteError struct {
	Status     int           // of the HTTP answer; 0 when none came
	RetryAfter time.Duration // as the remote asks; 0 when it does not
	Message    string        // what the remote says, without secrets
	Err        error         // the cause, without secrets; may be nil
}

func (e *RemoteError) Error() string {
	text := "the remote"
	if e.Status != 0 {
		text += " answers " + strconv.Itoa(e.Status)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *RemoteError) Unwrap() error { return e.Err }

// Permanent tells whether trying again is useless before somebody has done
// something.
func (e *RemoteError) Permanent() bool {
	switch e.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return e.account()
}

// account tells whether the remote refuses us, not the photo.
func (e *RemoteError) account() bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// verdict is what a failure says about the remote.
type verdict int

const (
	well    verdict = iota // it works: only this photo is refused
	unknown                // it says neither
	ill                    // it does not work
)

// statusSlowDown is Cloudinary's older word for 429.
const statusSlowDown = 420

// judge says what the outcome of a call means for the calls after it.
func judge(err error) verdict {
	var e *RemoteError
	switch {
	case err == nil:
		return well
	case errors.Is(err, context.Canceled):
		return unknown // it was us
	case !errors.As(err, &e):
		return ill
	case e.Permanent() && !e.account():
		return well
	case e.Status == http.StatusLocked:
		return unknown // this photo is being worked on there
	case e.RetryAfter > 0 && (e.Status == http.StatusTooManyRequests || e.Status == statusSlowDown):
		return unknown // it works, and says when it will again for us
	}
	return ill
}
