package atomicstore

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// scanned is what recovery finds in the log folder.
type scanned struct {
	segments   []segment // oldest first, each with a first seq of its own
	stale      []string  // paths of segments that others have superseded
	epoch      epochID
	logID      [8]byte
	last       uint64    // the last change
	chain      uint32    // checksum of the last batch, which may only confirm the one before
	atLast     uint32    // checksum of the batch that ends with the last change
	torn       int64     // bytes of a batch that was never acknowledged
	after      int64     // bytes of the batches after the snapshot
	oldest     time.Time // of the first change after the snapshot; zero when there is none
	atSnap     uint32    // checksum of the batch that ends at the snapshot
	generation int       // of the newest segment
	damage     error     // that ends what is read here; only directory.logs goes on with such a log

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

	for i := range found.segments {
		more, err := found.checkSegment(fs, i, snapSeq, max(snapSeq, reach))
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	return found, nil
}

// checkSegment reads and checks one of the segments. more says that it ends
// where the next one begins.
func (found *scanned) checkSegment(fs vfs.FS, i int, snapSeq, reach uint64) (more bool, err error) {
	s := found.segments[i]
	damaged := func(offset int64, err error) error {
		return &CorruptError{Path: s.path, Offset: offset, Seq: found.last + 1, Err: err}
	}
	if s.epoch != found.epoch || s.logID != found.logID {
		return false, damaged(0, errors.New("the segment belongs to another log"))
	}
	if s.first != found.last+1 {
		return false, damaged(0, fmt.Errorf("the segment begins with change %d, the one before it ends with %d", s.first, found.last))
	}
	file, closer, err := openSegment(fs, s.path, s.logID)
	if err != nil {
		return false, err
	}
	defer closer.Close()
	var next *segment
	if i+1 < len(found.segments) {
		next = &found.segments[i+1]
	}
	for offset := int64(segmentHeader); ; {
		atEnd := next != nil && found.last+1 == next.first
		if atEnd && found.chain == next.chain {
			return true, nil // what else is in this segment, the next one has superseded
		}
		b, err, unread := file.batch(offset)
		if unread != nil {
			return false, unread
		}
		if err == nil && (b.seq != found.last+1 || b.prev != found.chain || atEnd && b.count > 0) {
			err = errChain
		}
		if err == nil && next != nil && b.count > 0 && b.last() >= next.first {
			err = errors.New("the batch runs into the next segment")
		}
		if err != nil && next != nil {
			return false, damaged(offset, err)
		}
		if err != nil {
			return false, found.end(file, offset, reach, err, damaged)
		}

		if found.visit != nil {
			if err := found.visit(s, b); err != nil {
				return false, damaged(offset, err)
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
			found.after += int64(b.size())
			if found.oldest.IsZero() {
				found.oldest = b.time()
			}
		}
		offset += int64(b.size())
	}
}

// end tells whether the log may end where no batch can be read, for a reason.
func (found *scanned) end(file *segmentFile, offset int64, reach uint64, reason error, damaged func(int64, error) error) error {
	if errors.Is(reason, errEnd) {
		if zero, err := file.zeroFrom(offset); zero || err != nil {
			return err
		}
	}
	if found.last < reach {
		return damaged(offset, fmt.Errorf("%w, and a snapshot was built on it", reason))
	}
	valid, err := file.validBehind(offset, found.last+1)
	if err != nil {
		return err
	}
	if valid {
		return damaged(offset, fmt.Errorf("%w, and valid ones follow it", reason))
	}
	found.torn = max(0, file.size-offset)
	return nil
}

// copyAfter writes the batches after a snapshot, so many bytes, to a file.
func (found *scanned) copyAfter(fs vfs.FS, snapSeq uint64, to vfs.Appender, offset int64) error {
	out := bufio.NewWriterSize(io.NewOffsetWriter(to, offset), windowBytes)
	var failed error
	var size int64
	again := &scanned{segments: found.segments, visit: func(_ segment, b batch) error {
		if b.seq <= snapSeq {
			return nil
		}
		size += int64(b.size())
		_, failed = out.Write(b.frame)
		if failed == nil {
			_, failed = out.Write(zeros[:b.size()-len(b.frame)])
		}
		return failed
	}}
	_, err := again.check(fs, snapSeq, 0)
	if failed == nil && err == nil {
		failed = out.Flush()
	}
	if failed == nil && err == nil && (size != found.after || again.chain != found.chain) {
		err = errors.New("the log changed while it was read")
	}
	return cmp.Or(failed, err)
}

// listSegments reads the headers of the segments whose names parse accepts. One
// whose header is damaged is an error.
func listSegments(fs vfs.FS, dir string, parse func(string) (generation int, first uint64, ok bool)) (*scanned, error) {
	return listWhole(fs, dir, parse, func(damage *CorruptError) error { return damage })
}

// listWhole is listSegments that leaves out what is damaged if bad returns nil.
func listWhole(fs vfs.FS, dir string, parse func(string) (generation int, first uint64, ok bool), bad func(*CorruptError) error) (*scanned, error) {
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
			if err := bad(&CorruptError{Path: path, Seq: first, Err: err}); err != nil {
				return nil, err
			}
			continue
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
