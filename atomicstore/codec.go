package atomicstore

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// codec turns events into JSON and back. What is applied is always decoded
// from what was encoded, so live and replayed state cannot differ.
type codec[E any] struct {
	kinds map[string]bool // the fields of a union, nil when E is none
}

// newCodec looks at the type of the events. A struct whose exported fields are
// all pointers is a union: one field is set, its JSON name is the kind.
func newCodec[E any]() codec[E] {
	typ := reflect.TypeFor[E]()
	if typ.Kind() != reflect.Struct || typ.NumField() == 0 {
		return codec[E]{}
	}
	kinds := map[string]bool{}
	for f := range typ.Fields() {
		if !f.IsExported() || f.Anonymous || f.Type.Kind() != reflect.Pointer {
			return codec[E]{}
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		kinds[name] = true
	}
	return codec[E]{kinds}
}

// encode returns the JSON of an event and the event as replay will see it.
func (c codec[E]) encode(e E) ([]byte, E, error) {
	var again E
	if c.kinds != nil {
		set := 0
		v := reflect.ValueOf(e)
		for i := range v.NumField() {
			if !v.Field(i).IsNil() {
				set++
			}
		}
		if set != 1 {
			return nil, again, fmt.Errorf("%w: %d fields of %T are set, one must be", ErrUnknownKind, set, e)
		}
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, again, fmt.Errorf("atomicstore: encode event: %w", err)
	}
	if err := json.Unmarshal(data, &again); err != nil {
		return nil, again, fmt.Errorf("atomicstore: decode the event just encoded: %w", err)
	}
	return data, again, nil
}

// decode reads an event of the log. Fields it does not know inside a kind are
// ignored, so that a program can be rolled back; a kind it does not know is
// not, because the state would be wrong without it.
func (c codec[E]) decode(data []byte) (e E, err error) {
	if c.kinds != nil {
		var kinds map[string]json.RawMessage
		if err := json.Unmarshal(data, &kinds); err != nil {
			return e, fmt.Errorf("decode event: %w", err)
		}
		known := 0
		for kind := range kinds {
			if !c.kinds[kind] {
				return e, fmt.Errorf("%w %q: this program is older than its data", ErrUnknownKind, kind)
			}
			known++
		}
		if known != 1 {
			return e, fmt.Errorf("%w: an event with %d kinds", ErrUnknownKind, known)
		}
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}
