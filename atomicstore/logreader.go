package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// logReader reads a log from its files, while a store may be writing them. It
// goes by the rules of scan, one batch at a time.
//
// Invariant: every batch that it takes follows the one before by seq and by
// checksum, across segments too, so what it gives is one history.
type logReader struct {
	*directory

	epoch string // "" until the log was seen, if any will do
	logID [8]byte
	names []string // of the log folder when segments was read
	found *scanned // nil when the folder must be read
	man   manifest // read before found

	file vfs.Reader // of segment; nil when none is open
	segment
	inode  uint64
	offset int64  // of the next batch
	last   uint64 // the last change read
	sum    uint32 // checksum of the batch that ends with it
	chain  uint32 // checksum of the last batch, which may have confirmed that one
	bottom bool   // the end was looked at down to the last byte

	done    uint64 // the last change given, or asked to begin after
	given   bool   // done was given
	doneSum uint32 // checksum of the batch that ends with done, if it was given
	tries   int    // since a batch was read
}

// errAgain means that a file went away between two looks.
var errAgain = errors.New("the log changes faster than it can be read")

// readAll calls give with every change until that returns false, ctx ends, or
// the log does.
func (r *logReader) readAll(ctx context.Context, o RecordsOptions, give func(Record) bool) error {
	var damage *CorruptError
	poll := time.NewTimer(o.Poll)
	defer poll.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		end, err := r.step(ctx, give)
		var corrupt *CorruptError
		switch {
		case errors.Is(err, errStop):
			return nil
		case errors.As(err, &corrupt):
			// What a store has not finished can look like damage. Damage looks
			// the same twice.
			if damage.same(corrupt) {
				return err
			}
			damage = corrupt
			r.leave()
			r.found = nil
			continue
		case errors.Is(err, errAgain) && r.tries < 20:
			r.tries++
			r.leave()
			r.found = nil
			continue
		case err != nil:
			return err
		case !end:
			continue
		case !o.Follow:
			if r.found != nil && len(r.found.segments) == 0 && r.given {
				return fmt.Errorf("%w: the log of %s was taken away", ErrEpoch, r.epoch)
			}
			return nil
		}
		poll.Reset(o.Poll)
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// same tells whether two damages are one.
func (e *CorruptError) same(o *CorruptError) bool {
	return e != nil && o != nil && e.Path == o.Path && e.Offset == o.Offset && e.Seq == o.Seq
}

// lost is about a change that was read before it was synced, which then failed.
func (r *logReader) lost() error {
	return fmt.Errorf("%w: change %d was read, and is not in the log any more", ErrEpoch, r.done)
}

// step reads one batch, or moves on to where the next one is. end says that
// there is none.
func (r *logReader) step(ctx context.Context, give func(Record) bool) (end bool, err error) {
	if r.found == nil {
		if err := r.list(); err != nil {
			return false, err
		}
	}
	i := r.covering()
	if i < 0 {
		return r.unchanged()
	}
	s := r.found.segments[i]
	if r.file == nil || s.path != r.path {
		if err := r.enter(s); err != nil {
			return false, err
		}
	}
	b, err := readBatch(r.file, r.offset, r.logID)
	if errors.Is(err, io.EOF) {
		err = errEnd // the segment is full to its last byte
	}
	if err == nil && (b.seq != r.last+1 || b.prev != r.chain) {
		err = errChain
	}
	var next *segment
	if i+1 < len(r.found.segments) {
		next = &r.found.segments[i+1]
		if err == nil && b.count > 0 && b.last() >= next.first {
			err = errors.New("the batch runs into the next segment")
		}
	}
	if err == nil {
		r.tries = 0
		return false, r.take(ctx, b, give)
	}
	// In this order: what was written before the folder is read is not missed.
	if same, err := r.unchanged(); !same || err != nil {
		return false, err
	}
	if next != nil {
		return false, r.damaged(err)
	}
	return true, r.ended(err)
}

func (r *logReader) damaged(err error) error {
	return &CorruptError{Path: r.path, Offset: r.offset, Seq: r.last + 1, Err: err}
}

// list reads which segments there are.
func (r *logReader) list() error {
	// MANIFEST comes first: what a snapshot was made after is in the log by then.
	r.man = manifest{}
	if data, err := r.fs.Read(r.data.manifestPath()); err == nil {
		if m, err := decodeManifest(data); err == nil {
			r.man = *m
		}
	} else if !isMissing(err) {
		return err
	}
	names, err := r.fs.Names(r.walDir)
	if err != nil {
		return err
	}
	found, err := listSegments(r.fs, r.walDir, parseSegmentName)
	if isMissing(err) {
		return errAgain
	}
	if err != nil {
		return err
	}
	r.names, r.found = names, found
	if len(found.segments) == 0 {
		return nil
	}
	first := found.segments[0]
	for _, s := range found.segments {
		if s.epoch != first.epoch || s.logID != first.logID {
			return &CorruptError{Path: s.path, Seq: s.first, Err: errors.New("the segment belongs to another log")}
		}
	}
	epoch := first.epoch.String()
	if r.epoch != "" && r.epoch != epoch {
		return fmt.Errorf("%w: %s, the log is of %s", ErrEpoch, Position{r.epoch, r.done}, epoch)
	}
	r.epoch, r.logID = epoch, first.logID
	if first.first > r.done+1 {
		return &TruncatedError{First: first.first}
	}
	return nil
}

// unchanged tells whether the segments are those that were listed, and lets
// them be listed again otherwise.
func (r *logReader) unchanged() (bool, error) {
	names, err := r.fs.Names(r.walDir)
	if err != nil {
		return false, err
	}
	if slices.Equal(names, r.names) {
		if r.file == nil {
			return true, nil
		}
		// Someone may have put another log there, whose names begin anew.
		if id, err := r.fs.Stat(r.path); err == nil && id.Inode == r.inode {
			return true, nil
		}
		r.leave()
	}
	r.found = nil
	return false, nil
}

// covering returns which segment the next change is in: the last one that does
// not begin behind it. Who begins again begins with the change that was given
// last, to see that what comes follows it. It is below 0 when there is none.
func (r *logReader) covering() int {
	next := r.done + 1
	if r.file == nil && r.given {
		next = r.done
	}
	i := len(r.found.segments) - 1
	for i > 0 && r.found.segments[i].first > next {
		i--
	}
	return i
}

// enter goes to the start of a segment.
func (r *logReader) enter(s segment) error {
	if r.file != nil && s.first == r.last+1 {
		// It goes on from the last change, or from what confirmed that.
		r.confirmed()
		if s.chain != r.sum && s.chain != r.chain {
			return &CorruptError{Path: s.path, Seq: s.first, Err: errChain}
		}
	}
	r.leave()
	id, err := r.fs.Stat(s.path)
	if err == nil {
		r.file, err = r.fs.Open(s.path)
	}
	if isMissing(err) {
		return errAgain
	}
	if err != nil {
		return err
	}
	r.segment, r.inode, r.offset, r.bottom = s, id.Inode, segmentHeader, false
	r.last, r.sum, r.chain = s.first-1, s.chain, s.chain
	return nil
}

// confirmed reads the batches without changes that the open segment ends with.
func (r *logReader) confirmed() {
	for {
		b, err := readBatch(r.file, r.offset, r.logID)
		if err != nil || b.count > 0 || b.prev != r.chain {
			return // whatever it is, the next segment has superseded it
		}
		r.chain = b.sum
		r.offset += int64(b.size())
	}
}

func (r *logReader) leave() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// take gives the changes of a batch that were not given yet.
func (r *logReader) take(ctx context.Context, b batch, give func(Record) bool) error {
	if b.count > 0 && r.given && b.seq <= r.done && (b.last() > r.done || b.last() == r.done && b.sum != r.doneSum) {
		return r.lost()
	}
	err := b.records(func(rec record) error {
		if rec.seq <= r.done {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !give(rec.logged(r.epoch)) {
			return errStop
		}
		r.done, r.given = rec.seq, true
		return nil
	})
	if errors.Is(err, errRecord) {
		return r.damaged(err)
	}
	if err != nil {
		return err
	}
	if b.count > 0 {
		r.last, r.sum = b.last(), b.sum
		if r.last == r.done {
			r.doneSum = b.sum
		}
	}
	r.chain = b.sum
	r.offset += int64(b.size())
	return nil
}

// ended tells whether the log may end here, where no batch can be read. To
// look for more behind it costs reading the segment, so that is done once for
// an end that is plain, and always for one that is not.
func (r *logReader) ended(err error) error {
	if !r.bottom || !errors.Is(err, errEnd) {
		id, lookErr := r.fs.Stat(r.path)
		if isMissing(lookErr) {
			return errAgain
		}
		if lookErr != nil {
			return lookErr
		}
		valid, lookErr := newSegmentFile(r.file, id.Size, r.logID).validBehind(r.offset, r.last+1)
		if lookErr != nil {
			return lookErr
		}
		if valid {
			return r.damaged(fmt.Errorf("%w, and valid ones follow it", err))
		}
		r.bottom = true
	}
	if reach := r.man.reach(); r.last < reach {
		r.found.last = r.last
		return r.found.tooShort(reach)
	}
	if err := r.man.lacks(r.found, r.last, r.walDir); err != nil {
		return err
	}
	if r.last < r.done {
		if r.given {
			return r.lost()
		}
		return fmt.Errorf("%w: %s is ahead of the log, which ends with change %d", ErrAhead, Position{r.epoch, r.done}, r.last)
	}
	return nil
}
