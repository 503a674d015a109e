package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Overview is what Look found.
type Overview struct {
	Epoch    string          // of the log; "" when there is none
	First    uint64          // the oldest change in the log
	Last     uint64          // the latest change
	LastTime time.Time       // of the latest change, UTC; zero when the log holds none
	Segments []SegmentReport // oldest first; batches are not counted
	Snapshot SnapshotReport
	Backups  []Backup // oldest first

	SetAside      int   // files
	SetAsideBytes int64 // of those files

	// Undoable is the oldest change that RestoreBefore can undo, as far as the
	// names and the first lines of the backups tell; 0 when there is none.
	Undoable uint64
}

// Look tells what there is in a store's directory without reading all of it:
// data.json, the newest segment, and the beginnings of everything else. It
// changes nothing, needs to know nothing of the types, and may run while a
// program has the store open. Of o, BackupDir counts.
//
// Damage that it comes across is a [*CorruptError] beside what could be read;
// [Verify] looks for it everywhere.
func Look(ctx context.Context, dir string, o *Options) (*Overview, error) {
	v, err := look(ctx, dir, o.withDefaults())
	if err != nil {
		err = asOf(dir, err)
	}
	return v, err
}

func look(ctx context.Context, dir string, opts Options) (*Overview, error) {
	opts.Logger = (*Options)(nil).withDefaults().Logger
	c := openDirectory(dir, opts)
	v := new(Overview)
	if err := c.data.load(); err != nil {
		return v, err
	}
	report := Report{Snapshot: SnapshotReport{Path: c.data.path()}}
	damage, err := report.snapshot(c)
	if err != nil {
		return v, err
	}
	v.Snapshot = report.Snapshot
	if err := v.backups(c); err != nil {
		return v, err
	}
	for range 20 { // a store that is open removes segments
		if err = v.log(ctx, c); !isMissing(err) && !errors.Is(err, errAgain) {
			break
		}
	}
	v.Undoable = v.undoable()
	if err == nil && damage != nil {
		err = damage
	}
	return v, err
}

func (v *Overview) backups(c *directory) error {
	list, err := shelf{}.list(c.fs, c.data.backupDir)
	if err != nil && !isMissing(err) {
		return err
	}
	v.Backups = list
	asides, err := listAsides(c.fs, c.data.asideDir())
	if err != nil && !isMissing(err) {
		return err
	}
	v.SetAside = len(asides)
	for _, f := range asides {
		v.SetAsideBytes += f.size
	}
	return nil
}

// log finds the ends of the log.
func (v *Overview) log(ctx context.Context, c *directory) error {
	found, err := listSegments(c.fs, c.walDir, parseSegmentName)
	if err != nil {
		return err
	}
	v.Segments = nil
	for i, s := range found.segments {
		id, err := c.fs.Stat(s.path)
		if err != nil {
			return err
		}
		report := SegmentReport{Path: s.path, First: s.first, Size: id.Size, Time: s.created}
		if i+1 < len(found.segments) {
			report.Changes = found.segments[i+1].first - s.first
		}
		v.Segments = append(v.Segments, report)
	}
	if len(found.segments) == 0 {
		return nil
	}
	v.First, v.Epoch = found.first(), found.segments[0].epoch.String()
	newest := len(found.segments) - 1
	v.Last = found.segments[newest].first - 1
	v.LastTime = time.Time{}
	// The newest may be empty, and the time is that of the last change.
	for i := newest; i >= 0 && v.LastTime.IsZero(); i-- {
		for r, err := range Records(ctx, filepath.Dir(c.walDir), Position{v.Epoch, found.segments[i].first - 1}, nil) {
			var gone *TruncatedError
			if errors.As(err, &gone) || errors.Is(err, ErrEpoch) {
				return fmt.Errorf("%w: %w", errAgain, err)
			}
			if err != nil {
				return err
			}
			v.Last, v.LastTime = r.Seq, r.Time
		}
	}
	v.Segments[newest].Changes = v.Last + 1 - found.segments[newest].first
	return nil
}

// undoable is what RestoreBefore would find: the state before a change is made
// of a snapshot that the log reaches back to, and the log.
func (v *Overview) undoable() (oldest uint64) {
	leads := func(epoch string, seq uint64) {
		if epoch == v.Epoch && seq+1 >= v.First && seq < v.Last && (oldest == 0 || seq+1 < oldest) {
			oldest = seq + 1
		}
	}
	if s := v.Snapshot; s.Error == "" && s.Whose != operators.String() {
		leads(s.Epoch, s.Seq)
	}
	for _, b := range v.Backups {
		leads(b.Epoch, b.Seq)
	}
	return oldest
}

// InUse tells whether a program has the store in dir open. It changes nothing,
// and needs no more than to read LOCK. The answer is of a moment ago: Restore
// takes the lock itself.
func InUse(dir string) (bool, error) {
	held, err := held(filepath.Join(dir, lockName))
	if err != nil {
		return false, asOf(dir, err)
	}
	return held, nil
}
