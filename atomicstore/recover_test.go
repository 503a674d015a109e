package atomicstore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// crashed returns a directory whose store was never closed: what it wrote is
// in the log alone. The lines are one batch each.
func crashed(t *testing.T, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir, &Options{SegmentBytes: 4096})
	mustWrite(t, s, lines...)
	copied := t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, walName), os.DirFS(filepath.Join(dir, walName))); err != nil {
		t.Fatal(err)
	}
	snapshot, err := os.ReadFile(filepath.Join(dir, snapshotName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, snapshotName), snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return copied
}

// segmentOf returns the only segment of a directory and its bytes.
func segmentOf(t *testing.T, dir string) (path string, data []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, walName, "*"+segmentSuffix))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments %v, %v", names, err)
	}
	data, err = os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return names[0], data
}

// frames returns where the batches of a segment begin, and their end.
func frames(t *testing.T, data []byte) []int {
	t.Helper()
	h, err := decodeHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	starts := []int{segmentHeader}
	for {
		b, err := decodeBatch(data[starts[len(starts)-1]:], h.logID)
		if err != nil {
			return starts
		}
		starts = append(starts, starts[len(starts)-1]+b.size())
	}
}

// TestEveryDamagedByte flips every byte of a log of three batches. In the last
// batch that cannot be told from a write that was cut off, so it is dropped;
// everywhere else something acknowledged is damaged, and Open says where.
func TestEveryDamagedByte(t *testing.T) {
	dir := crashed(t, "one", "two", "three")
	path, good := segmentOf(t, dir)
	starts := frames(t, good)
	if len(starts) != 4 {
		t.Fatalf("the log has batches at %v", starts)
	}
	snapshot, err := os.ReadFile(filepath.Join(dir, snapshotName))
	if err != nil {
		t.Fatal(err)
	}
	for i := range starts[3] {
		for _, name := range []string{filepath.Join(dir, walName), filepath.Join(dir, lockName), filepath.Join(dir, manifestName)} {
			os.RemoveAll(name)
		}
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		if err := os.Mkdir(filepath.Join(dir, walName), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{path: bad, filepath.Join(dir, snapshotName): snapshot} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := openLedger(dir, nil)
		if inLast := i >= starts[2]; inLast {
			padding := i >= starts[2]+batchHeader+int(good[starts[2]])
			switch {
			case err != nil:
				t.Errorf("byte %d of the last batch: %v", i-starts[2], err)
			case padding:
				wantLines(t, s, "one", "two", "three")
			default:
				wantLines(t, s, "one", "two")
			}
		} else if inPadding(good, starts, i) {
			if err != nil {
				t.Errorf("byte %d, which only fills up: %v", i, err)
			}
		} else {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Path != path {
				t.Fatalf("byte %d: got %v, want *CorruptError", i, err)
			}
			if i >= segmentHeader {
				n, found := slices.BinarySearch(starts, i)
				if !found {
					n--
				}
				if corrupt.Offset != int64(starts[n]) || corrupt.Seq != uint64(n+1) {
					t.Errorf("byte %d: %v, want offset %d and change %d", i, corrupt, starts[n], n+1)
				}
			}
		}
		if err == nil {
			mustClose(t, s)
		}
		if t.Failed() {
			return
		}
	}
}

// inPadding tells whether a byte only fills its batch up to the alignment.
func inPadding(data []byte, starts []int, i int) bool {
	for n := range len(starts) - 1 {
		end := starts[n] + batchHeader + int(data[starts[n]]) + int(data[starts[n]+1])<<8
		if i >= end && i < starts[n+1] {
			return true
		}
	}
	return false
}

func TestAnIdleSecondConfirmsTheLastBatch(t *testing.T) {
	dir := t.TempDir()
	d := crashfs.New()
	var path string
	inBubble(t, func(t *testing.T) {
		s := mustOpen(t, dir, &Options{seam: seam{FS: d}})
		defer mustClose(t, s)
		mustWrite(t, s, "one")
		waitIdle()
		path = s.wal.segments[len(s.wal.segments)-1].path
		data, err := d.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(frames(t, data)); n != 3 {
			t.Errorf("the log has %d batches after a second, want the change and the one that confirms it", n-1)
		}
	})
}

func TestASnapshotThatDoesNotParseIsSetAsideForAnOlderOne(t *testing.T) {
	dir := t.TempDir()
	data, backups := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	o := &Options{BackupDir: backups}
	s := mustOpen(t, data, o)
	mustWrite(t, s, "one")
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, "two")
	mustClose(t, s)
	if err := os.WriteFile(filepath.Join(data, snapshotName), []byte("{\"format\": 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, data, o)
	wantLines(t, s, "one", "two")
	mustWrite(t, s, "three")
	mustClose(t, s)
	aside, err := filepath.Glob(filepath.Join(backups, "set-aside-*-data.json"))
	if err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	s = mustOpen(t, data, o)
	defer mustClose(t, s)
	wantLines(t, s, "one", "two", "three")
}

func TestAMissingLogBeginsANewEpoch(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	before := mustWrite(t, s, "one", "two")
	mustClose(t, s)
	if err := os.RemoveAll(filepath.Join(dir, walName)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, nil)
	defer mustClose(t, s)
	wantLines(t, s, "one", "two")
	after := mustWrite(t, s, "three")
	if after.Epoch == before.Epoch || after.Seq != before.Seq+1 {
		t.Errorf("after %s came %s, want another epoch that counts on", before, after)
	}
	for _, err := range s.Changes(t.Context(), before) {
		if !errors.Is(err, ErrEpoch) {
			t.Errorf("following from the old epoch gives %v, want ErrEpoch", err)
		}
	}
}

// TestAMissingLogIsDamageUnlessTheStoreWasClosed: what came after data.json may
// have been in it.
func TestAMissingLogIsDamageUnlessTheStoreWasClosed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	mustWrite(t, s, "one")
	mustClose(t, s)
	s = mustOpen(t, dir, nil) // from then on it is not closed
	copied := func(remove ...string) string {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		for _, name := range remove {
			if err := os.RemoveAll(filepath.Join(copied, name)); err != nil {
				t.Fatal(err)
			}
		}
		return copied
	}
	s.checkpoints.stop()
	mustWrite(t, s, "two")
	crashed := copied(walName)
	var corrupt *CorruptError
	for range 2 { // the refusal changes nothing
		_, err := openLedger(crashed, nil)
		if !errors.As(err, &corrupt) || corrupt.Path != filepath.Join(crashed, walName) || corrupt.Seq != 2 || !strings.Contains(err.Error(), "put the folder back, or remove MANIFEST") {
			t.Fatalf("got %v, want *CorruptError of the log at change 2", err)
		}
	}
	os.Remove(filepath.Join(crashed, walName))
	if _, err := Verify(t.Context(), crashed, nil); !errors.As(err, &corrupt) || corrupt.Seq != 2 {
		t.Errorf("Verify gives %v", err)
	}
	if err := os.CopyFS(filepath.Join(crashed, walName), os.DirFS(filepath.Join(dir, walName))); err != nil { // put back
		t.Fatal(err)
	}
	again := mustOpen(t, crashed, nil)
	wantLines(t, again, "one", "two")
	mustClose(t, again)

	alone := mustOpen(t, copied(walName, manifestName), nil)
	wantLines(t, alone, "one")
	mustClose(t, alone)

	mustClose(t, s)
	closed := copied(walName)
	if _, err := Verify(t.Context(), closed, nil); err != nil {
		t.Errorf("Verify of one that was closed: %v", err)
	}
	again = mustOpen(t, closed, nil)
	wantLines(t, again, "one", "two")
	mustClose(t, again)
}

func TestALogThatEndsBeforeTheSnapshotIsDamage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	mustWrite(t, s, "one")
	early := t.TempDir()
	if err := os.CopyFS(early, os.DirFS(filepath.Join(dir, walName))); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, "two")
	mustClose(t, s)
	if err := os.RemoveAll(filepath.Join(dir, walName)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, walName), os.DirFS(early)); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := openLedger(dir, nil); !errors.As(err, &corrupt) || corrupt.Seq != 2 {
		t.Errorf("got %v, want *CorruptError at change 2", err)
	}
}

// TestALogThatLostItsEndIsDamageForAnOlderSnapshotToo: a data.json was made
// after the change that is missing.
func TestALogThatLostItsEndIsDamageForAnOlderSnapshotToo(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	mustWrite(t, s, "two", "three")
	mustClose(t, s)
	path, data := segmentOf(t, p.data)
	starts := frames(t, data)
	clear(data[starts[2]:])
	for name, content := range map[string][]byte{path: data, p.file(): nil} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var corrupt *CorruptError
	if _, err := openLedger(p.data, p.options()); !errors.As(err, &corrupt) || corrupt.Seq != 3 {
		t.Errorf("got %v, want *CorruptError at change 3", err)
	}
}

// newer has a kind that entry does not know, and a field inside one it does.
type newer struct {
	Added   *newerAdded `json:"added,omitempty"`
	Painted *added      `json:"painted,omitempty"`
}

type newerAdded struct {
	Line  string `json:"line"`
	Color string `json:"color"`
}

func applyNewer(l *ledger, e newer) error {
	if e.Added != nil {
		l.Lines = append(l.Lines, e.Added.Line)
	}
	return nil
}

func TestAnOlderProgramStopsAtAKindItDoesNotKnow(t *testing.T) {
	for name, test := range map[string]struct {
		event newer
		want  error
	}{
		"unknown field": {newer{Added: &newerAdded{"one", "red"}}, nil},
		"unknown kind":  {newer{Painted: &added{"one"}}, ErrUnknownKind},
	} {
		dir, d := t.TempDir(), crashfs.New()
		s, err := Open(dir, &ledger{}, applyNewer, &Options{seam: seam{FS: d}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), func(*ledger) ([]newer, error) { return []newer{test.event}, nil }); err != nil {
			t.Fatal(err)
		}
		cut := d.AfterCrash(crashfs.KeepNone) // before Close writes a snapshot
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		old, err := openLedger(dir, &Options{seam: seam{FS: cut}})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if err == nil {
			wantLines(t, old, "one")
			mustClose(t, old)
		}
	}
}

// TestAConfirmedLogIsReplayedAndSaved: a snapshot names the batch of its last
// change, not the empty one that confirms it, or the next open takes it for
// one of another log.
func TestAConfirmedLogIsReplayedAndSaved(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		o := &Options{SegmentBytes: 4096, BackupDir: backupsDir, seam: seam{FS: d}}
		s := mustOpen(t, dir, o)
		s.checkpoints.stop() // the snapshot comes too late
		mustWrite(t, s, "one", "two")
		waitIdle()
		cut := d.AfterCrash(crashfs.KeepNone)
		mustClose(t, s)

		o.FS = cut
		for range 3 {
			s = mustOpen(t, dir, o)
			wantLines(t, s, "one", "two")
			waitIdle()
			checkpoint(t, s)
			mustClose(t, s)
		}
		if _, err := Verify(t.Context(), dir, toVerify(o)); err != nil {
			t.Error(err)
		}
	})
}

func TestAnEditorsFilesStay(t *testing.T) {
	dir := t.TempDir()
	files := map[string]bool{
		".data.json.swp": true, ".data.json~": true, ".backup": true, ".MANIFEST.swp": true,
		".data.json.0123456789abcdef": false, ".data.json.0123456789abcdef.outx": false, ".MANIFEST42": false,
	}
	for name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, mustOpen(t, dir, nil))
	for name, stays := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", name, err, stays)
		}
	}
}

func FuzzRecover(f *testing.F) {
	dir := f.TempDir()
	s, err := openLedger(dir, &Options{SegmentBytes: 1024})
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range []string{"one", "two", "three"} {
		if _, err := write(s, line); err != nil {
			f.Fatal(err)
		}
	}
	data, err := os.ReadFile(s.wal.segments[0].path)
	if err != nil {
		f.Fatal(err)
	}
	name := filepath.Base(s.wal.segments[0].path)
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:200])
	f.Add(data[:segmentHeader])
	f.Fuzz(func(t *testing.T, data []byte) {
		d := crashfs.New()
		d.Entries["/log/"+name] = &crashfs.File{Data: data, Synced: data}
		var found *scanned
		var err error
		frugal(t, allocated(func() { found, err = scan(d, "/log", 0, 0) }), len(data), 20)
		if err != nil || len(found.segments) == 0 {
			return
		}
		// What the scan accepts, reading accepts too, change by change.
		w := &wal{fs: d, dir: "/log", logID: found.logID, segments: found.segments}
		expect := found.segments[0].first
		err = w.read(expect-1, found.last, func(r record) error {
			if r.seq != expect {
				t.Fatalf("change %d in place of %d", r.seq, expect)
			}
			expect++
			return nil
		})
		var corrupt *CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			t.Fatal(err)
		}
	})
}
