package atomicstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// segment is one file of the log. Its batches count up to the first seq of the
// segment after it: what lies behind that was superseded at an open.
type segment struct {
	header
	path       string
	generation int // counts the segments ever made
}

const (
	segmentSuffix = ".wal"
	newSegment    = "new.tmp" // a segment until it is complete
)

func segmentName(generation int, first uint64) string {
	return fmt.Sprintf("%010d-%020d%s", generation, first, segmentSuffix)
}

func parseSegmentName(name string) (generation int, first uint64, ok bool) {
	base, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(base, "-")
	if !ok {
		return 0, 0, false
	}
	generation, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0, false
	}
	first, err = strconv.ParseUint(b, 10, 64)
	return generation, first, err == nil
}

// wal is the log. The committer alone appends; anyone may read what is durable.
type wal struct {
	fs           vfs.FS
	dir          string
	segmentBytes int64
	rotateAfter  time.Duration // so that old changes can go without young ones; 0 is never

	logged  atomic.Int64           // bytes of batches written
	lacks   atomic.Int64           // bytes of the segment that found no room, 0 since one was made
	rotated func()                 // called after a segment was made; may be nil
	newest  atomic.Pointer[string] // name of the newest segment, once it is on disk; nil before one was made

	epoch epochID
	logID [8]byte

	// Of whoever holds writing: the committer, and now and then the one who
	// looks after old segments.
	writing    sync.Mutex
	next       uint64 // seq of the next change
	chain      uint32 // checksum of the last batch
	file       vfs.Appender
	offset     int64 // where the next batch goes, bytes
	size       int64 // of the segment, bytes
	spare      *spare
	generation int       // of the newest segment
	created    time.Time // of the newest segment

	mu       sync.Mutex // guards segments
	segments []segment  // oldest first
}

// carried is what a segment begins with.
type carried struct {
	size   int64                                     // bytes
	oldest time.Time                                 // of its first change; zero when there is none
	write  func(to vfs.Appender, offset int64) error // all of it
}

// carry returns what carries a batch.
func carry(frame []byte, changes int) carried {
	b := batch{count: uint32(changes), payload: frame[batchHeader:]}
	return carried{size: int64(len(frame)), oldest: b.time(), write: func(to vfs.Appender, offset int64) error {
		return writeAll(to, frame, offset)
	}}
}

// rotate begins a new segment, with batches in it if there are any. It
// gets its name only when it is complete and synced, so a segment with a name
// is never half made, and one that finds no room is none: then the error is
// ErrDiskFull, and the log goes on as if nothing had been tried.
func (w *wal) rotate(first uint64, chain uint32, c carried) error {
	h := header{epoch: w.epoch, logID: w.logID, first: first, chain: chain, created: time.Now().UTC()}
	if !c.oldest.IsZero() && c.oldest.Before(h.created) {
		h.created = c.oldest // or what is copied at each open would never grow old
	}
	temp := filepath.Join(w.dir, newSegment)
	offset := segmentHeader + c.size
	size := max(w.segmentBytes, offset)
	f, filled := w.prepared()
	if f == nil {
		var err error
		if f, err = w.fs.Create(temp); err != nil {
			return w.unmade(size, fmt.Errorf("create a log segment: %w", err))
		}
	}
	err := writeAll(f, h.encode(), 0)
	if err == nil && c.size > 0 {
		err = c.write(f, segmentHeader)
	}
	if err == nil {
		err = fill(f, max(offset, filled), size)
	}
	if err != nil {
		f.Close()
		return w.unmade(size, fmt.Errorf("fill a log segment: %w", err))
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return w.unmade(size, fmt.Errorf("sync a log segment: %w", err))
	}

	w.generation++
	s := segment{header: h, path: filepath.Join(w.dir, segmentName(w.generation, first)), generation: w.generation}
	if err := w.fs.Rename(temp, s.path); err != nil {
		f.Close()
		return fmt.Errorf("name a log segment: %w", err)
	}
	if err := w.fs.SyncDir(w.dir); err != nil {
		f.Close()
		return fmt.Errorf("sync the log folder: %w", err)
	}
	// Only now: one that MANIFEST names and that is not there is damage.
	name := filepath.Base(s.path)
	w.newest.Store(&name)

	old := w.file
	w.file, w.offset, w.size, w.created = f, offset, size, h.created
	w.mu.Lock()
	w.segments = append(superseded(w.segments, first), s)
	w.mu.Unlock()
	w.lacks.Store(0)
	if w.rotated != nil {
		w.rotated()
	}
	if old != nil {
		return old.Close()
	}
	return nil
}

// newestName returns the name of the newest segment that was made, or "".
func (w *wal) newestName() string {
	if name := w.newest.Load(); name != nil {
		return *name
	}
	return ""
}

// unmade returns the error of a segment of so many bytes that did not come to
// have a name.
func (w *wal) unmade(size int64, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	w.fs.Remove(filepath.Join(w.dir, newSegment)) // it has taken what room there was
	w.lacks.Store(size)
	return fmt.Errorf("%w: %w", ErrDiskFull, err)
}

var zeros [256 << 10]byte

// fill writes zeros to a segment, from an offset to its end.
// Zeros are written rather than reserved: a write into them changes no
// metadata, which halves what each commit makes the disk do.
func fill(f vfs.Appender, from, to int64) error {
	for from < to {
		n := min(to-from, int64(len(zeros)))
		if err := writeAll(f, zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// spare is a segment without a name that is made before it is needed, so that
// no commit waits for megabytes of zeros.
type spare struct {
	done chan struct{} // closed when file is set
	file vfs.Appender  // nil when it could not be made
	size int64         // bytes of synced zeros
}

// prepare begins to make the next segment once the present one is half full.
func (w *wal) prepare() {
	if w.spare != nil || w.offset < w.size/2 {
		return
	}
	s := &spare{done: make(chan struct{}), size: w.segmentBytes}
	w.spare = s
	go func() {
		defer close(s.done)
		// What fails here, the commit that needs the segment tries again and
		// reports.
		temp := filepath.Join(w.dir, newSegment)
		f, err := w.fs.Create(temp)
		if err != nil {
			return
		}
		if err = fill(f, 0, s.size); err == nil {
			err = f.Sync()
		}
		if err != nil {
			f.Close()
			w.fs.Remove(temp) // never write again to a file whose sync failed
			return
		}
		s.file = f
	}()
}

// prepared returns the spare segment and how many zeros it has, or nil when
// there is none or it could not be made. It waits for one that is being made.
func (w *wal) prepared() (vfs.Appender, int64) {
	s := w.spare
	if s == nil {
		return nil, 0
	}
	w.spare = nil
	<-s.done
	if s.file == nil {
		return nil, 0
	}
	return s.file, s.size
}

// superseded returns the segments that still count when one that begins at
// first is made after them. The slice is new: readers may hold the old one.
func superseded(segments []segment, first uint64) []segment {
	n := len(segments)
	for n > 0 && segments[n-1].first >= first {
		n--
	}
	return slices.Clone(segments[:n])
}

// append makes a frame of so many changes durable, behind the one before it;
// with none it confirms that one. It returns the frame as it was written.
// ErrDiskFull means that nothing was written; any other error, that the log
// must not be written any more.
func (w *wal) append(frame []byte, changes int) ([]byte, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	aged := w.rotateAfter > 0 && w.offset > segmentHeader && time.Since(w.created) > w.rotateAfter
	rotates := aged || w.offset+int64(frameSize(len(frame)-batchHeader)) > w.size
	prev := w.chain
	if rotates {
		prev = w.joint()
	}
	frame, sum := endBatch(frame, w.logID, prev, w.next, uint32(changes))
	if rotates {
		if err := w.rotate(w.next, prev, carry(frame, changes)); err != nil {
			return frame, err
		}
	} else {
		if err := writeAll(w.file, frame, w.offset); err != nil {
			return frame, fmt.Errorf("append to the log: %w", err)
		}
		if err := w.file.Sync(); err != nil {
			return frame, fmt.Errorf("sync the log: %w", err)
		}
		w.offset += int64(len(frame))
		w.prepare()
	}
	w.next, w.chain = w.next+uint64(changes), sum
	w.logged.Add(int64(len(frame)))
	return frame, nil
}

// joint returns the checksum that a segment which begins with the next change
// goes on from. Where the present one begins there too, what it holds confirms
// the batch before it and goes with it: so does the new one by being there.
func (w *wal) joint() uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if newest := w.segments[len(w.segments)-1]; newest.first == w.next {
		return newest.chain
	}
	return w.chain
}

func writeAll(f vfs.Appender, b []byte, offset int64) error {
	n, err := f.WriteAt(b, offset)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// first returns the oldest change held, which is the next one when none is.
func (w *wal) first() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.segments[0].first
}

// read calls each with the changes after a seq, up to and including another,
// which must be durable. It returns *TruncatedError when the first of them are
// no longer held. Safe for concurrent use with commit and prune.
func (w *wal) read(after, upTo uint64, each func(record) error) error {
	return w.readOn(new(place), after, upTo, each)
}

// place is a batch in the log, for reading on from it. The zero place is none.
type place struct {
	generation int    // of its segment
	offset     int64  // in it
	seq        uint64 // of the batch
	chain      uint32 // checksum of the batch before
}

// readOn is read, from a place if it lies before what is wanted, and sets the
// place to the batch it came to.
func (w *wal) readOn(at *place, after, upTo uint64, each func(record) error) error {
	w.mu.Lock()
	segments := slices.Clone(w.segments)
	w.mu.Unlock()
	if after >= upTo {
		return nil
	}
	if segments[0].first > after+1 {
		return &TruncatedError{First: segments[0].first}
	}
	for i, s := range segments {
		limit := upTo
		var next *segment // if reading goes on there
		if i+1 < len(segments) && segments[i+1].first <= upTo {
			next = &segments[i+1]
			limit = next.first - 1
		}
		if limit <= after || s.first > limit {
			continue
		}
		if err := w.readSegment(s, next, at, after, limit, each); err != nil {
			if errors.Is(err, fs.ErrNotExist) { // pruned in the meantime
				return &TruncatedError{First: w.first()}
			}
			return err
		}
		after = limit
	}
	return nil
}

// readSegment reads on in a segment. Every batch must follow the one before it by
// its checksum, and the next segment, if there is one, the last of them.
func (w *wal) readSegment(s segment, next *segment, at *place, after, upTo uint64, each func(record) error) error {
	f, err := w.fs.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if at.generation != s.generation || at.seq > after+1 {
		*at = place{s.generation, segmentHeader, s.first, s.chain}
	}
	end := *at
	for end.seq <= upTo {
		*at = end
		b, err := w.readAt(f, at)
		if err != nil {
			return &CorruptError{Path: s.path, Offset: at.offset, Seq: at.seq, Err: err}
		}
		end = at.behind(b)
		if b.count == 0 || b.last() <= after {
			continue
		}
		err = b.records(func(r record) error {
			if r.seq <= after || r.seq > upTo {
				return nil
			}
			return each(r)
		})
		if errors.Is(err, errRecord) {
			return &CorruptError{Path: s.path, Offset: at.offset, Seq: b.seq, Err: err}
		}
		if err != nil {
			return err
		}
	}
	for next != nil && end.chain != next.chain {
		// It goes on from one that confirms the last batch, or from none of these.
		b, err := w.readAt(f, &end)
		if err != nil || b.count > 0 {
			return &CorruptError{Path: next.path, Seq: next.first, Err: errChain}
		}
		end = end.behind(b)
	}
	return nil
}

// readAt reads the batch at a place, which must be that of the seq and follow
// the one of the checksum.
func (w *wal) readAt(f io.ReaderAt, at *place) (batch, error) {
	b, err := readBatch(f, at.offset, w.logID)
	if err == nil && (b.seq != at.seq || b.prev != at.chain) {
		err = errChain
	}
	return b, err
}

// behind returns the place behind the batch at this one.
func (at place) behind(b batch) place {
	return place{at.generation, at.offset + int64(b.size()), at.seq + uint64(b.count), b.sum}
}

// readBatch reads one batch, without more memory than it has bytes.
func readBatch(r io.ReaderAt, offset int64, logID [8]byte) (batch, error) {
	frame := make([]byte, batchHeader, 4096)
	if _, err := r.ReadAt(frame, offset); err != nil {
		return batch{}, err
	}
	size := batchHeader + int64(binary.LittleEndian.Uint32(frame))
	if size > int64(cap(frame)) {
		// A length that is damaged is found by the end of the file, not by memory.
		var last [1]byte
		if n, err := r.ReadAt(last[:], offset+size-1); n == 0 {
			return batch{}, endOf(err)
		}
		frame = append(make([]byte, 0, size), frame...)
	}
	if n, err := r.ReadAt(frame[batchHeader:size], offset+batchHeader); int64(n) < size-batchHeader {
		return batch{}, endOf(err)
	}
	return decodeBatch(frame[:size], logID)
}

// endOf names the end of the file as what it is within a batch.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}

// prune removes the segments whose changes all lie at or before seq, oldest
// first.
func (w *wal) prune(seq uint64) error {
	w.mu.Lock()
	n := 0
	for n+1 < len(w.segments) && w.segments[n+1].first <= seq+1 {
		n++
	}
	old := slices.Clone(w.segments[:n])
	w.segments = slices.Delete(slices.Clone(w.segments), 0, n)
	w.mu.Unlock()
	for i, s := range old {
		err := w.fs.Remove(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err == nil {
			// In this order on the disk as well: a hole in the log is damage.
			err = w.fs.SyncDir(w.dir)
		}
		if err != nil {
			w.mu.Lock()
			w.segments = append(old[i:], w.segments...)
			w.mu.Unlock()
			return fmt.Errorf("remove an old log segment: %w", err)
		}
	}
	return nil
}

// expired returns the last change of the segments that were begun before a
// time, and whether the newest segment is among them. ok is false when there
// is none.
func (w *wal) expired(before time.Time) (last uint64, newest, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.segments {
		if !s.created.Before(before) {
			break
		}
		ok = true
		if i+1 == len(w.segments) {
			return last, true, true
		}
		last = w.segments[i+1].first - 1
	}
	return last, false, ok
}

// renew begins a new segment, unless the present one is empty.
func (w *wal) renew() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.offset == segmentHeader {
		return nil
	}
	prev := w.joint()
	if err := w.rotate(w.next, prev, carried{}); err != nil {
		return err
	}
	w.chain = prev
	return nil
}

// count returns how many segments there are.
func (w *wal) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.segments)
}

func (w *wal) close() error {
	var err error
	if f, _ := w.prepared(); f != nil {
		err = errors.Join(f.Close(), w.fs.Remove(filepath.Join(w.dir, newSegment)))
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	return err
}

func newLogID() (id [8]byte) {
	rand.Read(id[:])
	return id
}
