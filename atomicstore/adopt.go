package atomicstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// errUnreadable means that an operator's file is no state of this program.
var errUnreadable = errors.New("it does not parse as a snapshot, nor as a state")

// adopt takes over a data.json that an operator put there. His hand wins: the
// log is set aside, with the changes in it that are newer than his file, and a
// new epoch begins, above every seq that was ever given. Until data.json is
// ours again, a crash lets the next Open adopt the same file once more.
func (s *Store[S, E]) adopt(initial S, present contents) error {
	state, seq, err := s.readPut()
	if errors.Is(err, errUnreadable) {
		// His cp may be under way.
		if err := s.data.await(); err != nil {
			return err
		}
		if present, err = s.data.look(s.path(snapshotName)); err != nil {
			return err
		}
		state, seq, err = s.readPut()
	}
	if errors.Is(err, errUnreadable) {
		return s.openOlder(initial, err)
	}
	if err != nil {
		return fmt.Errorf("take over the %s that was put there: %w", snapshotName, err)
	}
	found, err := scan(s.opts.FS, s.wal.dir, 0, 0)
	if err != nil {
		s.opts.Logger.Warn("the log is damaged and is set aside with the damage, since another data.json was put there", "error", err)
	} else if len(found.segments) > 0 {
		if err := s.backupLog(initial); err != nil {
			s.opts.Logger.Warn("the state before another data.json was put there could not be made a backup; the log of it is set aside", "error", err)
		}
	}
	highest, err := s.highest()
	if err != nil {
		return err
	}
	highest = max(highest, seq)
	m := s.data.man
	m.seq = highest // before the log goes, which alone may know it
	if err := s.data.write(m); err != nil {
		return err
	}
	if err := s.setLogAside(); err != nil {
		return err
	}
	s.opts.Logger.Warn("the data.json that was put there is taken over; what was newer is set aside", "of change", seq, "goes on after", highest, "set aside in", s.data.asideDir())
	return s.begin(&version[S]{state: state, at: Position{Seq: highest}}, &present.sum)
}

// readPut reads what is in data.json.
func (s *Store[S, E]) readPut() (state S, seq uint64, err error) {
	data, err := s.opts.FS.Read(s.path(snapshotName))
	if err != nil {
		return state, 0, err
	}
	return s.readForeign(data)
}

// readForeign decodes an operator's file: a backup, edited or not, or a plain
// state, or whatever Options.Import makes a state of. seq is that of a backup.
func (s *Store[S, E]) readForeign(data []byte) (state S, seq uint64, err error) {
	if framed(data) {
		return s.readBackup(data)
	}
	if s.opts.Import != nil {
		if data, err = s.opts.Import(data); err != nil {
			return state, 0, fmt.Errorf("%w: Options.Import: %w", errUnreadable, err)
		}
	}
	if state, err = loadState[S](data); err != nil {
		return state, 0, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if err := sameShape(data, state); err != nil {
		return state, 0, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return state, 0, nil
}

// framed tells whether data has the form of a snapshot, of whatever format.
func framed(data []byte) bool {
	var probe struct {
		Format *int            `json:"format"`
		State  json.RawMessage `json:"state"`
	}
	return json.Unmarshal(data, &probe) == nil && probe.Format != nil && len(probe.State) > 0
}

func (s *Store[S, E]) readBackup(data []byte) (state S, seq uint64, err error) {
	snap, _, err := decodeSnapshot(data)
	if errors.Is(err, errSnapshotFormat) {
		return state, 0, err // of a newer program: to set it aside would hide that
	}
	// Its epoch is of no interest, so an edited one is no reason to refuse it.
	if !snap.intact() {
		s.opts.Logger.Warn("the state in the data.json that was put there was edited, or is damaged: it does not match its checksum")
	}
	if state, err = loadState[S](snap.State); err != nil {
		return state, 0, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	for i, c := range snap.Changes {
		r, err := c.record(snap.Seq + uint64(i) + 1)
		if err != nil {
			return state, 0, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		change, err := s.change(r, snap.Epoch)
		if err == nil {
			err = s.applyAll(state, change)
		}
		if err != nil {
			return state, 0, err
		}
	}
	return state, believable(snap.Seq + uint64(len(snap.Changes))), nil
}

// believable returns a seq that an operator may have edited, or 0.
func believable(seq uint64) uint64 {
	if seq >= 1<<60 {
		return 0
	}
	return seq
}

// sameShape refuses a file of another program, which encoding/json would turn
// into an empty state: each field at its top that has something in it must
// come out of the state again.
func sameShape(data []byte, state any) error {
	var in, out map[string]json.RawMessage
	if json.Unmarshal(data, &in) != nil {
		return nil // no object
	}
	again, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if json.Unmarshal(again, &out) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if _, known := out[name]; known {
			continue
		}
		switch string(bytes.Join(bytes.Fields(in[name]), nil)) {
		case "null", "{}", "[]", `""`, "0", "false":
		default:
			return fmt.Errorf("the state has no field %q", name)
		}
	}
	return nil
}

// backupLog makes a backup of the state that the log leads to, so that what
// the operator does can be undone.
func (s *Store[S, E]) backupLog(initial S) error {
	if s.opts.BackupDir == "" {
		return nil
	}
	base, found, err := s.older(initial, 0)
	if err != nil {
		return err
	}
	if base == nil || found.last < base.at.Seq {
		return errors.New("no older snapshot leads there")
	}
	if found.last == base.at.Seq {
		return nil // it is one, or there was no change yet
	}
	w := s.wal
	w.epoch, w.logID, w.segments = found.epoch, found.logID, found.segments
	defer func() { w.epoch, w.logID, w.segments = epochID{}, [8]byte{}, nil }()
	state, err := s.forward(context.Background(), base, found.last)
	if err != nil {
		return err
	}
	v := &version[S]{state: state, at: Position{base.at.Epoch, found.last}, chain: found.atLast}
	return s.data.copyBackup(writeSnapshot(v, time.Now()), found.last)
}

// highest returns the highest seq that is known to have been given.
func (s *Store[S, E]) highest() (uint64, error) {
	highest := s.data.man.seq
	list, err := s.backups()
	if err != nil {
		return 0, err
	}
	for _, b := range list {
		highest = max(highest, believable(b.Seq))
	}
	names, err := s.opts.FS.Names(s.wal.dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if _, first, ok := parseSegmentName(name); ok {
			last, err := lastIn(s.opts.FS, filepath.Join(s.wal.dir, name))
			if err != nil {
				return 0, err
			}
			highest = max(highest, believable(first-1), believable(last))
		}
	}
	return highest, nil
}

// lastIn returns the last change of a segment that can be read, damaged or not.
func lastIn(fs vfs.FS, path string) (last uint64, err error) {
	head, err := readHead(fs, path)
	if err != nil {
		return 0, err
	}
	h, err := decodeHeader(head)
	if err != nil {
		return 0, nil
	}
	file, closer, err := openSegment(fs, path, h.logID)
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	return file.lastSeq()
}

// setLogAside moves every segment away.
func (s *Store[S, E]) setLogAside() error {
	names, err := s.opts.FS.Names(s.wal.dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return filepath.Ext(name) != segmentSuffix })
	for _, name := range names {
		generation, _, _ := parseSegmentName(name)
		s.wal.generation = max(s.wal.generation, generation)
		if err := s.data.setAside(filepath.Join(s.wal.dir, name), name); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	return s.opts.FS.SyncDir(s.wal.dir)
}
