package main

import (
	"context"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/tidwall/btree"
)

// state is a map that copies in no time.
type state struct{ entries btree.Map[string, *put] }

func (s *state) Clone() *state { return &state{*s.entries.Copy()} }

func apply(s *state, e event) error {
	s.entries.Set(e.Put.Key, e.Put)
	return nil
}

// MarshalJSON and UnmarshalJSON: the entries as a list.
func (s *state) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	s.entries.Scan(func(_ string, p *put) bool {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, encode(event{p})...)
		return true
	})
	return append(b, ']'), nil
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
