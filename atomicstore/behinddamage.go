package atomicstore

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

var errNotBehind = errors.New("no snapshot and log behind the damage lead there")

// behindDamage is before where the log is damaged before the change: it returns
// a snapshot that was made behind the damage, with what the log has from there.
func (c *directory) behindDamage(logs []*scanned, backups []Backup, seq uint64) (path string, snap snapshot, err error) {
	paths := []string{c.data.path()}
	for _, b := range slices.Backward(backups) {
		if b.Seq < seq { // by its name, which spares reading it
			paths = append(paths, b.Path)
		}
	}
	for _, log := range logs {
		if log.damage == nil || len(log.segments) == 0 || seq <= log.last {
			continue
		}
		newest := log.segments[len(log.segments)-1]
		if last, err := lastIn(c.fs, newest.path); err != nil || seq > max(last, newest.first-1) {
			continue // there is no such change, or it is damaged as well
		}
		for _, path := range paths {
			snap, err := c.backup(path)
			if err != nil || snap.Epoch != log.segments[0].epoch.String() || snap.Seq < log.last || snap.Seq >= seq || len(snap.Changes) > 0 {
				continue
			}
			if err := c.appendFrom(&snap, log, seq-1); err == nil {
				return path, snap, nil
			}
		}
	}
	return "", snapshot{}, errNotBehind
}

// appendFrom is append to a snapshot whose change may lie behind damage: it
// begins with the batch that follows that change by its checksum.
func (c *directory) appendFrom(snap *snapshot, log *scanned, upTo uint64) error {
	if snap.Seq == upTo {
		return nil
	}
	for _, s := range slices.Backward(log.segments) {
		if s.first > snap.Seq+1 {
			continue
		}
		offset, err := c.following(s, snap.Seq+1, snap.Chain)
		if err != nil {
			return err
		}
		return c.appendAt(&place{s.generation, offset, snap.Seq + 1, snap.Chain}, snap, log, upTo)
	}
	return errNotBehind
}

// following returns where in a segment the batch stands that begins with a
// change and follows the batch of a checksum.
func (c *directory) following(s segment, seq uint64, chain uint32) (int64, error) {
	file, closer, err := openSegment(c.fs, s.path, s.logID)
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	for offset := int64(segmentHeader); offset+batchHeader <= file.size; {
		size, err := file.match(offset)
		if err != nil {
			return 0, err
		}
		if size > 0 && file.headSeq() == seq && binary.LittleEndian.Uint32(file.head[16:]) == chain {
			return offset, nil
		}
		offset += max(size, alignment)
	}
	return 0, io.EOF
}
