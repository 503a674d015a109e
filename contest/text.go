package contest

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// text checks what a person typed and returns it without space around it. The
// limit counts characters, not bytes. When something is wrong, the field's
// sentence goes into errs.
func text(errs *FieldErrors, field, value string, limit int) string {
	value = strings.TrimSpace(value)
	switch {
	case value == "":
		errs.add(field, "This field is needed.")
	case !utf8.ValidString(value):
		errs.add(field, "This text is damaged. Type it again.")
	case utf8.RuneCountInString(value) > limit:
		errs.add(field, fmt.Sprintf("This text is too long: at most %d characters.", limit))
	case strings.ContainsFunc(value, forbidden):
		errs.add(field, "This text has invisible control characters. Type it on one line, by hand.")
	}
	return value
}

// forbidden tells which characters no text may have: control characters, line
// breaks, and those that reverse or hide the text around them (Unicode
// Technical Report 36, bidirectional spoofing). Joiners stay, since emoji and
// several scripts need them.
func forbidden(r rune) bool {
	switch {
	case unicode.IsControl(r):
		return true
	case r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == '\u061c' || r == '\u200e' || r == '\u200f':
		return true
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	}
	return false
}
