package atomicstore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// backupFile is a data.json that was replaced, or is being.
type backupFile struct {
	path string
	seq  uint64
}

func backupName(seq uint64, now time.Time) string {
	return fmt.Sprintf("backup-%d-%s.json", seq, now.UTC().Format("20060102T150405.000Z"))
}

func parseBackupName(name string) (seq uint64, ok bool) {
	rest, ok := strings.CutPrefix(name, "backup-")
	if !ok || !strings.HasSuffix(rest, ".json") {
		return 0, false
	}
	number, _, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil
}

// backups lists the backups, oldest first.
func (s *Store[S, E]) backups() ([]backupFile, error) {
	if s.opts.BackupDir == "" {
		return nil, nil
	}
	names, err := s.opts.fs.names(s.opts.BackupDir)
	if err != nil {
		return nil, err
	}
	var list []backupFile
	for _, name := range names {
		if seq, ok := parseBackupName(name); ok {
			list = append(list, backupFile{filepath.Join(s.opts.BackupDir, name), seq})
		}
	}
	slices.SortFunc(list, func(a, b backupFile) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), strings.Compare(a.path, b.path))
	})
	return list, nil
}

// backup links the present data.json into the backup folder, directly before
// it is replaced: the link costs no bytes, and from then on the two files are
// different ones, so editing one in place does not change the other.
func (s *Store[S, E]) backup(now time.Time) error {
	if s.opts.BackupDir == "" {
		return nil
	}
	err := s.opts.fs.link(s.path(snapshotName), filepath.Join(s.opts.BackupDir, backupName(s.checkpoints.saved(), now)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // the first snapshot replaces nothing
	case err != nil && !errors.Is(err, fs.ErrExist):
		return err
	}
	return s.pruneBackups()
}

// pruneBackups keeps the newest backups, the one that the oldest change which
// must be readable builds on, and between them enough to take its place later.
func (s *Store[S, E]) pruneBackups() error {
	list, err := s.backups()
	if err != nil {
		return err
	}
	base := s.prunable(s.checkpoints.saved())
	apart := uint64(max(1, s.opts.KeepModifications/4)) // so the log reaches back a quarter too far at most
	kept := base
	for _, b := range list[:max(0, len(list)-s.opts.KeepBackups)] {
		if b.seq == base || b.seq >= kept+apart {
			kept = b.seq
			continue
		}
		if err := s.opts.fs.remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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
		if b.seq <= oldest {
			base = b.seq
		}
	}
	return base
}
