package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
)

const (
	sweepEvery = time.Hour
	// Far longer than the slowest upload: a photo is on disk before the entry that
	// names it.
	sweepGrace = 24 * time.Hour
)

// sweeping removes the photos that nothing holds, until ctx ends.
func (a *app) sweeping(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := a.sweep(ctx, sweepGrace); err != nil && ctx.Err() == nil {
			a.log.Warn("photos that no entry has are not removed; it is tried again", "error", err, "in", sweepEvery)
		}
	}
}

// sweep removes the photos older than grace that neither an entry names nor
// anything that an operator could go back to: the log, a backup, what was set
// aside. It removes nothing when one of these cannot be read.
func (a *app) sweep(ctx context.Context, grace time.Duration) error {
	var held map[uploads.PhotoID]bool // read when the first photo needs it, which is seldom
	var failed error
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	removed, err := a.photos.Sweep(ctx, grace, func(id uploads.PhotoID) bool {
		state, _ := a.store.State()
		if state.HasPhoto(contest.PhotoID(id)) {
			return true
		}
		if held == nil && failed == nil {
			if held, failed = a.heldOnDisk(ctx); failed != nil {
				stop()
			}
		}
		return failed != nil || held[id]
	})
	if removed > 0 {
		a.log.Info("removed photos that no entry and no backup has", "photos", removed)
	}
	if failed != nil {
		return failed
	}
	return err
}

// heldOnDisk returns every photo that any file of the store names, whatever the
// file is: an id is 64 hexadecimal digits in all of them. What looks like an id
// by chance only keeps a photo.
//
// The order matters: a file that is moved to the backups meanwhile is seen in
// the one place or in the other.
func (a *app) heldOnDisk(ctx context.Context) (map[uploads.PhotoID]bool, error) {
	held := map[uploads.PhotoID]bool{}
	for _, dir := range []string{a.cfg.dataDir(), a.cfg.backupDir()} {
		list, err := os.ReadDir(dir) // one that is not there is an error: there should be
		if err == nil {
			err = idsBelow(ctx, dir, list, held)
		}
		if err != nil {
			return nil, fmt.Errorf("look for photos in the store: %w", err)
		}
	}
	return held, nil
}

// idsBelow adds what the files of a folder name. Links are followed: an operator
// may keep backups elsewhere.
func idsBelow(ctx context.Context, dir string, list []os.DirEntry, ids map[uploads.PhotoID]bool) error {
	for _, entry := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			var below []os.DirEntry
			if below, err = os.ReadDir(path); err == nil {
				err = idsBelow(ctx, path, below, ids)
			}
		case info.Mode().IsRegular():
			err = idsIn(path, ids)
		}
		// The store has removed it since: nobody can go back to it.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// idsIn adds every run of 64 lower-case hexadecimal digits in a file.
func idsIn(path string, ids map[uploads.PhotoID]bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const digits = 64
	var run []byte // the latest digits in a row
	buf := make([]byte, 256<<10)
	for {
		n, err := f.Read(buf)
		for _, c := range buf[:n] {
			if c < '0' || c > '9' && c < 'a' || c > 'f' {
				run = run[:0]
				continue
			}
			if len(run) == digits {
				run = run[:copy(run, run[1:])] // an id may follow other digits directly
			}
			if run = append(run, c); len(run) == digits {
				ids[uploads.PhotoID(run)] = true
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
