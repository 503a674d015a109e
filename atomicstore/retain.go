package atomicstore

import (
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// hourlyFor is how long one backup an hour is kept besides the newest.
const hourlyFor = 24 * time.Hour

// oldFile is a file of the backup folder: a backup, or something set aside.
type oldFile struct {
	path     string
	time     time.Time
	size     int64
	required bool // for the latest modifications: only age takes it
}

// retention says what of the past is kept.
type retention struct {
	newest int           // backups, by seq
	apart  uint64        // besides, backups that far apart, from base on
	base   uint64        // the seq of the backup that the oldest change which must be undone builds on
	bytes  int64         // in all
	maxAge time.Duration // of everything
}

// superfluous returns what goes: first everything too old, then the backups
// that no rule keeps, then the oldest until the rest fits. It also returns the
// bytes of what stays.
func (r retention) superfluous(backups []Backup, asides []oldFile, now time.Time) (gone []oldFile, bytes int64) {
	kept := slices.Clone(asides)
	hours := map[time.Time]bool{}
	last := r.base
	epochs := map[string]bool{}
	for i, b := range backups {
		// A log that was set aside goes on from the first snapshot of its epoch.
		first := !epochs[b.Epoch]
		epochs[b.Epoch] = true
		hour := b.Time.Truncate(time.Hour)
		hourly := now.Sub(b.Time) < hourlyFor && !hours[hour]
		hours[hour] = true
		spread := b.Seq == r.base || b.Seq >= last+r.apart
		if spread {
			last = b.Seq
		}
		f := oldFile{path: b.Path, time: b.Time, size: b.Size, required: b.Seq == r.base || first && b.Seq > r.base}
		if hourly || spread || f.required || i >= len(backups)-r.newest {
			kept = append(kept, f)
		} else {
			gone = append(gone, f)
		}
	}
	young := kept[:0]
	for _, f := range kept {
		if now.Sub(f.time) > r.maxAge {
			gone = append(gone, f)
			continue
		}
		young = append(young, f)
		bytes += f.size
	}
	slices.SortStableFunc(young, func(a, b oldFile) int { return a.time.Compare(b.time) })
	for _, f := range young {
		if bytes <= r.bytes {
			break
		}
		if !f.required {
			gone = append(gone, f)
			bytes -= f.size
		}
	}
	return gone, bytes
}

// listAsides returns what was set aside in a folder.
func listAsides(files vfs.FS, dir string) ([]oldFile, error) {
	names, err := files.Names(dir)
	if err != nil {
		return nil, err
	}
	var list []oldFile
	for _, name := range names {
		_, when, ok := parseAsideName(name)
		if !ok {
			continue
		}
		path := filepath.Join(dir, name)
		id, err := files.Stat(path)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, oldFile{path: path, time: when, size: id.Size})
	}
	return list, nil
}

// pruneBackups removes the backups, and what was set aside, that no rule keeps.
// snapshot is the seq of data.json. It is called with saving held.
func (s *Store[S, E]) pruneBackups(snapshot uint64) error {
	list, err := s.backupCache.list(s.opts.FS, s.opts.BackupDir)
	if err != nil {
		return err
	}
	asides, err := listAsides(s.opts.FS, s.data.asideDir())
	if err != nil {
		return err
	}
	r := retention{
		newest: s.opts.KeepBackups,
		// The log reaches back a quarter too far at most.
		apart:  uint64(max(1, s.opts.KeepModifications/4)),
		base:   s.prunable(snapshot),
		bytes:  s.opts.BackupBytes,
		maxAge: s.opts.MaxAge,
	}
	now := time.Now()
	gone, bytes := r.superfluous(list, asides, now)
	aged := slices.ContainsFunc(gone, func(f oldFile) bool { return f.required })
	for _, f := range gone {
		if err := s.opts.FS.Remove(f.path); err != nil && !isMissing(err) {
			return err
		}
	}
	if len(gone) > 0 {
		for _, dir := range []string{s.opts.BackupDir, s.data.asideDir()} {
			if dir == "" {
				continue
			}
			if err := s.opts.FS.SyncDir(dir); err != nil {
				return err
			}
		}
	}
	s.notePast(list, gone, snapshot, bytes, aged)
	return nil
}

// notePast notes for Stats what of the past is there. aged says that age took
// something that the latest modifications need.
func (s *Store[S, E]) notePast(list []Backup, gone []oldFile, snapshot uint64, bytes int64, aged bool) {
	first := s.wal.first()
	from, count := snapshot, 0
	for _, b := range slices.Backward(list) {
		if slices.ContainsFunc(gone, func(f oldFile) bool { return f.path == b.Path }) {
			continue
		}
		count++
		if b.Seq+1 >= first {
			from = min(from, b.Seq)
		}
	}
	c := s.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backups, c.backupBytes, c.undoable = count, bytes, from+1
	short := c.undoable+uint64(s.opts.KeepModifications) > s.current.Load().at.Seq+1 && c.undoable > 1
	c.aged = short && (c.aged || aged)
}

// ageEvery is how often the store looks for what has become too old.
const ageEvery = time.Minute

// age lets go of everything that is older than Options.MaxAge, with or without
// writes: of the log too, once a snapshot has taken its place.
func (s *Store[S, E]) age(now time.Time) error {
	before := now.Add(-s.opts.MaxAge)
	_, newest, old := s.wal.expired(before)
	if old {
		if err := s.checkpoint(); err != nil {
			return err
		}
		if newest {
			if err := s.wal.renew(); errors.Is(err, ErrDiskFull) {
				return err
			} else if err != nil {
				return s.fail(err)
			}
		}
	}
	s.checkpoints.saving.Lock()
	defer s.checkpoints.saving.Unlock()
	saved := s.checkpoints.saved()
	if last, _, old := s.wal.expired(before); old {
		if err := s.wal.prune(min(last, saved)); err != nil {
			return err
		}
		s.checkpoints.mu.Lock()
		s.checkpoints.aged = true // pruneBackups says whether it matters
		s.checkpoints.mu.Unlock()
	}
	if err := s.pruneBackups(saved); err != nil {
		return err
	}
	// When nobody writes for so long, data.json would be the only copy.
	list, err := s.backups()
	alone := err == nil && len(list) == 0 && s.opts.BackupDir != ""
	if alone || s.data.notCopied != nil {
		if err := s.data.copyPresent(saved); err != nil {
			return err
		}
	}
	return s.wal.prune(s.prunable(saved)) // again, if it failed after the checkpoint
}

// prunable returns the seq up to which the log is not needed any more, given
// the seq of the snapshot: that of the newest snapshot which is at least
// KeepModifications old, so that each of the latest changes can be undone.
func (s *Store[S, E]) prunable(snapshot uint64) uint64 {
	last := s.current.Load().at.Seq
	if last <= uint64(s.opts.KeepModifications) {
		return 0
	}
	oldest := min(snapshot, last-uint64(s.opts.KeepModifications))
	list, err := s.backups()
	if err != nil || s.opts.BackupDir != "" && len(list) == 0 {
		return 0
	}
	if s.opts.BackupDir == "" || snapshot == oldest {
		return oldest // without older snapshots Changes reaches back, At does not
	}
	base := uint64(0)
	for _, b := range list {
		if b.Seq <= oldest {
			base = b.Seq
		}
	}
	return base
}
