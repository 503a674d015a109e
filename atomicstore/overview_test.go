package atomicstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

func TestLookSeesWhatVerifyDoesWithoutReadingAll(t *testing.T) {
	p := newHome(t)
	o := &Options{BackupDir: p.backups, SegmentBytes: 1024}
	s := mustOpen(t, p.data, o)
	mustWrite(t, s, numbered("line ", 20)...)
	checkpoint(t, s)
	at := mustWrite(t, s, numbered("more ", 20)...)
	var last Change[entry]
	for c, err := range s.Changes(t.Context(), Position{at.Epoch, at.Seq - 1}) {
		if err != nil {
			t.Fatal(err)
		}
		last = c
		break
	}
	for _, open := range []bool{true, false} {
		if !open {
			mustClose(t, s)
		}
		before := fingerprint(t, filepath.Dir(p.data))
		v, err := Look(t.Context(), p.data, o)
		if err != nil {
			t.Fatal(err)
		}
		if !open && fingerprint(t, filepath.Dir(p.data)) != before {
			t.Error("Look has changed something")
		}
		r, err := Verify(t.Context(), p.data, toVerify(o))
		if err != nil {
			t.Fatal(err)
		}
		if v.Epoch != at.Epoch || v.First != r.First || v.Last != 40 || !v.LastTime.Equal(last.Time) || v.Snapshot.Whose != "store" || v.Undoable != 1 || len(v.Segments) < 3 {
			t.Errorf("open %v: got %+v", open, v)
		}
		changes := uint64(0)
		for _, s := range v.Segments {
			changes += s.Changes
		}
		if changes != r.Changes {
			t.Errorf("open %v: the segments have %d changes, Verify found %d", open, changes, r.Changes)
		}
		used, err := InUse(p.data)
		if err != nil || used != open {
			t.Errorf("in use: got %v, %v, want %v", used, err, open)
		}
	}
	// What Look says can be undone, RestoreBefore undoes.
	v, err := Look(t.Context(), p.data, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := RestoreBefore(t.Context(), p.data, v.Undoable, o); err != nil {
		t.Error(err)
	}
}

func TestLookSaysWhatIsDamagedWhereItLooks(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two", "three")
	mustClose(t, s)
	path, data := segmentOf(t, p.data)
	data[frames(t, data)[1]+batchHeader] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := Look(t.Context(), p.data, p.options())
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Path != path || v.Last != 1 || len(v.Backups) != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
	if _, err := Look(t.Context(), filepath.Join(p.data, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no store: got %v", err)
	}
}

// TestLookingAtTheLockKeepsNobodyFromOpening looks all the time while a store
// is opened again and again.
func TestLookingAtTheLockKeepsNobodyFromOpening(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := InUse(dir); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 8 {
		s, err := openLedger(dir, nil)
		if err != nil {
			t.Error(err)
			break
		}
		if used, err := InUse(dir); err != nil || !used {
			t.Errorf("an open store: in use %v, %v", used, err)
		}
		if _, err := openLedger(dir, nil); !errors.Is(err, ErrLocked) {
			t.Errorf("a second store: got %v", err)
		}
		mustClose(t, s)
	}
	close(stop)
	wg.Wait()
	if used, err := InUse(t.TempDir()); err != nil || used {
		t.Errorf("no store: in use %v, %v", used, err)
	}
}

func TestReadSnapshotNeedsNoTypes(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	checkpoint(t, s)
	at := mustWrite(t, s, "two", "three")
	mustClose(t, s)
	snap, err := ReadSnapshot(p.file())
	if err != nil || snap.Position != at || string(snap.State) != `{"lines":["one","two","three"]}` || snap.SavedAt.IsZero() || len(snap.Changes) != 0 {
		t.Errorf("got %+v, %v", snap, err)
	}
	if err := RestoreBefore(t.Context(), p.data, 3, p.options()); err != nil {
		t.Fatal(err)
	}
	snap, err = ReadSnapshot(p.file())
	if err != nil || snap.Seq+uint64(len(snap.Changes)) != 2 {
		t.Fatalf("what RestoreBefore wrote: got %+v, %v", snap, err)
	}
	for _, r := range snap.Changes {
		for logged, err := range Records(t.Context(), p.data, Position{Seq: r.Seq - 1}, nil) {
			if err != nil || logged.Position != r.Position || logged.ID != r.ID || !logged.Time.Equal(r.Time) || string(logged.Events[0]) != string(r.Events[0]) {
				t.Errorf("the log has %+v, the snapshot %+v, %v", logged, r, err)
			}
			break
		}
	}
	data, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte(`"lines"`))+3] ^= 1
	var corrupt *CorruptError
	for _, content := range []string{`{"lines":[]}`, "no JSON", string(data)} {
		p.put(t, content)
		if _, err := ReadSnapshot(p.file()); !errors.As(err, &corrupt) || corrupt.Path != p.file() {
			t.Errorf("%.20q: got %v", content, err)
		}
	}
	if _, err := ReadSnapshot(filepath.Join(p.data, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no file: got %v", err)
	}
}

func TestLookFindsWhatCanBeUndoneOfBeforeARestore(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two", "three")
	mustClose(t, s)
	want := func(oldest, latest uint64) {
		t.Helper()
		v, err := Look(t.Context(), p.data, p.options())
		if err != nil || v.Undoable != oldest || v.UndoableTo != latest {
			t.Errorf("got %d to %d, %v, want %d to %d", v.Undoable, v.UndoableTo, err, oldest, latest)
		}
	}
	want(1, 3)
	if err := RestoreBefore(t.Context(), p.data, 2, p.options()); err != nil {
		t.Fatal(err)
	}
	want(1, 3)
	mustClose(t, p.open(t))
	want(1, 3) // though the log is empty
	if err := RestoreBefore(t.Context(), p.data, 3, p.options()); err != nil {
		t.Fatal(err)
	}
	s = p.open(t)
	wantLines(t, s, "one", "two")
	mustWrite(t, s, "four")
	mustClose(t, s)
	want(4, 4)
}

// justAfter calls a function once, when a file of a name was read.
type justAfter struct {
	vfs.Disk
	name string
	once *sync.Once
	f    func()
}

func (d justAfter) Read(path string) ([]byte, error) {
	data, err := d.Disk.Read(path)
	if filepath.Base(path) == d.name {
		d.once.Do(d.f)
	}
	return data, err
}

// TestADataFileThatIsReplacedMeanwhileIsNobodyElses: the store may write it
// between a look at MANIFEST and one at data.json.
func TestADataFileThatIsReplacedMeanwhileIsNobodyElses(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	defer mustClose(t, s)
	for _, who := range []string{"Look", "Verify"} {
		mustWrite(t, s, "by "+who)
		o := p.options()
		o.FS = justAfter{name: manifestName, once: new(sync.Once), f: func() { checkpoint(t, s) }}
		var snap SnapshotReport
		if who == "Look" {
			v, err := Look(t.Context(), p.data, o)
			if err != nil {
				t.Fatal(err)
			}
			snap = v.Snapshot
		} else {
			r, err := Verify(t.Context(), p.data, toVerify(o))
			if err != nil {
				t.Fatal(err)
			}
			snap = r.Snapshot
		}
		if _, at := s.State(); snap.Whose != "store" || snap.Seq != at.Seq {
			t.Errorf("%s says %+v, data.json is the store's, after change %d", who, snap, at.Seq)
		}
	}
	p.put(t, `{"lines":["his"]}`)
	if v, err := Look(t.Context(), p.data, p.options()); err != nil || v.Snapshot.Whose != "operator" {
		t.Errorf("of another's file Look says %+v, %v", v.Snapshot, err)
	}
}

// TestTheNamesInAnOverviewAreThoseOfAReport where the two say the same.
func TestTheNamesInAnOverviewAreThoseOfAReport(t *testing.T) {
	names := func(value any) (list []string) {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		for name, field := range fields {
			if string(field) == "null" {
				t.Errorf("%T: %s is null", value, name)
			}
		}
		return slices.Sorted(maps.Keys(fields))
	}
	empty, err := Look(t.Context(), t.TempDir(), nil)
	if err == nil {
		t.Error("an empty folder is no error")
	}
	want := []string{"backups", "epoch", "findings", "first", "last", "segments", "setAsideBytes", "setAsideFiles", "snapshot", "undoable", "undoableTo"}
	if got := names(empty); !slices.Equal(got, want) {
		t.Errorf("nothing known: got %q, want %q", got, want)
	}
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	mustClose(t, s)
	v, err := Look(t.Context(), p.data, p.options())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(v), slices.Sorted(slices.Values(append(want, "lastTime"))); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	r, err := Verify(t.Context(), p.data, &VerifyOptions{BackupDir: p.backups})
	if err != nil {
		t.Fatal(err)
	}
	ofReport := names(r)
	for _, name := range []string{"backups", "epoch", "findings", "first", "last", "segments", "snapshot"} {
		if !slices.Contains(ofReport, name) {
			t.Errorf("Report has no %q: %q", name, ofReport)
		}
	}
}
