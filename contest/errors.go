package contest

import (
	"errors"
	"strings"
)

// What a command can be refused for. Match with errors.Is.
var (
	ErrUnknownCategory = errors.New("contest: no such category")
	ErrUnknownEntry    = errors.New("contest: no such entry in this category")
	ErrUnknownPhoto    = errors.New("contest: no entry has this photo")
	ErrHiddenEntry     = errors.New("contest: a hidden entry cannot win")
	ErrTooManyWinners  = errors.New("contest: more winners than the category has places")
	ErrEntryExists     = errors.New("contest: an entry with this id exists")
	ErrRequestReused   = errors.New("contest: the request id was used for something else")
)

// FieldErrors says what is wrong with the fields of a command. Match with
// errors.As.
type FieldErrors struct {
	Fields []FieldError // at least one, in the order of the form
}

// FieldError is one field and a sentence that fits beside it.
type FieldError struct {
	Field  string
	Detail string
}

func (e *FieldErrors) Error() string {
	var parts []string
	for _, f := range e.Fields {
		parts = append(parts, f.Field+": "+f.Detail)
	}
	return "contest: " + strings.Join(parts, "; ")
}

func (e *FieldErrors) add(field, detail string) {
	e.Fields = append(e.Fields, FieldError{field, detail})
}

// err returns e as an error, or nil when nothing is wrong.
func (e *FieldErrors) err() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}
