package atomicstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

var testLogID = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}

// hostile returns a segment in which a batch could begin at every eight bytes,
// each as long as the rest of the file.
func hostile(size int) []byte {
	data := make([]byte, size)
	for i := 0; i+batchHeader <= size; i += alignment {
		binary.LittleEndian.PutUint32(data[i:], uint32(size-i-batchHeader))
		binary.LittleEndian.PutUint32(data[i+4:], uint32(i)|1)
	}
	copy(data, header{logID: testLogID, first: 1}.encode())
	return data
}

// readCounter counts the bytes read of a file.
type readCounter struct {
	io.ReaderAt
	read int64
}

func (r *readCounter) ReadAt(b []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(b, offset)
	r.read += int64(n)
	return n, err
}

// TestAHostileSegmentTakesNoMoreThanItsSize in memory, and a small multiple of
// it in reading.
func TestAHostileSegmentTakesNoMoreThanItsSize(t *testing.T) {
	const size = 4 << 20
	data := hostile(size)
	for name, look := range map[string]func(*segmentFile) error{
		"validBehind": func(f *segmentFile) error { _, err := f.validBehind(segmentHeader, 1); return err },
		"lastSeq":     func(f *segmentFile) error { _, err := f.lastSeq(); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r := &readCounter{ReaderAt: bytes.NewReader(data)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := look(newSegmentFile(r, size, testLogID)); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > size {
				t.Errorf("%d bytes were allocated for a file of %d", took, size)
			}
			if r.read > 4*size {
				t.Errorf("%d bytes were read of a file of %d", r.read, size)
			}
		})
	}
}

// BenchmarkHostileSegment is linear in the size of the file.
func BenchmarkHostileSegment(b *testing.B) {
	for name, size := range map[string]int{"size=1M": 1 << 20, "size=4M": 4 << 20, "size=16M": 16 << 20} {
		data := hostile(size)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if found, err := newSegmentFile(bytes.NewReader(data), int64(size), testLogID).validBehind(segmentHeader, 1); found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// TestWhatStandsBehindDamageIsFound wherever a batch by batch search finds it.
func TestWhatStandsBehindDamageIsFound(t *testing.T) {
	validBehind := func(rest []byte, seq uint64) bool {
		for offset := alignment; offset+batchHeader <= len(rest); offset += alignment {
			if b, err := decodeBatch(rest[offset:], testLogID); err == nil && b.seq >= seq {
				return true
			}
		}
		return false
	}
	lastIn := func(data []byte) (last uint64) {
		for offset := segmentHeader; offset < len(data); {
			b, err := decodeBatch(data[offset:], testLogID)
			if err != nil {
				offset += alignment
				continue
			}
			if b.count > 0 {
				last = max(last, b.last())
			}
			offset += b.size()
		}
		return last
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 2000 {
		data := header{logID: testLogID, first: 1}.encode()
		seq := uint64(1)
		for range rnd.IntN(12) {
			frame := beginBatch(nil)
			for range rnd.IntN(200) {
				frame = append(frame, byte(rnd.IntN(4)))
			}
			frame, _ = endBatch(frame, testLogID, 0, seq, uint32(rnd.IntN(3)))
			seq += uint64(rnd.IntN(3))
			switch rnd.IntN(4) {
			case 0: // damaged
				frame[rnd.IntN(len(frame))] ^= 1 << rnd.IntN(8)
			case 1: // a length that runs over others, or over the end
				binary.LittleEndian.PutUint32(frame, rnd.Uint32N(3000))
			}
			data = append(data, frame...)
			data = append(data, make([]byte, alignment*rnd.IntN(3))...)
		}
		data = append(data, make([]byte, rnd.IntN(100))...)
		data = data[:len(data)-rnd.IntN(1+min(30, len(data)-segmentHeader))]

		offset := int64(segmentHeader + alignment*rnd.IntN(1+(len(data)-segmentHeader)/alignment))
		from := rnd.Uint64N(seq + 2)
		want := validBehind(data[offset:], from)
		f := newSegmentFile(bytes.NewReader(data), int64(len(data)), testLogID)
		if got, err := f.validBehind(offset, from); got != want || err != nil {
			t.Fatalf("behind %d of %d bytes: %v and %v, want %v", offset, len(data), got, err, want)
		}
		if got, err := f.lastSeq(); got != lastIn(data) || err != nil {
			t.Fatalf("the last change is %d and %v, want %d", got, err, lastIn(data))
		}
		if want {
			found++
		}
	}
	if found < 200 {
		t.Errorf("only %d of 2000 files have anything to find", found)
	}
}

// largest remembers the largest piece in which the log is read and written.
type largest struct {
	*crashfs.Disk
	mu    sync.Mutex
	bytes int
}

func (l *largest) note(path string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(path, walName) {
		l.bytes = max(l.bytes, n)
	}
}

func (l *largest) Read(path string) ([]byte, error) {
	data, err := l.Disk.Read(path)
	l.note(path, len(data))
	return data, err
}

func (l *largest) Open(path string) (vfs.Reader, error) {
	r, err := l.Disk.Open(path)
	return noted{Reader: r, note: func(n int) { l.note(path, n) }}, err
}

func (l *largest) Create(path string) (vfs.Appender, error) {
	a, err := l.Disk.Create(path)
	return noted{Appender: a, note: func(n int) { l.note(path, n) }}, err
}

// noted is either.
type noted struct {
	vfs.Reader
	vfs.Appender
	note func(int)
}

func (n noted) ReadAt(b []byte, offset int64) (int, error) {
	n.note(len(b))
	return n.Reader.ReadAt(b, offset)
}

func (n noted) WriteAt(b []byte, offset int64) (int, error) {
	n.note(len(b))
	return n.Appender.WriteAt(b, offset)
}

func (n noted) Close() error {
	if n.Reader != nil {
		return n.Reader.Close()
	}
	return n.Appender.Close()
}

// TestOpenNeedsNoMemoryOfTheLogsSize, however much of it follows the snapshot.
func TestOpenNeedsNoMemoryOfTheLogsSize(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) { // where no time passes, and so no checkpoint is made
		disk := crashfs.New()
		s := mustOpen(t, dir, &Options{SegmentBytes: 1 << 20, seam: seam{FS: disk}})
		line := strings.Repeat("x", 10_000)
		for range 300 {
			mustWrite(t, s, line)
		}
		crashed := disk.AfterCrash(crashfs.KeepNone)
		mustClose(t, s)

		for range 2 { // the second time, the log is one large segment
			l := &largest{Disk: crashed}
			s := mustOpen(t, dir, &Options{SegmentBytes: 1 << 20, seam: seam{FS: l}})
			if _, at := s.State(); at.Seq != 300 || s.checkpoints.saved() != 0 {
				t.Errorf("the store is at %s, its snapshot at %d", at, s.checkpoints.saved())
			}
			if l.bytes == 0 || l.bytes > windowBytes {
				t.Errorf("the log was read or written in pieces of %d bytes, want at most %d", l.bytes, windowBytes)
			}
			crashed = crashed.AfterCrash(crashfs.KeepNone)
			mustClose(t, s)
		}
	})
}

// TestASegmentThatWasCutAnywhereOpensOrIsDamaged; what pads its last batch is
// nothing that counts.
func TestASegmentThatWasCutAnywhereOpensOrIsDamaged(t *testing.T) {
	golden := goldenLog()
	starts := frames(t, golden)
	dir := t.TempDir()
	for size := range starts[len(starts)-1] + 1 {
		d := crashfs.New()
		d.Put(filepath.Join(dir, walName, segmentName(1, 1)), true, string(golden[:size]))
		s, err := openLedger(dir, &Options{SegmentBytes: 512, seam: seam{FS: d}})
		var damage *CorruptError
		if size < segmentHeader {
			if !errors.As(err, &damage) {
				t.Errorf("cut to %d bytes: got %v", size, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
		mustClose(t, s)
	}
}
