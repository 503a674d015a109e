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

// Backup is a data.json that was replaced.
type Backup struct {
	Path string    `json:"path"`
	Seq  uint64    `json:"seq"`  // the last change in it
	Time time.Time `json:"time"` // when it was replaced, UTC
}

// stampLayout is how times stand in names of files.
const stampLayout = "20060102T150405.000Z"

func backupName(seq uint64, now time.Time) string {
	return fmt.Sprintf("backup-%d-%s.json", seq, now.UTC().Format(stampLayout))
}

func parseBackupName(name string) (b Backup, ok bool) {
	rest, ok := strings.CutPrefix(name, "backup-")
	if !ok {
		return b, false
	}
	rest, ok = strings.CutSuffix(rest, ".json")
	if !ok {
		return b, false
	}
	number, when, _ := strings.Cut(rest, "-")
	var err error
	if b.Seq, err = strconv.ParseUint(number, 10, 64); err != nil {
		return b, false
	}
	b.Time, err = time.Parse(stampLayout, when)
	return b, err == nil
}

const asidePrefix = "set-aside-"

// asideName is the name of a file that recovery does not use.
func asideName(what string, now time.Time) string {
	return asidePrefix + now.UTC().Format(stampLayout) + "-" + what
}

// parseAsideName is the inverse of asideName.
func parseAsideName(name string) (what string, when time.Time, ok bool) {
	rest, ok := strings.CutPrefix(name, asidePrefix)
	if !ok || len(rest) <= len(stampLayout) {
		return "", when, false
	}
	when, err := time.Parse(stampLayout, rest[:len(stampLayout)])
	return rest[len(stampLayout)+1:], when, err == nil
}

// listBackups returns the backups of a folder, oldest first.
func listBackups(files fileSystem, dir string) ([]Backup, error) {
	if dir == "" {
		return nil, nil
	}
	names, err := files.names(dir)
	if err != nil {
		return nil, err
	}
	var list []Backup
	for _, name := range names {
		if b, ok := parseBackupName(name); ok {
			b.Path = filepath.Join(dir, name)
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b Backup) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.Time.Compare(b.Time))
	})
	return list, nil
}

func (s *Store[S, E]) backups() ([]Backup, error) { return listBackups(s.opts.fs, s.opts.BackupDir) }

// pruneBackups keeps the newest backups, the one that the oldest change which
// must be readable builds on, and between them enough to take its place later.
func (s *Store[S, E]) pruneBackups(snapshot uint64) error {
	list, err := s.backups()
	if err != nil {
		return err
	}
	base := s.prunable(snapshot)
	apart := uint64(max(1, s.opts.KeepModifications/4)) // so the log reaches back a quarter too far at most
	kept := base
	for _, b := range list[:max(0, len(list)-s.opts.KeepBackups)] {
		if b.Seq == base || b.Seq >= kept+apart {
			kept = b.Seq
			continue
		}
		if err := s.opts.fs.remove(b.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
		if b.Seq <= oldest {
			base = b.Seq
		}
	}
	return base
}
