package atomicstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
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
// update, and stops Open when the log holds the event already. Package
// storetest tries whether a state and its apply are what Open needs.
//
// The events E survive encoding/json. A struct of nothing but pointers is a
// union: exactly one is set, its JSON name is the kind, and a kind that the
// program does not know stops Open with [ErrUnknownKind]. A new version of a
// kind is a kind of its own, `added@2` say; [Options.Upgrade] makes one of the
// old ones in the log, which stay as they are.
//
// What encoding/json leaves out, as fields that are not exported, is lost: of an
// event at once, of the state when it is opened again. Open refuses a state of
// which nothing would be kept, and Update an event that does not decode again;
// that nothing which counts is left out, storetest tries. Both may be nested
// 9,990 levels deep, about as far as encoding/json reads. Update refuses an event
// that is deeper; a state that has become deeper is in the log alone, since no
// snapshot can be made of it, and Stats says so.
//
// An older program opens what a newer one has closed, as long as it can decode
// the state: it has nothing to replay. What it does not know of the state is
// gone from the next data.json, and stays in the backups. After a crash of the
// newer one, an event of a kind that it does not know stops it.
//
// Open returns [ErrLocked] when the directory is in use, and [*CorruptError]
// when data that had been acknowledged is damaged. A batch that was cut off by
// a crash had not been acknowledged and is dropped.
func Open[S Cloner[S], E any](dir string, initial S, apply func(S, E) error, o *Options) (*Store[S, E], error) {
	if err := checkArguments[S, E](dir, initial, apply); err != nil {
		return nil, prefixed(fmt.Errorf("open %q: %w", dir, err))
	}
	s := &Store[S, E]{
		dir:         dir,
		opts:        o.withDefaults(),
		apply:       apply,
		tail:        newTail[E](),
		committed:   make(chan struct{}),
		backupCache: backupCache{},
	}
	s.codec = newCodec[E](s.opts.Upgrade)
	s.queue = newQueue[S, E](s.opts.QueueLimit)
	s.stalls.init(s.opts.Logger, s.queue.poke)
	if err := s.open(initial); err != nil {
		if s.wal != nil {
			s.wal.close()
		}
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, opening(dir, err)
	}
	go newCommitter(s).run()
	go s.checkpointAll()
	s.watching.Add(1)
	go s.watchAll()
	if s.checkpoints.stale(s.current.Load().at.Seq) {
		s.checkpoints.changed(0) // what was replayed need not be again
	}
	return s, nil
}

func (s *Store[S, E]) open(initial S) (err error) {
	files, walDir := s.opts.FS, s.path(walName)
	for _, folder := range []string{s.dir, walDir, s.opts.BackupDir} {
		if folder == "" {
			continue
		}
		if err := files.Mkdir(folder); err != nil {
			return err
		}
		if err := files.SyncDir(filepath.Dir(folder)); err != nil {
			return err
		}
	}
	if s.lock, err = lock(s.path(lockName)); err != nil {
		return err
	}
	if dir := s.opts.BackupDir; dir != "" {
		if same, err := files.SameDevice(s.dir, dir); err != nil || !same {
			return errors.Join(err, fmt.Errorf("BackupDir %s must be on the same file system: a data.json that is replaced becomes a backup by a link", dir))
		}
	}
	s.wal = &wal{fs: files, dir: walDir, segmentBytes: s.opts.SegmentBytes, rotateAfter: s.opts.MaxAge / 30, rotated: s.measureSpace}
	s.checkpoints = newCheckpoints()
	s.reserve.keep = s.opts.Reserve
	s.data = newDataFile(s.dir, s.opts)
	if err := s.data.load(); err != nil {
		return err
	}
	s.data.newest = s.wal.newestName
	s.wal.generation = s.data.man.generation() // or a new segment would look older than one that is gone
	present, err := s.data.finishReplacing()
	if err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	switch present.owner {
	case ours:
		return s.openOurs(present)
	case unknown:
		return s.openUnknown(initial, present)
	case operators:
		return s.adopt(initial, present)
	case rotten:
		return s.openOlder(initial, errRotten)
	default:
		return s.openOlder(initial, nil)
	}
}

var (
	errRotten       = errors.New("its bytes are not those that were written, and nobody wrote others")
	errOtherProgram = errors.New("is whole, and this program cannot read it")
)

// openOurs opens with the data.json that the store wrote.
func (s *Store[S, E]) openOurs(present contents) error {
	base, err := s.readVersion(s.path(snapshotName))
	if err != nil {
		// Every byte is as it was written, so this program cannot read it.
		return fmt.Errorf("%s %w: %w", snapshotName, errOtherProgram, err)
	}
	s.data.claim(present, base.at.Seq)
	s.checkpoints.bytes, s.checkpoints.at = present.id.Size, present.id.MTime
	found, err := scan(s.opts.FS, s.wal.dir, base.at.Seq, s.data.man.reach())
	if err != nil {
		return err
	}
	if len(found.segments) == 0 {
		if s.data.known && !s.data.man.closed {
			return &CorruptError{Path: s.wal.dir, Seq: base.at.Seq + 1, Err: errNoLog}
		}
		// Without MANIFEST nobody knows which seqs were given after the snapshot,
		// so the numbering starts an epoch of its own.
		s.opts.Logger.Warn("there is no log; data.json is all there is", "after", base.at, "closed", s.data.man.closed)
		base.at.Seq = max(base.at.Seq, s.data.man.seq)
		return s.begin(base, nil)
	}
	if found.last < found.segments[0].first && found.epoch.String() != base.at.Epoch {
		// A crash came between a new log and the snapshot that names its epoch.
		if err := s.data.mark(true); err != nil { // or the next crash leaves no log
			return err
		}
		for _, seg := range found.segments {
			if err := s.opts.FS.Remove(seg.path); err != nil {
				return err
			}
		}
		s.wal.generation = max(s.wal.generation, found.generation)
		return s.begin(base, nil)
	}
	return s.resume(base, found)
}

// openUnknown opens with a data.json and no MANIFEST: it is taken for ours if
// it fits the log, and for an operator's otherwise.
func (s *Store[S, E]) openUnknown(initial S, present contents) error {
	base, err := s.readVersion(s.path(snapshotName))
	if err != nil {
		return s.adopt(initial, present)
	}
	found, err := scan(s.opts.FS, s.wal.dir, base.at.Seq, 0)
	if err != nil {
		return err
	}
	empty := len(found.segments) == 0 || found.last < found.segments[0].first
	if empty || found.epoch.String() == base.at.Epoch {
		return s.openOurs(present)
	}
	return s.adopt(initial, present)
}

// openOlder opens without data.json, which is missing or of no use: with an
// older snapshot and the log after it, or with the log alone if that has every
// change. cause says what is wrong with data.json, nil that there is none.
func (s *Store[S, E]) openOlder(initial S, cause error) error {
	base, found, err := s.older(initial, s.data.man.reach())
	if err != nil {
		return err
	}
	if err := s.data.man.lacks(found, found.last, s.wal.dir); err != nil {
		return err
	}
	if base == nil || cause != nil && base.at.Epoch == "" {
		if cause == nil {
			cause = errors.New("it is missing")
		}
		return &CorruptError{Path: s.path(snapshotName), Seq: s.data.man.seq, Err: fmt.Errorf("%w, and no older snapshot with the log after it leads to where it was", cause)}
	}
	if cause != nil {
		s.opts.Logger.Error("the snapshot cannot be used; an older one and the log are", "path", s.path(snapshotName), "error", cause, "older", base.at)
		if err := s.data.setAside(s.path(snapshotName), snapshotName); err != nil {
			return err
		}
	}
	if found.last < found.first() { // nothing was ever written
		if err := s.data.mark(true); err != nil { // or a crash in between looks like a segment that is gone
			return err
		}
		for _, seg := range found.segments {
			if err := s.opts.FS.Remove(seg.path); err != nil {
				return err
			}
		}
		s.wal.generation = max(s.wal.generation, found.generation)
		return s.begin(base, nil)
	}
	return s.resume(base, found)
}

// older returns the newest state before the log that leads to its end, and the
// log as seen from there: a backup, or, before the first change of all, the
// initial state. It returns nil if there is none.
func (s *Store[S, E]) older(initial S, reach uint64) (*version[S], *scanned, error) {
	found, err := scan(s.opts.FS, s.wal.dir, 0, reach)
	if err != nil {
		return nil, nil, err
	}
	if len(found.segments) > 0 && found.last < reach {
		return nil, nil, found.tooShort(reach)
	}
	list, err := s.backups()
	if err != nil {
		return nil, nil, err
	}
	for _, b := range slices.Backward(list) {
		if b.Seq > found.last || b.Seq+1 < found.first() {
			continue
		}
		base, err := s.readVersion(b.Path)
		if err != nil {
			s.opts.Logger.Warn("a backup cannot be used", "path", b.Path, "error", err)
			continue
		}
		if base.at.Epoch != found.epoch.String() || base.at.Seq > found.last {
			continue
		}
		from, err := scan(s.opts.FS, s.wal.dir, base.at.Seq, reach)
		if err != nil {
			return nil, nil, err
		}
		if from.first() > base.at.Seq || from.atSnap == base.chain {
			return base, from, nil
		}
	}
	empty := found.last < found.first()
	switch {
	case !empty && found.first() == 1:
		state, err := cloned(initial)
		return &version[S]{state: state, at: Position{Epoch: found.epoch.String()}}, found, err
	case empty && reach == 0:
		// Never used; but what has backups goes on above them.
		state, err := cloned(initial)
		if err != nil {
			return nil, nil, err
		}
		base := &version[S]{state: state}
		if len(list) > 0 {
			base.at.Seq = list[len(list)-1].Seq
		}
		return base, found, nil
	}
	return nil, found, nil
}

// readVersion loads a snapshot that the store has written.
func (s *Store[S, E]) readVersion(path string) (*version[S], error) {
	data, err := s.opts.FS.Read(path)
	if err != nil {
		return nil, err
	}
	snap, epoch, err := decodeSnapshot(data)
	if err != nil {
		return nil, err
	}
	if !snap.intact() {
		return nil, errSnapshotSum
	}
	if len(snap.Changes) > 0 {
		return nil, errors.New("a restore has made it, and it was not yet opened")
	}
	state, err := loadState[S](snap.State)
	if err != nil {
		return nil, err
	}
	return &version[S]{state: state, at: Position{epoch.String(), snap.Seq}, chain: snap.Chain}, nil
}

// begin starts a log of its own epoch after a snapshot that has none.
func (s *Store[S, E]) begin(base *version[S], adopted *digest) error {
	var epoch epochID
	rand.Read(epoch[:])
	base.at.Epoch, base.chain = epoch.String(), 0
	s.wal.epoch, s.wal.logID = epoch, newLogID()
	s.wal.next = base.at.Seq + 1
	if err := s.wal.rotate(s.wal.next, 0, carried{}); err != nil {
		return err
	}
	s.current.Store(base)
	return s.save(adopted) // names the epoch
}

// resume replays the log after the snapshot and goes on in a fresh segment
// that holds it once more: pages of a file whose sync once failed may exist in
// memory alone, however well they read.
func (s *Store[S, E]) resume(base *version[S], found *scanned) error {
	if base.at.Epoch != found.epoch.String() {
		return &CorruptError{Path: found.segments[0].path, Seq: base.at.Seq + 1, Err: fmt.Errorf("the log is of epoch %s, the snapshot of %s", found.epoch, base.at.Epoch)}
	}
	if reach := max(base.at.Seq, s.data.man.reach()); found.last < reach {
		return found.tooShort(reach)
	}
	if err := s.data.man.lacks(found, found.last, s.wal.dir); err != nil {
		return err
	}
	if first := found.segments[0].first; first > base.at.Seq+1 {
		return &CorruptError{Path: found.segments[0].path, Seq: base.at.Seq + 1, Err: fmt.Errorf("the log begins with change %d, the snapshot was made after change %d", first, base.at.Seq)}
	}
	if found.torn > 0 {
		s.opts.Logger.Warn("a batch that was not finished, and so never acknowledged, is dropped", "after", found.last)
	}

	if found.first() <= base.at.Seq && base.chain != found.atSnap {
		return &CorruptError{Path: found.segments[0].path, Seq: base.at.Seq, Err: errors.New("the log was not written after the snapshot that it should go on from")}
	}
	w := s.wal
	w.generation = max(w.generation, found.generation)
	s.checkpoints.seq, s.checkpoints.epoch = base.at.Seq, base.at.Epoch
	w.epoch, w.logID, w.next, w.chain, w.segments = found.epoch, found.logID, found.last+1, found.chain, found.segments
	if err := s.replay(base, found); err != nil {
		return err
	}
	after := carried{size: found.after, oldest: found.oldest, write: func(to vfs.Appender, offset int64) error {
		return found.copyAfter(s.opts.FS, base.at.Seq, to, offset)
	}}
	if err := w.rotate(base.at.Seq+1, found.atSnap, after); err != nil {
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
		if err := s.opts.FS.Remove(path); err != nil {
			return err
		}
	}
	return s.data.mark(false)
}

// replay makes the present state from the snapshot and the log.
func (s *Store[S, E]) replay(base *version[S], found *scanned) error {
	state, err := s.forward(context.Background(), base, found.last)
	if err != nil {
		return err
	}
	chain := base.chain
	if found.last > base.at.Seq {
		chain = found.atLast
	}
	s.current.Store(&version[S]{state: state, at: Position{base.at.Epoch, found.last}, chain: chain})
	return nil
}

// forward returns the state after a change, made from an earlier one and the
// log.
func (s *Store[S, E]) forward(ctx context.Context, base *version[S], seq uint64) (S, error) {
	state, err := cloned(base.state)
	if err != nil {
		return state, fmt.Errorf("copy the state of change %d: %w", base.at.Seq, err)
	}
	err = s.wal.read(base.at.Seq, seq, func(r record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := s.change(r, base.at.Epoch)
		if err != nil {
			return err
		}
		return s.applyAll(state, c)
	})
	return state, err
}

// sweep removes what a crash left of files that never got their names.
func (s *Store[S, E]) sweep() error {
	for _, swept := range []struct {
		dir  string
		ours func(name string) bool
	}{
		{s.dir, isLeftOver},
		{s.dir, renameios(manifestName)},
		{s.opts.BackupDir, renameios("backup-")},
		{s.path(walName), func(name string) bool { return name == newSegment }},
	} {
		if swept.dir == "" {
			continue
		}
		names, err := s.opts.FS.Names(swept.dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !swept.ours(name) {
				continue
			}
			if err := s.opts.FS.Remove(filepath.Join(swept.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// renameios tells the temporary files that renameio makes for a name: a dot
// before it, digits behind it.
func renameios(prefix string) func(name string) bool {
	return func(name string) bool {
		rest, ok := strings.CutPrefix(name, "."+prefix)
		return ok && strings.TrimRight(rest, "0123456789") != rest
	}
}
