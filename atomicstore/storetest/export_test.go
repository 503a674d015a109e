package storetest

import (
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

var RefuseOptions = refuseOptions

// Try looks for a fault in one property and returns what Run would report.
func Try[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], name string) string {
	return TrySpoilt(t, m, name, nil)
}

// TrySpoilt is Try with a disk that is damaged after each accident.
func TrySpoilt[S atomicstore.Cloner[S], E any](t *testing.T, m Machine[S, E], name string, spoil func(*crashfs.Disk)) string {
	dir := t.TempDir()
	for _, p := range properties[S, E]() {
		if p.name == name {
			check := p.check
			p.check = func(x *trial[S, E]) { x.spoil = spoil; check(x) }
			return search(t, m.withDefaults(t), p, dir)
		}
	}
	t.Fatalf("there is no property %q", name)
	return ""
}
