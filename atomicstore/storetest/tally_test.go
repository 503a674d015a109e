package storetest

import (
	"errors"
	"testing"
)

func TestATallyNamesTheKinds(t *testing.T) {
	var one, all tally
	one.step([]string{`{"voted":{"for":"rose"}}`, `{"closed":{}}`}, nil)
	one.step(nil, errors.New("closed"))
	one.step([]string{`"no kind"`, `{"two":1,"fields":2}`, `{"voted":null}`}, nil)
	one.step(nil, nil)
	all.add(one)
	all.add(one)
	if got, want := all.String(), "2 histories, 8 steps: 4 changes, 2 refusals; events: closed 2, voted 4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
