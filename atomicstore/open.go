package atomicstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

const (
	walName  = "wal"
	lockName = "LOCK"
)

// Open opens the store in dir, or makes it there with the initial state.
//
// The state S is usually a pointer to a struct that survives encoding/json.
// apply changes the state it is given by one event; it must be deterministic,
// since the state is made again from the log with it. Its error refuses an
// update, and stops Open when the log holds the event already.
//
// The events E survive encoding/json. A struct of nothing but pointers is a
// union: exactly one is set, its JSON name is the kind, and a kind that the
// program does not know stops Open with [ErrUnknownKind].
//
// Open returns [ErrLocked] when the directory is in use, and [*CorruptError]
// when data that had been acknowledged is damaged. A batch that was cut off by
// a crash had not been acknowledged and is dropped.
func Open[S Cloner[S], E any](dir string, initial S, apply func(S, E) error, o *Options) (*Store[S, E], error) {
	s := &Store[S, E]{
		dir:       dir,
		opts:      o.withDefaults(),
		apply:     apply,
		codec:     newCodec[E](),
		tail:      newTail[E](),
		committed: make(chan struct{}),
	}
	s.queue = make(chan *request[S, E], s.opts.QueueLimit)
	if err := s.open(initial); err != nil {
		if s.wal != nil {
			s.wal.close()
		}
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, fmt.Errorf("atomicstore: open %s: %w", dir, err)
	}
	go s.commitAll()
	go s.checkpointAll()
	if s.checkpoints.stale(s.current.Load().at.Seq) {
		s.checkpoints.changed(0) // what was replayed need not be again
	}
	return s, nil
}

func (s *Store[S, E]) open(initial S) (err error) {
	files, walDir := s.opts.fs, s.path(walName)
	for _, folder := range []string{s.dir, walDir, s.opts.BackupDir} {
		if folder == "" {
			continue
		}
		if err := files.mkdir(folder); err != nil {
			return err
		}
		if err := files.syncDir(dirOf(folder)); err != nil {
			return err
		}
	}
	if s.lock, err = lock(s.path(lockName)); err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	base, snapBytes, fresh, err := s.loadSnapshot(initial)
	if err != nil {
		return err
	}
	found, err := scan(files, walDir, base.at.Seq)
	if err != nil {
		return err
	}
	s.wal = &wal{fs: files, dir: walDir, segmentBytes: s.opts.SegmentBytes, generation: found.generation}
	s.checkpoints = newCheckpoints(base.at, snapBytes)

	if len(found.segments) == 0 {
		// Without the log nobody knows which seqs were given after the snapshot,
		// so the numbering starts an epoch of its own.
		return s.begin(base)
	}
	if found.last < found.segments[0].first && found.epoch.String() != base.at.Epoch {
		// A crash came between a new log and the snapshot that names its epoch.
		for _, seg := range found.segments {
			if err := files.remove(seg.path); err != nil {
				return err
			}
		}
		return s.begin(base)
	}
	if fresh {
		// A log from its very first change on needs no snapshot.
		if found.segments[0].first != 1 {
			return &CorruptError{Path: s.path(snapshotName), Seq: 1, Err: errors.New("the snapshot is missing and the log does not reach back to the first change")}
		}
		base.at.Epoch = found.epoch.String()
	}
	return s.resume(base, found)
}

// begin starts a log of its own epoch after a snapshot that has none.
func (s *Store[S, E]) begin(base *version[S]) error {
	var epoch epochID
	rand.Read(epoch[:])
	base.at.Epoch, base.chain = epoch.String(), 0
	s.wal.epoch, s.wal.logID = epoch, newLogID()
	s.wal.next = base.at.Seq + 1
	if err := s.wal.rotate(s.wal.next, 0, nil, 0); err != nil {
		return err
	}
	s.current.Store(base)
	return s.checkpoint() // names the epoch
}

// resume replays the log after the snapshot and goes on in a fresh segment
// that holds it once more: pages of a file whose sync once failed may exist in
// memory alone, however well they read.
func (s *Store[S, E]) resume(base *version[S], found *scanned) error {
	if base.at.Epoch != found.epoch.String() {
		return fmt.Errorf("%s is of epoch %s, the log of %s: to go back to that snapshot, move the folder %s away; to keep the log, move %s away and put back the one that was there",
			snapshotName, base.at.Epoch, found.epoch, s.path(walName), snapshotName)
	}
	if found.last < base.at.Seq {
		newest := found.segments[len(found.segments)-1]
		return &CorruptError{Path: newest.path, Seq: found.last + 1, Err: fmt.Errorf("the log ends with change %d, the snapshot was made after change %d", found.last, base.at.Seq)}
	}
	if first := found.segments[0].first; first > base.at.Seq+1 {
		return &CorruptError{Path: found.segments[0].path, Seq: base.at.Seq + 1, Err: fmt.Errorf("the log begins with change %d, the snapshot was made after change %d", first, base.at.Seq)}
	}
	if found.torn > 0 {
		s.opts.Logger.Warn("a batch that was not finished, and so never acknowledged, is dropped", "after", found.last)
	}

	w := s.wal
	w.epoch, w.logID, w.next, w.chain, w.segments = found.epoch, found.logID, found.last+1, found.chain, found.segments
	if err := s.replay(base, found.last); err != nil {
		return err
	}
	if err := w.rotate(base.at.Seq+1, found.atSnap, found.after, 0); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, seg := range w.segments {
		keep[seg.path] = true
	}
	for _, seg := range found.segments {
		if !keep[seg.path] {
			found.stale = append(found.stale, seg.path)
		}
	}
	for _, path := range found.stale {
		if err := s.opts.fs.remove(path); err != nil {
			return err
		}
	}
	return nil
}

// replay makes the present state from the snapshot and the log.
func (s *Store[S, E]) replay(base *version[S], last uint64) error {
	state := base.state.Clone()
	at := Position{base.at.Epoch, base.at.Seq}
	err := s.wal.read(base.at.Seq, last, func(r record) error {
		c, err := s.change(r, at.Epoch)
		if err != nil {
			return err
		}
		return s.applyAll(state, c)
	})
	if err != nil {
		return err
	}
	at.Seq = last
	s.current.Store(&version[S]{state: state, at: at, chain: s.wal.chain})
	return nil
}

// loadSnapshot returns the state of data.json, its size, and whether there is
// none yet.
func (s *Store[S, E]) loadSnapshot(initial S) (v *version[S], size int64, fresh bool, err error) {
	path := s.path(snapshotName)
	data, err := s.opts.fs.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &version[S]{state: initial.Clone()}, 0, true, nil
	}
	if err != nil {
		return nil, 0, false, err
	}
	snap, epoch, err := decodeSnapshot(data)
	if err == nil {
		var state S
		if state, err = loadState[S](snap); err == nil {
			at := Position{epoch.String(), snap.Seq}
			return &version[S]{state: state, at: at, chain: snap.Chain}, int64(len(data)), false, nil
		}
	}
	s.opts.Logger.Error("the snapshot cannot be read; an older one and the log are tried", "path", path, "error", err)
	v, fallbackErr := s.olderSnapshot()
	if fallbackErr != nil {
		return nil, 0, false, &CorruptError{Path: path, Err: errors.Join(err, fallbackErr)}
	}
	aside := filepath.Join(s.opts.BackupDir, "set-aside-"+time.Now().UTC().Format("20060102T150405.000Z")+"-"+snapshotName)
	if err := s.opts.fs.rename(path, aside); err != nil {
		return nil, 0, false, err
	}
	s.opts.Logger.Warn("the damaged snapshot was set aside", "path", aside)
	return v, 0, false, nil
}

// olderSnapshot returns the newest backup that can be read. Whether the log
// goes on from it, recovery checks as always.
func (s *Store[S, E]) olderSnapshot() (*version[S], error) {
	list, err := s.backups()
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		data, err := s.opts.fs.read(list[i].path)
		if err != nil {
			continue
		}
		snap, epoch, err := decodeSnapshot(data)
		if err != nil {
			continue
		}
		if state, err := loadState[S](snap); err == nil {
			return &version[S]{state: state, at: Position{epoch.String(), snap.Seq}, chain: snap.Chain}, nil
		}
	}
	return nil, errors.New("no backup can be read either")
}

// sweep removes what a crash left of files that never got their names.
func (s *Store[S, E]) sweep() error {
	names, err := s.opts.fs.names(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "."+snapshotName) { // renameio's temporary files
			if err := s.opts.fs.remove(s.path(name)); err != nil {
				return err
			}
		}
	}
	err = s.opts.fs.remove(filepath.Join(s.path(walName), newSegment))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
