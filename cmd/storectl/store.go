package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/contestkit/contestkit/atomicstore"
)

// store is the one that the command line names.
type store struct {
	dir     string
	backups string // "" when there are none
	noLog   bool   // there is no wal/ in it
}

// open finds the store. It makes nothing.
func (a storeArg) open() (*store, error) {
	s := &store{dir: filepath.Clean(a.Dir)}
	if err := folder(s.dir, "name the one with data.json and wal/ in it"); err != nil {
		return nil, err
	}
	inside := filepath.Join(s.dir, "data")
	found := false
	for _, mark := range []func(string) (bool, error){hasLog, hasData} {
		for _, dir := range []string{s.dir, inside} {
			is, err := mark(dir)
			if err != nil {
				return nil, forbidden(err)
			}
			if is && !found {
				s.dir, found = dir, true
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("%s is no store: it has no wal/ in it; name the folder with data.json and wal/", s.dir)
	}
	hasLog, err := hasLog(s.dir)
	if err != nil {
		return nil, forbidden(err)
	}
	s.noLog = !hasLog
	if a.Backups != "" {
		if err := folder(a.Backups, "give --backups the folder that the program has as Options.BackupDir"); err != nil {
			return nil, err
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

// folder returns nil if there is a folder, or what to do about it.
func folder(path, hint string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("there is no folder %s; %s", path, hint)
	case err != nil:
		return forbidden(err)
	case !info.IsDir():
		return fmt.Errorf("%s is a file, not a folder; %s", path, hint)
	}
	return nil
}

// hasLog tells a folder with a log in it.
func hasLog(dir string) (bool, error) { return exists(filepath.Join(dir, "wal"), fs.FileMode.IsDir) }

// hasData tells a folder that is a store's without its log, or before it.
func hasData(dir string) (bool, error) {
	for _, name := range []string{"data.json", "MANIFEST"} {
		if is, err := exists(filepath.Join(dir, name), fs.FileMode.IsRegular); is || err != nil {
			return is, err
		}
	}
	return false, nil
}

func exists(path string, is func(fs.FileMode) bool) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil:
		return is(info.Mode()), nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	}
	return false, err
}

// forbidden adds what to do to an error of a file that may not be read.
func forbidden(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w\nrun storectl as the user that the program runs as", err)
	}
	return err
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
func (s *store) walDir() string   { return filepath.Join(s.dir, "wal") }

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
	case errors.Is(err, atomicstore.ErrNoBackup):
		return fmt.Errorf("%w\n%s", err, s.listing())
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w\nstorectl verify %s reads everything, and says what to do; %s", err, s.dir, s.listing())
	default:
		return forbidden(err)
	}
}

// logged returns an error if the store has no log to read changes from.
func (s *store) logged() error {
	if s.noLog {
		return fmt.Errorf("%s has data.json and no wal/: there is no log to read; storectl stat %s says what that means", s.dir, s.dir)
	}
	return nil
}
