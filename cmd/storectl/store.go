package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/contestkit/contestkit/atomicstore"
)

// store is the one that the command line names.
type store struct {
	dir     string
	backups string // "" when there are none
}

// open finds the store. It makes nothing.
func (a storeArg) open() (*store, error) {
	s := &store{dir: filepath.Clean(a.Dir)}
	inside := filepath.Join(s.dir, "data")
	switch {
	case isFolder(filepath.Join(s.dir, "wal")):
	case isFolder(filepath.Join(inside, "wal")):
		s.dir = inside
	case !isFolder(s.dir):
		return nil, fmt.Errorf("there is no folder %s; name the one with data.json and wal/ in it", s.dir)
	default:
		return nil, fmt.Errorf("%s is no store: it has no wal/ in it; name the folder with data.json and wal/", s.dir)
	}
	if a.Backups != "" {
		if !isFolder(a.Backups) {
			return nil, fmt.Errorf("there is no folder %s; give --backups the folder that the program has as Options.BackupDir", a.Backups)
		}
		s.backups = filepath.Clean(a.Backups)
		return s, nil
	}
	for _, dir := range []string{filepath.Join(s.dir, "backups"), filepath.Join(s.dir, "..", "backups"), s.dir + "-backups"} {
		if isFolder(dir) {
			s.backups = dir
			break
		}
	}
	return s, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (s *store) options() *atomicstore.Options { return &atomicstore.Options{BackupDir: s.backups} }

func (s *store) snapshot() string { return filepath.Join(s.dir, "data.json") }

// list returns the backups, oldest first.
func (s *store) list() ([]atomicstore.Backup, error) {
	if s.backups == "" {
		return nil, nil
	}
	return atomicstore.Backups(s.backups)
}

// file finds a snapshot by its path, or by its name in the store or among its
// backups.
func (s *store) file(name string) (string, error) {
	for _, path := range []string{name, filepath.Join(s.dir, name), filepath.Join(s.backups, name)} {
		if isFile(path) {
			return path, nil
		}
	}
	if s.backups == "" {
		return "", fmt.Errorf("there is no file %s, nor a folder of backups; name that with --backups", name)
	}
	return "", fmt.Errorf("there is no file %s, neither here nor in %s; storectl backups %s lists what there is", name, s.backups, s.dir)
}

// records is atomicstore.Records after a change, or from the oldest one on if
// that is no longer held. skipped is then told the oldest; it may be nil.
func (s *store) records(ctx context.Context, after atomicstore.Position, o *atomicstore.RecordsOptions, skipped func(first uint64), each func(atomicstore.Record) error) error {
	for {
		var gone *atomicstore.TruncatedError
		for r, err := range atomicstore.Records(ctx, s.dir, after, o) {
			if errors.As(err, &gone) && gone.First > after.Seq+1 {
				break
			}
			if err != nil {
				return err
			}
			if err := each(r); err != nil {
				return err
			}
			after.Seq = r.Seq
		}
		if gone == nil {
			return nil
		}
		if skipped != nil {
			skipped(gone.First)
		}
		after.Seq = gone.First - 1
	}
}

// advise adds what to do to an error that an operator may meet.
func (s *store) advise(err error) error {
	var corrupt *atomicstore.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w\nstorectl verify %s reads everything; storectl backups %s lists what can be restored", err, s.dir, s.dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w\nrun storectl as the user that the program runs as", err)
	default:
		return err
	}
}
