package atomicstore

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/contestkit/contestkit/atomicstore/internal/coding"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// codec turns events into JSON and back. What is applied is always decoded
// from what was encoded, so live and replayed state cannot differ.
type codec[E any] struct {
	coding  coding.Coding
	kinds   map[string]bool // the fields of a union, nil when E is none
	upgrade func([]byte) ([]byte, error)
}

// newCodec looks at the type of the events. A struct whose exported fields are
// all pointers is a union: one field is set, its JSON name is the kind.
func newCodec[E any](upgrade func([]byte) ([]byte, error)) codec[E] {
	typ := reflect.TypeFor[E]()
	c := codec[E]{coding: coding.For(typ), upgrade: upgrade}
	if typ.Kind() != reflect.Struct || typ.NumField() == 0 {
		return c
	}
	kinds := map[string]bool{}
	for f := range typ.Fields() {
		if !f.IsExported() || f.Anonymous || f.Type.Kind() != reflect.Pointer {
			return c
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		kinds[name] = true
	}
	c.kinds = kinds
	return c
}

// check tells whether an event is of exactly one kind.
func (c codec[E]) check(e *E) error {
	if c.kinds == nil {
		return nil
	}
	if set := fieldsSet(e); set != 1 {
		return fmt.Errorf("%w: %d fields of %T are set, one must be", ErrUnknownKind, set, *e)
	}
	return nil
}

// fieldsSet counts the fields of a union that are set.
func fieldsSet(e any) (set int) {
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			set++
		}
	}
	return set
}

// survives tells whether replay will find in the JSON of an event the kind that
// it is of. One that is written as null, or under another name, is lost.
func (c codec[E]) survives(data []byte, again *E) error {
	if c.kinds == nil || fieldsSet(again) == 1 && c.names(data) {
		return nil
	}
	return fmt.Errorf("%w: %T is written as %.80q, which has no kind", ErrUnknownKind, *again, data)
}

// names tells whether the JSON of a union just encoded begins with the name of
// a kind.
func (c codec[E]) names(data []byte) bool {
	if name, _, ok := bytes.Cut(bytes.TrimPrefix(data, []byte(`{"`)), []byte(`":`)); ok && c.kinds[string(name)] {
		return true
	}
	return c.knows(data) // a name that is escaped, or none
}

// encoder encodes one event after the other with the same memory. It belongs
// to one goroutine.
type encoder[E any] struct {
	codec codec[E]
	buf   *bytes.Buffer
}

func newEncoder[E any](c codec[E]) encoder[E] { return encoder[E]{c, new(bytes.Buffer)} }

// encode returns the JSON of an event, good until the next call, and sets
// again to the event as replay will see it.
func (enc encoder[E]) encode(e, again *E) ([]byte, error) {
	if err := enc.codec.check(e); err != nil {
		return nil, err
	}
	if enc.buf.Cap() > batchBytes {
		*enc.buf = bytes.Buffer{} // one large event does not hold memory for ever
	}
	enc.buf.Reset()
	if err := enc.codec.coding.Write(enc.buf, e); err != nil {
		return nil, prefixed(fmt.Errorf("encode event: %w", err))
	}
	data := enc.buf.Bytes()
	if deep(data) {
		return nil, prefixed(tooDeep("event"))
	}
	if enc.codec.coding.UnmarshalEncoded(data, again) != nil {
		*again = *new(E)
		if err := enc.codec.coding.Unmarshal(data, again); err != nil {
			return nil, prefixed(fmt.Errorf("decode the event just encoded: %w", err))
		}
	}
	if err := enc.codec.survives(data, again); err != nil {
		return nil, err
	}
	return data, nil
}

// decode reads an event of the log. Fields it does not know inside a kind are
// ignored, so that a program can be rolled back; a kind it does not know is
// not, because the state would be wrong without it.
func (c codec[E]) decode(data []byte) (e E, err error) {
	if c.upgrade != nil && !c.knows(data) {
		if data, err = c.upgrade(data); err != nil {
			return e, fmt.Errorf("upgrade event: %w", err)
		}
	}
	if c.kinds != nil {
		var kinds map[string]jsontext.Value
		if err := json.Unmarshal(data, &kinds, coding.AsEncodingJSON); err != nil {
			return e, unreadable(err)
		}
		known := 0
		for kind, data := range kinds {
			if !c.kinds[kind] {
				return e, fmt.Errorf("%w %q: this program is older than its data", ErrUnknownKind, kind)
			}
			if string(data) != "null" { // which would set nothing, and Apply relies on it
				known++
			}
		}
		if known != 1 {
			return e, fmt.Errorf("%w: an event with %d kinds", ErrUnknownKind, known)
		}
	}
	if err := c.coding.Unmarshal(data, &e); err != nil {
		return e, unreadable(err)
	}
	return e, nil
}

// unreadable says why an event does not decode: it is no JSON, which nobody
// wrote, or it is that of a program with other types.
func unreadable(err error) error {
	var syntax *jsontext.SyntacticError
	var std *stdjson.SyntaxError
	if errors.As(err, &syntax) || errors.As(err, &std) {
		return fmt.Errorf("decode event: %w: %w", errRecord, err)
	}
	return fmt.Errorf("the event %w: %w", errOtherProgram, err)
}

// knows tells whether an event is of one kind that the program has. Of events
// without kinds nobody knows that.
func (c codec[E]) knows(data []byte) bool {
	if c.kinds == nil {
		return false
	}
	var kinds map[string]jsontext.Value
	if json.Unmarshal(data, &kinds, coding.AsEncodingJSON) != nil || len(kinds) != 1 {
		return false
	}
	for kind := range kinds {
		return c.kinds[kind]
	}
	return false
}
