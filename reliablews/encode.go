package reliablews

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errNotJSON = errors.New("it is no JSON")

// encode returns data as JSON on one line. What is JSON already is looked at
// and left as it is.
func encode(data any) ([]byte, error) {
	raw, ok := data.(json.RawMessage)
	if !ok || raw == nil {
		return json.Marshal(data)
	}
	if !json.Valid(raw) {
		return nil, errNotJSON
	}
	if bytes.ContainsAny(raw, "\r\n") {
		var b bytes.Buffer
		err := json.Compact(&b, raw)
		return b.Bytes(), err
	}
	return raw, nil
}
