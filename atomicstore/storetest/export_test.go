package storetest

import (
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
)

// Try looks for a fault in one property and returns what Run would report.
func Try[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], name string) error {
	return tryOn(t, m, name, false)
}

// TryOnLyingDisk is Try with a disk that does not sync.
func TryOnLyingDisk[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], name string) error {
	return tryOn(t, m, name, true)
}

func tryOn[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], name string, lying bool) error {
	dir := t.TempDir()
	for _, p := range properties[S, E]() {
		if p.name == name {
			check := p.check
			p.check = func(x *trial[S, E]) { x.lying = lying; check(x) }
			return search(t, m.withDefaults(t), p, dir)
		}
	}
	t.Fatalf("there is no property %q", name)
	return nil
}
