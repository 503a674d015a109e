package storetest

import (
	"fmt"

	"github.com/contestkit/contestkit/atomicstore"
)

// refuseOptions finds what the simulation cannot honour. It would be worse to
// leave it out: the program would take it for tried.
func refuseOptions(o *atomicstore.Options) error {
	if o == nil {
		return nil
	}
	for _, refused := range []struct {
		name string
		set  bool
		why  string
	}{
		{"BackupDir", o.BackupDir != "", "the simulated disk has a folder for backups of its own"},
		{"MaxAge", o.MaxAge != 0, "time stands still there, and nothing gets old"},
		{"Reserve", o.Reserve > 0, "the simulated disk is never full"},
	} {
		if refused.set {
			return fmt.Errorf("Machine.Options.%s cannot be tried: %s; leave it out", refused.name, refused.why)
		}
	}
	return nil
}

// storeOptions are those of the store of a life.
func (x *trial[S, E]) storeOptions() *atomicstore.Options {
	var o atomicstore.Options
	if x.Options != nil {
		o = *x.Options
	}
	o.BackupDir = "/backups"
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 4 << 10 // so that there are several
	}
	if o.KeepModifications <= 0 {
		o.KeepModifications = 1 << 20 // all, to compare them
	}
	return &o
}
