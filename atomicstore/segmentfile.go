package atomicstore

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// segmentFile reads the batches of a segment through a window, so that a file
// needs the memory of its largest batch, and one whose lengths are damaged
// never more than it has bytes.
type segmentFile struct {
	window
	logID [8]byte

	// For what stands behind damage.
	head [batchHeader]byte // that match has read
	ends window            // where batches end
	sums prefixSums        // nil until something is looked for
}

const (
	windowBytes = 256 << 10 // read at once, if no batch needs more
	endsBytes   = 4 << 10   // read at once where batches may end
)

func newSegmentFile(r io.ReaderAt, size int64, logID [8]byte) *segmentFile {
	return &segmentFile{window: window{r: r, size: size, least: windowBytes}, ends: window{r: r, size: size, least: endsBytes}, logID: logID}
}

// openSegment opens a segment for reading. The caller closes it.
func openSegment(fs vfs.FS, path string, logID [8]byte) (*segmentFile, io.Closer, error) {
	id, err := fs.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := fs.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return newSegmentFile(f, id.Size, logID), f, nil
}

// window is a part of a file in memory.
type window struct {
	r     io.ReaderAt
	size  int64 // bytes of the file; corrected once it has turned out to be shorter
	least int   // bytes that are read at once
	buf   []byte
	start int64 // of buf in the file
}

// at returns n bytes from an offset on, or those up to the end of the file.
// They are valid until the next call.
func (w *window) at(offset int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(0, w.size-offset)))
	if n == 0 { // also behind the end, where a file was cut within what pads a batch
		return nil, nil
	}
	if from := offset - w.start; from >= 0 && from+int64(n) <= int64(len(w.buf)) {
		return w.buf[from : from+int64(n)], nil
	}
	want := int(min(int64(max(n, w.least)), w.size-offset))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	got, err := w.r.ReadAt(w.buf[:want], offset)
	w.buf, w.start = w.buf[:got], offset
	if got < want {
		if !errors.Is(err, io.EOF) {
			w.buf = w.buf[:0]
			return nil, err
		}
		w.size = offset + int64(got) // it was cut since
	}
	return w.buf[:min(n, got)], nil
}

// batch reads the batch at an offset, as decodeBatch does. What it returns is
// valid until the next call. An error of the disk comes as unread.
func (f *segmentFile) batch(offset int64) (b batch, err, unread error) {
	data, unread := f.at(offset, batchHeader)
	if unread != nil {
		return b, nil, unread
	}
	if len(data) == batchHeader {
		length := binary.LittleEndian.Uint32(data)
		if int64(length) > f.size-offset-batchHeader {
			return b, errShort, nil
		}
		if data, unread = f.at(offset, batchHeader+int(length)); unread != nil {
			return b, nil, unread
		}
	}
	b, err = decodeBatch(data, f.logID)
	return b, err, nil
}

// zeroFrom tells whether there is nothing but zeros from an offset on.
func (f *segmentFile) zeroFrom(offset int64) (bool, error) {
	for offset < f.size {
		b, err := f.at(offset, windowBytes)
		if err != nil || !allZero(b) {
			return false, err
		}
		offset += int64(len(b))
	}
	return true, nil
}

// validBehind tells whether a batch that belongs to this log, of a change from
// seq on, stands anywhere behind the bad one at an offset. Every boundary is
// tried, because the length of the bad one cannot be trusted.
func (f *segmentFile) validBehind(offset int64, seq uint64) (bool, error) {
	for offset += alignment; offset+batchHeader <= f.size; offset += alignment {
		size, err := f.match(offset)
		if err != nil {
			return false, err
		}
		if size > 0 && f.headSeq() >= seq {
			return true, nil
		}
	}
	return false, nil
}

// lastSeq returns the last change that can be read, whatever is damaged.
func (f *segmentFile) lastSeq() (last uint64, err error) {
	for offset := int64(segmentHeader); offset+batchHeader <= f.size; {
		size, err := f.match(offset)
		if err != nil {
			return last, err
		}
		if n := f.headCount(); size > 0 && n > 0 {
			last = max(last, f.headSeq()+n-1)
		}
		offset += max(size, alignment)
	}
	return last, nil
}

func (f *segmentFile) headSeq() uint64   { return binary.LittleEndian.Uint64(f.head[8:]) }
func (f *segmentFile) headCount() uint64 { return uint64(binary.LittleEndian.Uint32(f.head[20:])) }

// match reads a header into head and tells, by the checksum, whether a batch of
// this log begins there: it returns the size of that, or 0. It takes the same
// time whatever length the header claims. With every eight bytes claiming the
// rest of the file, to read all that would take the square of its size.
func (f *segmentFile) match(offset int64) (size int64, err error) {
	data, err := f.at(offset, batchHeader)
	if err != nil {
		return 0, err
	}
	clear(f.head[copy(f.head[:], data):])
	length, sum := binary.LittleEndian.Uint32(f.head[:]), binary.LittleEndian.Uint32(f.head[4:])
	if length == 0 && sum == 0 || int64(length) > f.size-offset-batchHeader {
		return 0, nil
	}
	if f.sums == nil {
		if f.sums, err = sumPrefixes(f.r, f.size); err != nil {
			return 0, err
		}
	}
	from, to := offset+8, offset+batchHeader+int64(length)
	before, err := f.sums.upTo(&f.window, from)
	if err != nil {
		return 0, err
	}
	whole, err := f.sums.upTo(&f.ends, to)
	if err != nil {
		return 0, err
	}
	// The checksum of a part is that up to its end, less that up to its start
	// as if zeros had followed; and one that goes on is the sum of the two.
	if shiftSum(beginChecksum(f.head[:], f.logID[:])^before, to-from)^whole != sum {
		return 0, nil
	}
	return (batchHeader + int64(length) + alignment - 1) / alignment * alignment, nil
}
