package uploads

import (
	"strings"
	"time"
)

// PhotoID is the SHA-256 of a stored photo in 64 lower-case hexadecimal digits.
type PhotoID string

// Photo is a photo in the folder.
type Photo struct {
	ID         PhotoID
	Width      int       // pixels, upright
	Height     int       // pixels, upright
	Bytes      int64     // as stored
	AcceptedAt time.Time // the last time, if it was sent several times
}

// valid tells whether id can be the name of a photo, and so is safe in a path.
func (id PhotoID) valid() bool {
	return len(id) == 64 && strings.Trim(string(id), "0123456789abcdef") == ""
}

// file returns the name of the photo in the folder.
func (id PhotoID) file() string { return string(id) + extension }

const extension = ".jpg"

// photoOfFile is the inverse of file.
func photoOfFile(name string) (PhotoID, bool) {
	base, ok := strings.CutSuffix(name, extension)
	return PhotoID(base), ok && PhotoID(base).valid()
}
