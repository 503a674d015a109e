package atomicstore

import (
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
// the backup is damaged.
func Restore(dir, backup string, o *Options) error {
	return closedStore(dir, o, func(c *closed) error {
		snap, err := c.backup(backup)
		if err != nil {
			return err
		}
		return c.put(snap)
	})
}

// RestoreBefore makes the state before the change seq the state of the closed
// store in dir, exactly: it undoes that change and all later ones. It puts an
// older snapshot in place, with the changes from there up to the one before
// seq, which the next Open applies; otherwise it is as [Restore]. It returns
// [*TruncatedError] when the log or a snapshot that old is no longer held.
func RestoreBefore(dir string, seq uint64, o *Options) error {
	return closedStore(dir, o, func(c *closed) error {
		snap, err := c.before(seq)
		if err != nil {
			return err
		}
		return c.put(snap)
	})
}

// closed is a store that nobody has open, of whatever types.
type closed struct {
	fs     vfs.FS
	walDir string
	data   *dataFile
}

// closedStore calls f with a store's directory locked.
func closedStore(dir string, o *Options, f func(*closed) error) error {
	opts := o.withDefaults()
	err := func() error {
		l, err := lock(filepath.Join(dir, lockName))
		if err != nil {
			return err
		}
		defer l.Close()
		c := openClosed(dir, opts)
		if err := c.data.load(); err != nil {
			return err
		}
		return f(c)
	}()
	if err != nil {
		return fmt.Errorf("atomicstore: restore %s: %w", dir, err)
	}
	return nil
}

func openClosed(dir string, opts Options) *closed {
	return &closed{
		fs:     opts.FS,
		walDir: filepath.Join(dir, walName),
		data:   &dataFile{fs: opts.FS, dir: dir, backupDir: opts.BackupDir, log: opts.Logger},
	}
}

// backup reads a snapshot and checks it.
func (c *closed) backup(path string) (snapshot, error) {
	data, err := c.fs.Read(path)
	if err != nil {
		return snapshot{}, err
	}
	snap, _, err := decodeSnapshot(data)
	if err == nil && !snap.intact() {
		err = errSnapshotSum
	}
	if err != nil {
		return snap, &CorruptError{Path: path, Seq: snap.Seq, Err: err}
	}
	return snap, nil
}

// put replaces data.json. The file that was there keeps a name.
func (c *closed) put(snap snapshot) error {
	present, err := c.data.settle()
	if err != nil {
		return err
	}
	if !c.data.known {
		// Without MANIFEST, what is put there might be taken for the store's.
		c.data.own(present, 0)
		if err := c.data.write(c.data.man); err != nil {
			return err
		}
	}
	// Before the name moves on: from then on nothing knows whose it was.
	switch {
	case present.whose == nobodys:
	case present.whose == ours && c.data.backupDir != "":
		_, err = c.data.linkBackup(c.data.path(), present.owned.seq)
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

// before returns a snapshot that leads to the state before a change.
func (c *closed) before(seq uint64) (snapshot, error) {
	if seq == 0 {
		return snapshot{}, errors.New("the first change is 1")
	}
	logs, err := c.logs()
	if err != nil {
		return snapshot{}, err
	}
	list, err := listBackups(c.fs, c.data.backupDir)
	if err != nil {
		return snapshot{}, err
	}
	var first, last uint64
	for i, log := range logs {
		if i == 0 || log.first() < first {
			first = log.first()
		}
		last = max(last, log.last)
		if seq < log.first() || seq > log.last {
			continue
		}
		leads := func(path string) (snapshot, bool) {
			snap, err := c.backup(path)
			return snap, err == nil && snap.Epoch == log.epoch.String() && snap.Seq < seq && snap.Seq+1 >= log.first() && len(snap.Changes) == 0
		}
		snap, found := leads(c.data.path())
		for _, b := range slices.Backward(list) {
			if found || b.Seq >= seq {
				continue // by its name, which spares reading it
			}
			snap, found = leads(b.Path)
		}
		if found {
			err := c.append(&snap, log, seq-1)
			return snap, err
		}
	}
	if seq > last {
		return snapshot{}, fmt.Errorf("there is no change %d; the last is %d", seq, last)
	}
	return snapshot{}, &TruncatedError{First: first}
}

// append adds the changes of a log up to one to a snapshot.
func (c *closed) append(snap *snapshot, log *scanned, upTo uint64) error {
	w := &wal{fs: c.fs, logID: log.logID, segments: log.segments}
	return w.read(snap.Seq, upTo, func(r record) error {
		change := snapshotChange{ID: hex.EncodeToString(r.id[:]), Time: r.time, RequestID: r.requestID}
		for _, e := range r.events {
			change.Events = append(change.Events, slices.Clone(e))
		}
		snap.Changes = append(snap.Changes, change)
		return nil
	})
}

// logs returns the log, and those that were set aside, the youngest first.
func (c *closed) logs() ([]*scanned, error) {
	present, err := scan(c.fs, c.walDir, 0, 0)
	if err != nil {
		// It may be what the restore is for; what lies before the damage is whole.
		c.data.log.Warn("the log is damaged", "error", err)
		present = nil
	}
	var logs []*scanned
	if present != nil && len(present.segments) > 0 {
		logs = append(logs, present)
	}
	asides, err := listSegments(c.fs, c.data.asideDir(), func(name string) (int, uint64, bool) {
		what, _, ok := parseAsideName(name)
		if !ok {
			return 0, 0, false
		}
		return parseSegmentName(what)
	})
	if err != nil {
		return nil, err
	}
	byID := map[[8]byte]*scanned{}
	for _, s := range asides.segments {
		if byID[s.logID] == nil {
			byID[s.logID] = new(scanned)
		}
		byID[s.logID].segments = append(byID[s.logID].segments, s)
	}
	for _, log := range byID {
		if log, err := log.check(c.fs, 0, 0); err == nil {
			logs = append(logs, log)
		}
	}
	return logs, nil
}
