package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Overview is what Look found. As JSON it has the names of Report where it says
// the same; times that are not known are left out.
type Overview struct {
	Epoch    string          `json:"epoch"`             // of the log, or of data.json where that cannot tell; "" when there is none
	First    uint64          `json:"first"`             // the oldest change in the log; 0 when there is no log
	Last     uint64          `json:"last"`              // the latest change in it; says nothing when there is no log
	LastTime time.Time       `json:"lastTime,omitzero"` // of the latest change, UTC; zero when the log holds none
	Segments []SegmentReport `json:"segments"`          // oldest first; batches are not counted
	Snapshot SnapshotReport  `json:"snapshot"`
	Backups  []Backup        `json:"backups"` // oldest first

	SetAsideFiles int   `json:"setAsideFiles"` // how many
	SetAsideBytes int64 `json:"setAsideBytes"` // of those files

	// Findings is what is damaged, or could not be read, of what Look reads.
	Findings []Finding `json:"findings"`

	// Undoable is the oldest change that RestoreBefore can undo, and UndoableTo
	// the latest, as far as the names and the first lines of the backups tell;
	// both are 0 when there is none. Where nothing was changed since the data was
	// replaced, they are of the log that was set aside then.
	Undoable   uint64 `json:"undoable"`
	UndoableTo uint64 `json:"undoableTo"`
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
	v := &Overview{Segments: []SegmentReport{}, Backups: []Backup{}, Findings: []Finding{}} // [] in JSON
	r := Report{Snapshot: SnapshotReport{Path: c.data.path()}}
	broken, err := r.present(c)
	if err != nil {
		return v, err
	}
	v.Snapshot = r.Snapshot
	unread := v.backups(c)
	if !r.noLog(c) {
		for range 20 { // a store that is open removes segments
			if err = v.log(ctx, c); !isMissing(err) && !errors.Is(err, errAgain) {
				break
			}
		}
	}
	v.undoable(c)
	var damage *CorruptError
	if err != nil && !errors.As(err, &damage) {
		return v, err
	}
	r.Epoch, r.First, r.Last, r.Segments = v.Epoch, v.First, v.Last, v.Segments
	for _, b := range v.Backups {
		r.Backups = append(r.Backups, BackupReport{Backup: b})
	}
	r.find(c, damage, broken)
	r.unread(c.data.backupDir, unread)
	v.Findings = append(v.Findings, r.Findings...)
	if v.Epoch == "" && broken == nil {
		v.Epoch = v.Snapshot.Epoch // the log cannot tell
	}
	return v, failure(r.Findings)
}

func (v *Overview) backups(c *directory) error {
	list, err := backupCache{}.list(c.fs, c.data.backupDir)
	if err != nil && !isMissing(err) {
		return err
	}
	v.Backups = append(v.Backups, list...)
	asides, err := listAsides(c.fs, c.data.asideDir())
	if err != nil && !isMissing(err) {
		return err
	}
	v.SetAsideFiles = len(asides)
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
	v.Segments = []SegmentReport{}
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
	return c.data.man.lacks(found, v.Last, c.walDir)
}

// undoable is what RestoreBefore would find: the state before a change is made
// of a snapshot that the log reaches back to, and the log.
func (v *Overview) undoable(c *directory) {
	of := func(epoch string, first, last uint64) {
		leads := func(base string, seq uint64) {
			if base == epoch && seq+1 >= first && seq < last && (v.Undoable == 0 || seq+1 < v.Undoable) {
				v.Undoable, v.UndoableTo = seq+1, last
			}
		}
		if s := v.Snapshot; s.Error == "" && s.Whose != operators.String() {
			leads(s.Epoch, s.Seq)
		}
		for _, b := range v.Backups {
			leads(b.Epoch, b.Seq)
		}
	}
	of(v.Epoch, v.First, v.Last)
	if v.Undoable > 0 || len(v.Segments) > 0 && v.Last >= v.First {
		return
	}
	logs, err := c.asideLogs()
	if err != nil {
		return // the same folder as that of the backups, which says it
	}
	for _, log := range slices.Backward(logs) {
		newest := log.segments[len(log.segments)-1]
		last, err := lastIn(c.fs, newest.path)
		if err != nil || v.Undoable > 0 {
			continue
		}
		of(newest.epoch.String(), log.first(), max(newest.first-1, last))
	}
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
