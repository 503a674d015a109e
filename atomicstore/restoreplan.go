package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// RestorePlan is what Restore or RestoreBefore would make the state of a store.
type RestorePlan struct {
	Position           // that the state was at, in its own epoch
	Path     string    // the snapshot that it is made of
	Changes  int       // of the log that come after that snapshot
	SavedAt  time.Time // of the snapshot, UTC
}

// PlanRestore tells what [Restore] would do, and fails where that would, but
// for a store that is open. It changes nothing. When ctx ends it returns the
// error of ctx, after the read under way.
func PlanRestore(ctx context.Context, dir, backup string, o *Options) (*RestorePlan, error) {
	return planned(ctx, dir, o, func(c *directory) (string, snapshot, error) { return c.chosen(backup) })
}

// PlanRestoreBefore tells what [RestoreBefore] would do, as [PlanRestore].
func PlanRestoreBefore(ctx context.Context, dir string, seq uint64, o *Options) (*RestorePlan, error) {
	return planned(ctx, dir, o, func(c *directory) (string, snapshot, error) { return c.before(seq) })
}

func planned(ctx context.Context, dir string, o *Options, find func(*directory) (string, snapshot, error)) (*RestorePlan, error) {
	opts := o.withDefaults()
	var path string
	var snap snapshot
	var err error
	// As in Verify: what an open store has not finished looks like damage once.
	for range 20 {
		before := err
		c := openDirectory(dir, opts)
		if err = c.data.load(); err != nil {
			break
		}
		path, snap, err = c.until(ctx, find)
		var corrupt, again *CorruptError
		damaged := errors.As(err, &again)
		if !damaged && !isMissing(err) || errors.As(before, &corrupt) && corrupt.same(again) {
			break
		}
	}
	if err != nil {
		return nil, prefixed(fmt.Errorf("plan to restore %s: %w", filepath.Clean(dir), err))
	}
	n := len(snap.Changes)
	return &RestorePlan{Position: Position{snap.Epoch, snap.Seq + uint64(n)}, Path: path, Changes: n, SavedAt: snap.SavedAt}, nil
}
