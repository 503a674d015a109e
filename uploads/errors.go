package uploads

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
)

// Why a photo was not taken. Match with errors.Is. Each has two methods for
// whoever answers the visitor:
//
//	HTTPStatus() int  // such as 413
//	Sentence() string // what is wrong and what to do, in plain words
//
// Errors of the reader, of the context and of the disk are none of these.
var (
	// ErrTooLarge means more bytes than Options.MaxBytes.
	ErrTooLarge error = &refusal{status: http.StatusRequestEntityTooLarge, text: "the photo has too many bytes",
		sentence: "The photo is too large. Send a smaller one."}

	// ErrTooManyPixels means more than Options.MaxPixels or Options.MaxSide.
	ErrTooManyPixels error = &refusal{status: http.StatusUnprocessableEntity, text: "the photo has too many pixels",
		sentence: "The photo has too many pixels. Send a smaller one."}

	// ErrTooHeavy means that decoding the photo would take more memory than
	// Options.DecodeBytes allows a single one, or far more time than its pixels
	// are worth: a JPEG of more than 64 scans.
	ErrTooHeavy error = &refusal{status: http.StatusUnprocessableEntity, text: "the photo takes too much memory or time to decode",
		sentence: "The photo takes too much memory to open. Make it smaller, or save it as an ordinary JPEG (not progressive), and send that."}

	// ErrUnsupportedType means a known type that is not taken. The error is a
	// *UnsupportedTypeError, which says which one.
	ErrUnsupportedType error = &refusal{status: http.StatusUnsupportedMediaType, text: "the type of the file is not supported",
		sentence: "This kind of file is not taken. Send the photo as JPEG, PNG or WebP."}

	// ErrNotAnImage means that the bytes are no picture, or a damaged one, or
	// one that broke off.
	ErrNotAnImage error = &refusal{status: http.StatusUnsupportedMediaType, text: "not an image, or a damaged one",
		sentence: "The file is not a photo, or it is damaged. Choose another one."}

	// ErrDiskFull means that less than Options.ReserveBytes are free. It lifts
	// by itself when space returns.
	ErrDiskFull error = &refusal{status: http.StatusInsufficientStorage, text: "the disk is nearly full",
		sentence: "There is no room for more photos at the moment. Tell the organiser, and try again later."}
)

var (
	// ErrUnknownPhoto means that there is no photo with this id.
	ErrUnknownPhoto = errors.New("uploads: no such photo")

	// ErrClosed means that the folder was closed.
	ErrClosed = errors.New("uploads: the folder is closed")
)

// UnsupportedTypeError is an [ErrUnsupportedType] with the type that was found
// in the bytes.
type UnsupportedTypeError struct {
	Type string // such as image/heic
}

func (e *UnsupportedTypeError) Error() string {
	return "uploads: files of type " + e.Type + " are not supported"
}

// Is makes the error match ErrUnsupportedType.
func (e *UnsupportedTypeError) Is(target error) bool { return target == ErrUnsupportedType }

// HTTPStatus returns 415.
func (e *UnsupportedTypeError) HTTPStatus() int { return http.StatusUnsupportedMediaType }

// Sentence says what to send instead.
func (e *UnsupportedTypeError) Sentence() string {
	switch e.Type {
	case "image/heic":
		return "HEIC photos are not taken. On an iPhone, take a screenshot of the photo, or set Camera, Formats to Most Compatible; or send it as JPEG."
	case "image/avif", "image/jxl", "image/tiff", "image/bmp", "image/x-icon":
		return "This kind of picture is not taken. Save it as JPEG, PNG or WebP and send that."
	case "image/svg+xml", "application/pdf":
		return "Drawings and documents are not taken. Send a photo as JPEG, PNG or WebP."
	case "video/mp4":
		return "Videos are not taken. Send a photo as JPEG, PNG or WebP."
	}
	return ErrUnsupportedType.(*refusal).sentence
}

// refusal is a reason that lies in the photo or in the room there is, never a
// fault: the visitor hears it.
type refusal struct {
	kind     error // one of the variables above; nil in these themselves
	status   int
	text     string // for the log
	sentence string // for the visitor
	cause    error
}

// refuse returns an error that matches kind, with its own sentence unless that
// is empty, and with a cause that may be nil.
func refuse(kind error, sentence string, cause error) error {
	r := *kind.(*refusal)
	r.kind, r.cause = kind, cause
	if sentence != "" {
		r.sentence = sentence
	}
	return &r
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return fmt.Sprintf("uploads: %s: %v", r.text, r.cause)
	}
	return "uploads: " + r.text
}

func (r *refusal) Is(target error) bool { return r.kind == target }
func (r *refusal) Unwrap() error        { return r.cause }
func (r *refusal) HTTPStatus() int      { return r.status }
func (r *refusal) Sentence() string     { return r.sentence }

// isRefusal tells what a visitor hears from what is a fault.
func isRefusal(err error) bool {
	var r interface{ Sentence() string }
	return errors.As(err, &r)
}

// diskError turns the system's own words for a full disk into ErrDiskFull.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return refuse(ErrDiskFull, "", err)
	}
	return err
}
