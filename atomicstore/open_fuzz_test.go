package atomicstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// What a fuzzer would need for ever to find is put right for it, so that it
// gets behind the checksums.
const (
	rightHeaders   = 1 << iota // of the segments: magic, checksum, and the name
	rightSums                  // of the batches
	rightChain                 // seq, and the checksum of the batch before
	rightManifest              // names data.json, if it cannot be read
	withoutData                // no data.json
	sameEpoch                  // the second segment has the epoch and log id of the first
	rightSnapshots             // epoch and chain are those of the log
)

// putRight changes bytes of a segment as how says.
func putRight(data []byte, how int) []byte {
	data = slices.Clone(data)
	if len(data) < segmentHeader {
		return data
	}
	if how&rightHeaders != 0 {
		copy(data, segmentMagic)
		binary.LittleEndian.PutUint32(data[60:], crc32.Checksum(data[:60], castagnoli))
	}
	if how&rightSums == 0 {
		return data
	}
	h := header{first: binary.LittleEndian.Uint64(data[24:]), chain: binary.LittleEndian.Uint32(data[32:])}
	copy(h.logID[:], data[16:])
	for rest := data[segmentHeader:]; len(rest) >= batchHeader; {
		length := binary.LittleEndian.Uint32(rest)
		if length == 0 && binary.LittleEndian.Uint32(rest[4:]) == 0 || int64(length) > int64(len(rest)-batchHeader) {
			break
		}
		if how&rightChain != 0 {
			binary.LittleEndian.PutUint64(rest[8:], h.first)
			binary.LittleEndian.PutUint32(rest[16:], h.chain)
		}
		h.chain = checksum(rest[:batchHeader+int(length)], h.logID)
		binary.LittleEndian.PutUint32(rest[4:], h.chain)
		h.first += uint64(binary.LittleEndian.Uint32(rest[20:]))
		rest = rest[min(len(rest), frameSize(int(length))):]
	}
	return data
}

// fuzzedStore is a store's directory made of bytes from a fuzzer.
func fuzzedStore(dir string, first, second, data, man, backup []byte, how int) (disk *crashfs.Disk, size int) {
	d := crashfs.New()
	put := func(path string, content []byte) {
		d.Put(path, true, string(content))
		size += len(content)
	}
	if how&sameEpoch != 0 && len(first) >= segmentHeader && len(second) >= segmentHeader {
		second = slices.Clone(second)
		copy(second[8:24], first[8:24])
	}
	for i, segment := range [][]byte{first, second} {
		if len(segment) == 0 {
			continue
		}
		seq := uint64(1)
		if segment = putRight(segment, how); len(segment) >= segmentHeader {
			seq = binary.LittleEndian.Uint64(segment[24:])
		}
		put(filepath.Join(dir, walName, segmentName(i+1, seq)), segment)
	}
	if how&rightSnapshots != 0 && len(first) >= segmentHeader {
		for _, content := range []*[]byte{&data, &backup} {
			snap, _, err := decodeSnapshot(*content)
			if err != nil {
				continue
			}
			snap.Epoch = fmt.Sprintf("%x", first[8:16])
			var again bytes.Buffer
			if err := snap.writeWhole(&again); err == nil {
				*content = again.Bytes()
			}
		}
	}
	if how&withoutData == 0 {
		put(filepath.Join(dir, snapshotName), data)
	}
	if _, err := decodeManifest(man); err != nil && how&rightManifest != 0 {
		m := manifest{present: []owned{{sum: sha256.Sum256(data), size: int64(len(data)), mtime: d.Clock}}}
		if snap, _, err := decodeSnapshot(data); err == nil {
			m.seq, m.present[0].seq = snap.Seq, snap.Seq
		}
		man = m.encode()
	}
	if len(man) > 0 {
		put(filepath.Join(dir, manifestName), man)
	}
	if snap, _, err := decodeSnapshot(backup); err == nil {
		put(fmt.Sprintf("%s/backup-%d-20261124T180000.000Z.json", backupsDir, snap.Seq), backup)
	}
	return d, size
}

// allocated returns how many bytes f allocates, those it gives back included.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// frugal reports what allocates more than some bytes for each that it reads.
func frugal(t *testing.T, allocated, size, each int) {
	t.Helper()
	if limit := each*size + 1<<20; allocated > limit {
		t.Errorf("%d bytes were allocated for files of %d, want %d at most", allocated, size, limit)
	}
}

// applyAny is applyEntry for events that nobody has checked.
func applyAny(l *ledger, e entry) error {
	if e.Cleared != nil {
		l.Lines = nil
	} else {
		l.Lines = append(l.Lines, e.Added.Line)
	}
	return nil
}

// FuzzOpen opens a directory of any contents: a store or a reason comes of it,
// the same when the same directory is opened once more, and no more memory is
// taken than the files are large, some times over.
func FuzzOpen(f *testing.F) {
	golden := goldenLog()
	files := goldenFiles(f)
	old, err := os.ReadFile("testdata/v1/data.json")
	if err != nil {
		f.Fatal(err)
	}
	later := slices.Clone(golden) // a second segment, from change 3 on
	binary.LittleEndian.PutUint64(later[24:], 3)
	later = append(later[:segmentHeader], make([]byte, 512)...)
	for _, how := range []int{0, rightManifest, rightHeaders | rightSums | rightChain | sameEpoch, withoutData | rightSnapshots, rightHeaders | rightSums | rightManifest | rightSnapshots} {
		f.Add(golden, []byte(nil), files[goldenSnapshot], files[goldenManifest], []byte(nil), how)
		f.Add(golden, later, old, []byte(nil), files[goldenSnapshot], how)
		f.Add(golden[:300], []byte(nil), files[goldenSnapshot], []byte(nil), files[goldenSnapshot], how)
		f.Add([]byte(nil), []byte(nil), files[goldenRestore], []byte(nil), []byte(nil), how)
		f.Add([]byte(nil), golden, []byte(`{"lines":["his"]}`), files[goldenManifest], files[goldenRestore], how)
	}
	// What promises more than there is, or cannot be, behind checksums that match.
	for _, lie := range []struct {
		offset int
		bytes  string
	}{
		{64, "\xf0\xff\xff\xff"},          // length of a batch
		{84, "\xff\xff\xff\xff"},          // changes in it
		{112, "\xff\xff\xff\x7f"},         // bytes of a request id
		{118, "\x80\x80\x80\x80\x01"},     // events of a change
		{119, "\xff\xff\xff\xff\xff\x7f"}, // bytes of an event
		{120, "no JSON"},
		{24, "\x00"}, // the first change
		{24, "\xf0\xff\xff\xff\xff\xff\xff\xff"},
	} {
		segment := slices.Clone(golden)
		copy(segment[lie.offset:], lie.bytes)
		f.Add(segment, []byte(nil), files[goldenSnapshot], []byte(nil), []byte(nil), rightHeaders|rightSums|rightChain)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, first, second, data, man, backup []byte, how int) {
		open := func(d *crashfs.Disk) (*ledgerStore, error) {
			return Open(dir, &ledger{}, applyAny, &Options{SegmentBytes: 512, BackupDir: backupsDir, seam: seam{FS: d}})
		}
		d, size := fuzzedStore(dir, first, second, data, man, backup, how)
		twin := d.AfterCrash(crashfs.KeepAll)
		var s *ledgerStore
		var err error
		// It is all read a few times, and JSON makes a string of 16 bytes of three.
		frugal(t, allocated(func() { s, err = open(d) }), size, 100)
		var want []string
		var at Position
		var cut *crashfs.Disk
		if err == nil {
			l, where := s.State()
			want, at, cut = slices.Clone(l.Lines), where, d.AfterCrash(crashfs.KeepNone)
			mustClose(t, s)
		}
		again, errAgain := open(twin)
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("opened it gives %v, its twin %v", err, errAgain)
		}
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) && !errors.Is(err, ErrUnknownKind) && !errors.Is(err, errSnapshotFormat) && !errors.Is(err, errOtherProgram) {
				t.Errorf("%T is no error that a caller could know: %v", errors.Unwrap(err), err)
			}
			return
		}
		if l, other := again.State(); !slices.Equal(l.Lines, want) || other.Seq != at.Seq {
			t.Errorf("opened it has %q at %s, its twin %q at %s", want, at, l.Lines, other)
		}
		mustClose(t, again)
		for what, d := range map[string]*crashfs.Disk{"a power cut": cut, "closing": d} {
			s, err := open(d)
			if err != nil {
				t.Fatalf("after %s: %v", what, err)
			}
			if l, other := s.State(); !slices.Equal(l.Lines, want) || other != at {
				t.Errorf("after %s there is %q at %s, want %q at %s", what, l.Lines, other, want, at)
			}
			mustClose(t, s)
		}
	})
}
