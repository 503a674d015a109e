package storetest

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/coding"
)

// history is what a trial goes through. Every step has a seed of its own, so
// that those that are left do the same when others are taken out.
type history struct {
	seed  uint64
	steps []uint64
}

// newHistory makes the history of a seed.
func newHistory(seed uint64, most int) history {
	rng := rand.New(rand.NewPCG(seed, 0))
	steps := make([]uint64, 1+rng.IntN(most))
	for i := range steps {
		steps[i] = rng.Uint64()
	}
	return history{seed, steps}
}

// search tries a property on random histories. It returns what there is to say
// of the first that breaks it, made short, or nothing.
func search[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], p property[S, E], dir string) string {
	var done tally
	histories, limit := m.budget()
	start := time.Now()
	for i := range histories {
		if i > 0 && time.Since(start) > limit {
			break
		}
		h := newHistory(m.Seed+uint64(i), m.Steps)
		x := try(t, m, p, dir, h)
		if x.fault != nil {
			return shorten(t, m, p, x).report(t.Name())
		}
		done.add(x.done)
	}
	t.Log(done)
	if done.changes == 0 {
		return idle
	}
	return ""
}

// try lives one history.
func try[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], p property[S, E], dir string, h history) *trial[S, E] {
	x := &trial[S, E]{
		Machine: m, t: t, dir: dir, history: h, rule: p.rule,
		states: coding.For(reflect.TypeFor[S]()), events: coding.For(reflect.TypeFor[E]()),
	}
	x.fault = caught(func() { p.check(x) })
	return x
}

// shortenFor is how long is spent on making a history shorter.
const shortenFor = 3 * time.Second

// shorten takes steps out of a history, many at once and then single ones, as
// long as the same fault stays.
func shorten[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], p property[S, E], x *trial[S, E]) *trial[S, E] {
	start := time.Now()
	for size := len(x.steps); size > 0; {
		shorter := false
		for from := 0; from < len(x.steps) && time.Since(start) < shortenFor; {
			to := min(from+size, len(x.steps))
			h := history{x.seed, append(append([]uint64{}, x.steps[:from]...), x.steps[to:]...)}
			if y := try(t, m, p, x.dir, h); y.fault != nil && y.fault.what == x.fault.what {
				x, shorter = y, true
			} else {
				from = to
			}
		}
		if !shorter || size > len(x.steps) {
			size /= 2
		}
	}
	return x
}
