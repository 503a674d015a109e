package atomicstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// scanned is what recovery finds in the log folder.
type scanned struct {
	segments   []segment // oldest first, each with a first seq of its own
	stale      []string  // paths of segments that others have superseded
	epoch      epochID
	logID      [8]byte
	last       uint64 // the last change
	chain      uint32 // checksum of the last batch, which may only confirm the one before
	atLast     uint32 // checksum of the batch that ends with the last change
	torn       int    // bytes of a batch that was never acknowledged
	after      []byte // the batches after the snapshot, as they stand in the log
	atSnap     uint32 // checksum of the batch that ends at the snapshot
	generation int    // of the newest segment
	damage     error  // that ends what is read here; only directory.logs goes on with such a log

	visit func(segment, batch) error // of check, for each valid batch; may be nil
}

// first returns the first change that is in the log, or could be.
func (s *scanned) first() uint64 {
	if len(s.segments) == 0 {
		return s.last + 1
	}
	return s.segments[0].first
}

// tooShort says that the log does not reach a change that a snapshot was made
// after.
func (s *scanned) tooShort(reach uint64) error {
	newest := s.segments[len(s.segments)-1]
	return &CorruptError{Path: newest.path, Seq: s.last + 1, Err: fmt.Errorf("the log ends with change %d, a snapshot was made after change %d", s.last, reach)}
}

// scan reads and checks the whole log against the seq of the snapshot. reach is
// the highest change that is known to have been in it.
//
// Invariant: a batch is written only after the one before it is on disk, and
// acknowledged only when it is on disk itself. So a bad batch with nothing
// valid behind it was never acknowledged, and is cut; one with something valid
// behind it, or that the snapshot is built on, was, and is damage.
func scan(fs vfs.FS, dir string, snapSeq, reach uint64) (*scanned, error) {
	found, err := listSegments(fs, dir, parseSegmentName)
	if err != nil {
		return found, err
	}
	return found.check(fs, snapSeq, reach)
}

// check reads and checks the segments that were listed.
func (found *scanned) check(fs vfs.FS, snapSeq, reach uint64) (*scanned, error) {
	if len(found.segments) == 0 {
		return found, nil
	}
	first := found.segments[0]
	found.epoch, found.logID = first.epoch, first.logID
	found.last, found.chain = first.first-1, first.chain
	found.atSnap = first.chain // if the snapshot lies just before the log
	found.atLast = first.chain

	for i, s := range found.segments {
		damaged := func(offset int, err error) error {
			return &CorruptError{Path: s.path, Offset: int64(offset), Seq: found.last + 1, Err: err}
		}
		if s.epoch != found.epoch || s.logID != found.logID {
			return nil, damaged(0, errors.New("the segment belongs to another log"))
		}
		if s.first != found.last+1 {
			return nil, damaged(0, fmt.Errorf("the segment begins with change %d, the one before it ends with %d", s.first, found.last))
		}
		data, err := fs.Read(s.path)
		if err != nil {
			return nil, err
		}
		var next *segment
		if i+1 < len(found.segments) {
			next = &found.segments[i+1]
		}
		offset := segmentHeader
		for {
			rest := data[min(offset, len(data)):]
			atEnd := next != nil && found.last+1 == next.first
			if atEnd && found.chain == next.chain {
				break // what else is in this segment, the next one has superseded
			}
			b, err := decodeBatch(rest, s.logID)
			if err == nil && (b.seq != found.last+1 || b.prev != found.chain || atEnd && b.count > 0) {
				err = errChain
			}
			if err == nil && next != nil && b.count > 0 && b.last() >= next.first {
				err = errors.New("the batch runs into the next segment")
			}
			if err != nil {
				switch {
				case next != nil:
					return nil, damaged(offset, err)
				case errors.Is(err, errEnd) && allZero(rest):
					return found, nil
				case found.last < max(snapSeq, reach):
					return nil, damaged(offset, fmt.Errorf("%w, and a snapshot was built on it", err))
				case validBehind(rest, s.logID, found.last+1):
					return nil, damaged(offset, fmt.Errorf("%w, and valid ones follow it", err))
				}
				found.torn = len(rest)
				return found, nil
			}

			if found.visit != nil {
				if err := found.visit(s, b); err != nil {
					return nil, damaged(offset, err)
				}
			}
			// Valid to the last byte, whatever its flush said at the time: the
			// copy into a fresh segment makes it durable.
			if b.count > 0 {
				found.last, found.atLast = b.last(), b.sum
			}
			found.chain = b.sum
			if found.last == snapSeq && b.count > 0 {
				found.atSnap = b.sum
			}
			if b.seq > snapSeq {
				found.after = append(found.after, rest[:b.size()]...)
			}
			offset += b.size()
		}
	}
	return found, nil
}

// listSegments reads the headers of the segments whose names parse accepts.
func listSegments(fs vfs.FS, dir string, parse func(string) (generation int, first uint64, ok bool)) (*scanned, error) {
	names, err := fs.Names(dir)
	if err != nil {
		return nil, err
	}
	found := new(scanned)
	for _, name := range names {
		generation, first, ok := parse(name)
		if !ok {
			continue
		}
		path := filepath.Join(dir, name)
		data, err := readHead(fs, path)
		if err != nil {
			return nil, err
		}
		h, err := decodeHeader(data)
		if err == nil && h.first != first {
			err = fmt.Errorf("the name says change %d, the header %d", first, h.first)
		}
		if err != nil {
			return nil, &CorruptError{Path: path, Seq: first, Err: err}
		}
		found.segments = append(found.segments, segment{header: h, path: path, generation: generation})
	}
	slices.SortFunc(found.segments, func(a, b segment) int { return cmp.Compare(a.generation, b.generation) })
	var kept []segment
	for _, s := range found.segments {
		// One that an open has made holds all that came after the snapshot, so
		// the older ones that begin at or after its first change are stale.
		count := superseded(kept, s.first)
		for _, old := range kept[len(count):] {
			found.stale = append(found.stale, old.path)
		}
		kept = append(count, s)
		found.generation = s.generation
	}
	found.segments = kept
	return found, nil
}

func readHead(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, segmentHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil // decodeHeader says if it is too short
}

// validBehind tells whether a batch that belongs to this log stands anywhere
// behind a bad one. Every boundary is tried, because the length of the bad one
// cannot be trusted.
func validBehind(rest []byte, logID [8]byte, seq uint64) bool {
	for offset := alignment; offset+batchHeader <= len(rest); offset += alignment {
		b, err := decodeBatch(rest[offset:], logID)
		if err == nil && b.seq >= seq {
			return true
		}
	}
	return false
}
