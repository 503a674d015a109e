// Package coding is how a store writes JSON and reads it: as encoding/json
// does, and faster where that is the same.
//
// The module go-json-experiment is the Go team's own mirror of
// encoding/json/v2, and on Go 1.27 only another name for it; encoding/json runs
// on it from then on. With the options of version 1 it decodes a typical event
// in a quarter of the time, with two allocations instead of ten (Go 1.26,
// 2026-11-25). Before Go 1.27 it does not know the Number of encoding/json, and
// refuses a tag `format:` that encoding/json ignores: types with one of these,
// or with an interface, which may hold a Number, are left to encoding/json.
package coding

import (
	"bytes"
	stdjson "encoding/json"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// AsEncodingJSON are the options that make version 2 do what version 1 does.
var AsEncodingJSON = jsonv1.DefaultOptionsV1()

// Of what was encoded a moment ago the syntax need not be checked first.
var justEncoded = json.JoinOptions(AsEncodingJSON, jsonv1.ReportErrorsWithLegacySemantics(false))

// Coding writes and reads values of one type.
type Coding struct {
	std bool // with encoding/json
}

// For returns the coding of a type.
func For(t reflect.Type) Coding {
	// The same type means that one is the other's name: all is one.
	alias := reflect.TypeFor[stdjson.Number]() == reflect.TypeFor[jsonv1.Number]()
	return Coding{std: !alias && differs(t, map[reflect.Type]bool{})}
}

// differs tells whether the two may treat a type differently.
func differs(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if to := reflect.TypeFor[json.MarshalerTo](); t.Implements(to) || reflect.PointerTo(t).Implements(to) {
		return false // encoding/json does not know it yet
	}
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return differs(t.Elem(), seen)
	case reflect.Map:
		return differs(t.Key(), seen) || differs(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if !f.IsExported() && !f.Anonymous || f.Tag.Get("json") == "-" {
				continue
			}
			if strings.Contains(f.Tag.Get("json"), ",format:") || differs(f.Type, seen) {
				return true
			}
		}
	}
	return t == reflect.TypeFor[stdjson.Number]()
}

// Write writes the JSON of v, and nothing around it.
func (c Coding) Write(w io.Writer, v any) error {
	if !c.std {
		return json.MarshalWrite(w, v, AsEncodingJSON)
	}
	data, err := stdjson.Marshal(v)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// Marshal returns the JSON of v.
func (c Coding) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := c.Write(&b, v)
	return b.Bytes(), err
}

// Unmarshal sets v from its JSON.
func (c Coding) Unmarshal(data []byte, v any) error {
	if c.std {
		return stdjson.Unmarshal(data, v)
	}
	return json.Unmarshal(data, v, AsEncodingJSON)
}

// UnmarshalEncoded is Unmarshal of what Write has just written. After an error
// Unmarshal may know better: without the check of the syntax goes some leniency
// of encoding/json, on `string` of a slice for one.
func (c Coding) UnmarshalEncoded(data []byte, v any) error {
	if c.std {
		return stdjson.Unmarshal(data, v)
	}
	return json.Unmarshal(data, v, justEncoded)
}
