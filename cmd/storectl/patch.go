package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wI2L/jsondiff"
)

// operation is one of JSON Patch (RFC 6902), with what was there before.
type operation struct {
	Op   string          `json:"op"`   // add, remove or replace
	Path string          `json:"path"` // RFC 6901
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"value,omitempty"`
}

// alignable is how long lists may be for what moved in them to be found, which
// takes time and memory by the square: 2,000 make 32 MB.
const alignable = 2000

// compare returns what makes b of a. It is never nil.
func compare(a, b []byte) ([]operation, error) {
	var from, to any
	if err := exactly(a, &from); err != nil {
		return nil, fmt.Errorf("the first state: %w", err)
	}
	if err := exactly(b, &to); err != nil {
		return nil, fmt.Errorf("the second state: %w", err)
	}
	var options []jsondiff.Option
	if max(longest(from), longest(to)) <= alignable {
		options = append(options, jsondiff.LCS())
	}
	patch, err := jsondiff.CompareWithoutMarshal(from, to, options...)
	if err != nil {
		return nil, fmt.Errorf("compare the states: %w", err)
	}
	list := []operation{}
	for _, p := range patch {
		op := operation{Op: p.Type, Path: p.Path}
		if op.Op != jsondiff.OperationAdd || op.Path == "" {
			if op.Old, err = encode(p.OldValue); err != nil {
				return nil, err
			}
		}
		if op.Op != jsondiff.OperationRemove {
			if op.New, err = encode(p.Value); err != nil {
				return nil, err
			}
		}
		list = append(list, op)
	}
	return list, nil
}

// exactly decodes JSON and keeps numbers as they stand: float64 would make
// ids and nanoseconds equal that are not.
func exactly(data []byte, v *any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// longest returns the length of the longest list in a value.
func longest(v any) (n int) {
	switch v := v.(type) {
	case []any:
		n = len(v)
		for _, e := range v {
			n = max(n, longest(e))
		}
	case map[string]any:
		for _, e := range v {
			n = max(n, longest(e))
		}
	}
	return n
}

// print prints an operation for people.
func (o operation) print(c *console) {
	path := printable(o.Path)
	old, now := printable(string(o.Old)), printable(string(o.New))
	room := len([]rune(path)) + 4
	switch o.Op {
	case jsondiff.OperationAdd:
		fmt.Fprintln(c.out, c.paint(green, "+ "+path+"  "+c.cut(now, room)))
	case jsondiff.OperationRemove:
		fmt.Fprintln(c.out, c.paint(red, "- "+path+"  "+c.cut(old, room)))
	default:
		fmt.Fprintln(c.out, c.paint(red, "- "+path+"  "+c.cut(old, room)))
		fmt.Fprintln(c.out, c.paint(green, "+ "+path+"  "+c.cut(now, room)))
	}
}
