package atomicstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// Restore makes a backup the state of the closed store in dir. Of o,
// BackupDir and Logger count. It needs to know nothing of the state's type: it
// puts the backup in place of data.json as an operator would, in one step, and
// the next Open takes it over, in a new epoch, and sets the newer changes
// aside. The state as it was becomes a backup.
//
// Restore returns [ErrLocked] while the store is open, and [*CorruptError] when
// the backup is damaged. When ctx ends while it still reads, it returns the error
// of ctx and has changed nothing; what it has begun to write it finishes.
func Restore(ctx context.Context, dir, backup string, o *Options) error {
	return restored(ctx, dir, o, func(c *directory) (string, snapshot, error) { return c.chosen(backup) })
}

// RestoreBefore makes the state before the change seq the state of the closed
// store in dir, exactly: it undoes that change and all later ones. It puts an
// older snapshot in place, with the changes from there up to the one before
// seq, which the next Open applies; otherwise it is as [Restore]. Of a damaged
// log it uses what lies before the damage, and behind it what follows a snapshot
// that was made there; it returns the [*CorruptError] for changes that neither
// leads to. It returns [*TruncatedError] when the log or a snapshot that old is
// no longer held.
func RestoreBefore(ctx context.Context, dir string, seq uint64, o *Options) error {
	return restored(ctx, dir, o, func(c *directory) (string, snapshot, error) { return c.before(seq) })
}

// directory is that of a store of whatever types, which a program may have
// open: it is read, or changed under the lock (restored).
type directory struct {
	fs     vfs.FS
	walDir string
	data   *dataFile
}

// restored puts what find returns in the place of data.json, in a store's
// directory that nobody has open; else it returns ErrLocked.
func restored(ctx context.Context, dir string, o *Options, find func(*directory) (string, snapshot, error)) error {
	opts := o.withDefaults()
	err := func() error {
		l, err := lock(filepath.Join(dir, lockName))
		if err != nil {
			return err
		}
		defer l.Close()
		c := openDirectory(dir, opts)
		if err := c.data.load(); err != nil {
			return err
		}
		_, snap, err := c.until(ctx, find)
		if err != nil {
			return err
		}
		return c.put(snap)
	}()
	if err != nil {
		return prefixed(fmt.Errorf("restore %s: %w", dir, err))
	}
	return nil
}

func openDirectory(dir string, opts Options) *directory {
	return &directory{
		fs:     opts.FS,
		walDir: filepath.Join(dir, walName),
		data:   newDataFile(dir, opts),
	}
}

// until is find that ends with a context: with its error, whatever find made of
// files that it could not read any more. What is written later does not end.
func (c *directory) until(ctx context.Context, find func(*directory) (string, snapshot, error)) (string, snapshot, error) {
	reads := *c
	reads.fs = endingFS{c.fs, ctx}
	path, snap, err := find(&reads)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return path, snap, err
}

// chosen returns a backup, and its path.
func (c *directory) chosen(path string) (string, snapshot, error) {
	snap, err := c.backup(path)
	return path, snap, err
}

// backup reads a snapshot and checks it.
func (c *directory) backup(path string) (snapshot, error) {
	data, err := c.fs.Read(path)
	if err != nil {
		return snapshot{}, err
	}
	snap, _, err := decodeSnapshot(data)
	if err == nil && !snap.intact() {
		err = errSnapshotSum
	}
	if err != nil && !begun(path, data) {
		err = ErrNoBackup
	}
	if err != nil {
		return snap, &CorruptError{Path: path, Seq: snap.Seq, Err: err}
	}
	return snap, nil
}

// begun tells whether a file that cannot be read may once have been a backup.
func begun(path string, data []byte) bool {
	name := filepath.Base(path)
	_, named := parseBackupName(name)
	return named || name == snapshotName || framed(data) || bytes.HasPrefix(data, []byte("{\n\"format\":"))
}

// put replaces data.json. The file that was there keeps a name.
func (c *directory) put(snap snapshot) error {
	present, err := c.data.finishReplacing()
	if err != nil {
		return err
	}
	if !c.data.known {
		// Without MANIFEST, what is put there might be taken for the store's.
		c.data.claim(present, 0)
		if err := c.data.write(c.data.man); err != nil {
			return err
		}
	}
	// Before the name moves on: from then on nothing knows whose it was.
	switch {
	case present.owner == nobodys:
	case present.owner == ours && c.data.backupDir != "":
		_, err = c.data.linkBackup(c.data.path(), present.owned.seq, time.Now())
	default:
		err = c.data.linkAside(c.data.path(), snapshotName)
	}
	if err != nil {
		return err
	}
	snap.SavedAt = time.Now() // so that it is not, byte for byte, what is there
	temp := c.data.temp(newTempName())
	if _, _, err := c.data.prepare(temp, snap.writeWhole); err != nil {
		c.fs.Remove(temp)
		return err
	}
	if err := c.data.sync(); err != nil {
		return err
	}
	out, err := c.data.swap(temp)
	if err != nil {
		return err
	}
	if err := c.data.sync(); err != nil || out == "" {
		return err
	}
	old, err := c.data.look(out)
	if err != nil {
		return err
	}
	if old.id == present.id {
		return c.fs.Remove(out)
	}
	return c.data.setAside(out, snapshotName) // somebody was quicker
}

// before returns a snapshot, with the changes that lead from it to the state
// before a change, and its path.
func (c *directory) before(seq uint64) (path string, snap snapshot, err error) {
	if seq == 0 {
		return "", snapshot{}, errors.New("the first change is 1")
	}
	logs, err := c.logs()
	if err != nil {
		return "", snapshot{}, err
	}
	list, err := listBackups(c.fs, c.data.backupDir)
	if err != nil {
		return "", snapshot{}, err
	}
	var first, last uint64
	var damage error // that hides the change, or may
	for i, log := range logs {
		if i == 0 || log.first() < first {
			first = log.first()
		}
		last = max(last, log.last)
		end := log.last
		if log.damage != nil {
			end++ // the first change that is damaged can be undone as well
			// Behind what was set aside, the log goes on.
			if seq > log.last && (i == 0 || seq < logs[0].first()) {
				damage = cmp.Or(damage, log.damage)
			}
		}
		if seq < log.first() || seq > end {
			continue
		}
		leads := func(path string) (snapshot, bool) {
			snap, err := c.backup(path)
			return snap, err == nil && snap.Epoch == log.epoch.String() && snap.Seq < seq && snap.Seq+1 >= log.first() && len(snap.Changes) == 0
		}
		path := c.data.path()
		snap, found := leads(path)
		for _, b := range slices.Backward(list) {
			if found || b.Seq >= seq {
				continue // by its name, which spares reading it
			}
			path = b.Path
			snap, found = leads(path)
		}
		if found {
			err := c.append(&snap, log, seq-1)
			return path, snap, err
		}
	}
	if damage != nil {
		if path, snap, err := c.behindDamage(logs, list, seq); err == nil {
			return path, snap, nil
		}
		return "", snapshot{}, damage
	}
	if seq > last {
		return "", snapshot{}, fmt.Errorf("there is no change %d; the last is %d", seq, last)
	}
	return "", snapshot{}, noSnapshot(seq, c.data.backupDir, first)
}

// noSnapshot is the error where no snapshot and log lead to the state before a
// change.
func noSnapshot(seq uint64, backupDir string, first uint64) error {
	text := fmt.Sprintf("there is no snapshot from before change %d that the log, from change %d on, goes on from", seq, first)
	if backupDir == "" {
		text += "; set Options.BackupDir, the folder that keeps older snapshots"
	}
	return reworded(&TruncatedError{First: first}, text)
}

// append adds the changes of a log up to one to a snapshot.
func (c *directory) append(snap *snapshot, log *scanned, upTo uint64) error {
	return c.appendAt(new(place), snap, log, upTo)
}

// appendAt is append, from a place in the log.
func (c *directory) appendAt(at *place, snap *snapshot, log *scanned, upTo uint64) error {
	w := &wal{fs: c.fs, logID: log.segments[0].logID, segments: log.segments}
	return w.readOn(at, snap.Seq, upTo, func(r record) error {
		change := snapshotChange{ID: hex.EncodeToString(r.id[:]), Time: r.time, RequestID: r.requestID}
		for _, e := range r.events {
			change.Events = append(change.Events, slices.Clone(e))
		}
		snap.Changes = append(snap.Changes, change)
		return nil
	})
}

// logs returns the log, and those that were set aside. Of one that is damaged,
// which may be what the restore is for, last is the change before the damage.
func (c *directory) logs() ([]*scanned, error) {
	present, err := listSegments(c.fs, c.walDir, parseSegmentName)
	if err != nil {
		c.data.log.Warn("the log is damaged", "error", err)
		present = &scanned{damage: err}
	}
	var logs []*scanned
	if len(present.segments) > 0 || present.damage != nil {
		logs = append(logs, present)
	}
	asides, err := c.asideLogs()
	if err != nil {
		return nil, err
	}
	logs = append(logs, asides...)
	for _, log := range logs {
		reach := uint64(0)
		if log == present {
			reach = c.data.man.reach() // what a snapshot was made after is no torn tail
		}
		if _, err := log.check(c.fs, 0, reach); err != nil {
			c.data.log.Warn("a log is damaged; what lies before that is used", "error", err)
			log.damage = err
		}
	}
	if present.damage == nil {
		present.damage = c.data.man.lacks(present, present.last, c.walDir)
	}
	return logs, nil
}

// asideLogs returns the logs that were set aside, as their headers tell.
func (c *directory) asideLogs() ([]*scanned, error) {
	asides, err := listWhole(c.fs, c.data.asideDir(), func(name string) (int, uint64, bool) {
		what, _, ok := parseAsideName(name)
		if !ok {
			return 0, 0, false
		}
		return parseSegmentName(what)
	}, func(damage *CorruptError) error {
		c.data.log.Warn("a segment that was set aside is damaged, and is not used", "error", damage)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var logs []*scanned
	byID := map[[8]byte]*scanned{}
	for _, s := range asides.segments {
		if byID[s.logID] == nil {
			byID[s.logID] = new(scanned)
			logs = append(logs, byID[s.logID])
		}
		byID[s.logID].segments = append(byID[s.logID].segments, s)
	}
	return logs, nil
}
