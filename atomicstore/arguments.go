package atomicstore

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
)

// checkArguments finds the mistakes that would show only when it is too late.
func checkArguments[S, E any](dir string, initial S, apply func(S, E) error) error {
	if dir == "" {
		return errors.New("the directory has no name")
	}
	if apply == nil {
		return errors.New("apply is nil")
	}
	if v := reflect.ValueOf(&initial).Elem(); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("the initial state, a %T, is nil", initial)
	}
	return checkState(reflect.TypeFor[S]())
}

// checkState refuses a state of which nothing would be kept.
func checkState(typ reflect.Type) error {
	for t := typ; ; t = t.Elem() {
		for _, way := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.MarshalerTo](), reflect.TypeFor[encoding.TextMarshaler]()} {
			if t.Implements(way) || reflect.PointerTo(t).Implements(way) {
				return nil
			}
		}
		if t.Kind() != reflect.Pointer {
			typ = t
			break
		}
	}
	if typ.Kind() != reflect.Struct || typ.NumField() == 0 {
		return nil
	}
	for f := range typ.Fields() {
		if f.IsExported() || f.Anonymous {
			return nil
		}
	}
	return fmt.Errorf("the state would be lost: no field of %s is exported, and it has no MarshalJSON", typ)
}
