package main

import (
	"context"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tidwall/btree"
)

// state is a map that copies in no time.
type state struct{ entries btree.Map[string, *put] }

func (s *state) Clone() *state { return &state{*s.entries.Copy()} }

func apply(s *state, e event) error {
	s.entries.Set(e.Put.Key, e.Put)
	return nil
}

// MarshalJSONTo writes the entries as a list, one after the other.
func (s *state) MarshalJSONTo(to *jsontext.Encoder) error {
	if err := to.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, p := range s.entries.Scan {
		if err := json.MarshalEncode(to, event{p}); err != nil {
			return err
		}
	}
	return to.WriteToken(jsontext.EndArray)
}

type ours struct {
	*atomicstore.Store[*state, event]
}

func openOurs(dir string) (store, error) {
	s, err := atomicstore.Open(dir, new(state), apply, nil)
	return ours{s}, err
}

func (s ours) put(_ int, e event) error {
	_, err := s.Update(context.Background(), func(*state) ([]event, error) { return []event{e}, nil })
	return err
}
