package atomicstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

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

// asideDir is where files go that are not used any more, and not removed.
func (f *dataFile) asideDir() string {
	if f.backupDir != "" {
		return f.backupDir
	}
	return f.dir
}

// setAside moves a file to where the operator finds it.
func (f *dataFile) setAside(path, what string) error {
	err := f.linkAside(path, what)
	if err == nil {
		// Two names until one is certainly on disk.
		err = f.fs.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("set %s aside: %w", path, err)
	}
	return nil
}

// linkAside gives a file a second name among those that were set aside.
func (f *dataFile) linkAside(path, what string) error {
	for now := time.Now(); ; now = now.Add(time.Millisecond) {
		to := filepath.Join(f.asideDir(), asideName(what, now))
		err := f.fs.Link(path, to)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = f.fs.SyncDir(f.asideDir())
		}
		if err == nil {
			f.log.Warn("a file was set aside", "path", path, "now", to)
		}
		return err
	}
}
