package atomicstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// home is a store with a backup folder beside it, on a real disk.
type home struct{ data, backups string }

func newHome(t testing.TB) home {
	dir := t.TempDir()
	return home{filepath.Join(dir, "data"), filepath.Join(dir, "backups")}
}

func (p home) options() *Options { return &Options{BackupDir: p.backups} }
func (p home) file() string      { return filepath.Join(p.data, snapshotName) }

func (p home) open(t testing.TB) *ledgerStore {
	t.Helper()
	return mustOpen(t, p.data, p.options())
}

// put does what an operator's cp does: it writes into the file that is there.
func (p home) put(t testing.TB, content string) {
	t.Helper()
	if err := os.WriteFile(p.file(), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// aside returns the names of what was set aside.
func (p home) aside(t testing.TB) (what []string) {
	t.Helper()
	names, err := vfs.Disk{}.Names(p.backups)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if w, _, ok := parseAsideName(name); ok {
			what = append(what, w)
		}
	}
	return what
}

func checkpoint(t testing.TB, s *ledgerStore) {
	t.Helper()
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestTheGuidesRestoreRestores does what the guide tells an operator: cp a
// backup over data.json, restart. The shutdown comes after the cp.
func TestTheGuidesRestoreRestores(t *testing.T) {
	for _, graceful := range []bool{true, false} {
		p := newHome(t)
		s := p.open(t)
		mustWrite(t, s, "one", "two")
		checkpoint(t, s)
		mustWrite(t, s, "three")
		checkpoint(t, s)
		before := mustWrite(t, s, "four", "five")
		if !graceful {
			mustClose(t, s)
		}
		list, err := s.backups()
		if err != nil || len(list) < 2 {
			t.Fatalf("backups %v, %v", list, err)
		}
		content, err := os.ReadFile(list[1].Path)
		if err != nil {
			t.Fatal(err)
		}
		p.put(t, string(content))
		if graceful {
			mustClose(t, s)
		}
		if got, err := os.ReadFile(p.file()); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("graceful %v: the operator's file was written over: %v", graceful, err)
		}

		s = p.open(t)
		wantLines(t, s, "one", "two")
		_, at := s.State()
		if at.Epoch == before.Epoch || at.Seq < before.Seq {
			t.Errorf("after %s comes %s, want another epoch that counts on", before, at)
		}
		for _, err := range s.Changes(t.Context(), before) {
			if !errors.Is(err, ErrEpoch) {
				t.Errorf("following from before the restore gives %v, want ErrEpoch", err)
			}
		}
		if after := mustWrite(t, s, "six"); after.Seq <= before.Seq {
			t.Errorf("seq %d was given again", after.Seq)
		}
		mustClose(t, s)
		s = p.open(t)
		wantLines(t, s, "one", "two", "six")
		if _, again := s.State(); again.Epoch != at.Epoch {
			t.Errorf("the second open began another epoch")
		}
		mustClose(t, s)

		// What was newer is there: the log as it was, and the state it led to.
		aside := p.aside(t)
		if !slices.ContainsFunc(aside, func(s string) bool { return strings.HasSuffix(s, segmentSuffix) }) {
			t.Errorf("set aside is %v, without the log", aside)
		}
		p.put(t, string(newestWith(t, p, "five")))
		s = p.open(t)
		wantLines(t, s, "one", "two", "three", "four", "five")
		mustClose(t, s)
	}
}

// newestWith returns the newest backup that has a line.
func newestWith(t testing.TB, p home, line string) (found []byte) {
	t.Helper()
	list, err := listBackups(vfs.Disk{}, p.backups)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		data, err := os.ReadFile(b.Path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(line)) {
			found = data
		}
	}
	if found == nil {
		t.Fatalf("no backup has %q", line)
	}
	return found
}

func TestWhatAnOperatorPutsThereIsTakenOver(t *testing.T) {
	oldNode := `{"submissions": {"worst": [{"id": "1", "caption": "anchor"}]}, "winners": {"worst": []}}`
	importer := func(data []byte) ([]byte, error) {
		var old struct {
			Submissions map[string][]struct{ Caption string }
		}
		if err := json.Unmarshal(data, &old); err != nil {
			return nil, err
		}
		if old.Submissions == nil {
			return data, nil
		}
		l := ledger{}
		for _, e := range old.Submissions["worst"] {
			l.Lines = append(l.Lines, e.Caption)
		}
		return json.Marshal(l)
	}
	tests := map[string]struct {
		content string
		imports func([]byte) ([]byte, error)
		want    []string // nil: it is set aside, and everything is as before
	}{
		"a plain state":             {content: `{"lines": ["a", "b"]}`, want: []string{"a", "b"}},
		"a plain state, one field":  {content: ` { "lines" : [ "a" ], "notes": [] } `, want: []string{"a"}},
		"a backup of another store": {content: `{"format":1,"epoch":"00000000000000ff","seq":99,"chain":7,"savedAt":"2026-01-01T00:00:00Z","state":{"lines":["c"]}}`, want: []string{"c"}},
		"an edited backup":          {content: `{"format":1,"epoch":"","seq":2,"sum":1,"state":{"lines":["edited"]}}`, want: []string{"edited"}},
		"a seq nobody can believe":  {content: `{"format":1,"epoch":"00000000000000ff","seq":18446744073709551615,"state":{"lines":["c"]}}`, want: []string{"c"}},
		"a restore with changes":    {content: `{"format":1,"epoch":"00000000000000ff","seq":1,"state":{"lines":["c"]},"changes":[{"id":"00000000000000000000000000000001","time":"2026-01-01T00:00:00Z","events":[{"added":{"line":"d"}}]}]}`, want: []string{"c", "d"}},
		"the old Node data":         {content: oldNode, imports: importer, want: []string{"anchor"}},
		"a state beside Import":     {content: `{"lines": ["a"]}`, imports: importer, want: []string{"a"}},
		"without Import":            {content: oldNode},
		"not JSON":                  {content: `{"lines": ["a"`},
		"not JSON for Import":       {content: `{"lines": ["a"`, imports: importer},
		"nothing":                   {content: ""},
		"null":                      {content: "null"},
		"a backup without a state":  {content: `{"format":1,"epoch":"00000000000000ff","seq":99,"state":null}`},
		"another shape":             {content: `{"lines": "a"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newHome(t)
			s := p.open(t)
			before := mustWrite(t, s, "one", "two", "three")
			mustClose(t, s)
			p.put(t, test.content)
			// Long ago, or Open waits for him to finish.
			if err := os.Chtimes(p.file(), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			o := p.options()
			o.Import = test.imports
			s = mustOpen(t, p.data, o)
			_, at := s.State()
			aside := p.aside(t)
			if test.want != nil {
				wantLines(t, s, test.want...)
				if at.Epoch == before.Epoch || at.Seq < before.Seq || at.Seq > 1000 {
					t.Errorf("after %s comes %s, want another epoch that counts on", before, at)
				}
				if len(aside) != 2 {
					t.Errorf("set aside is %v, want the file and the log", aside)
				}
			} else {
				wantLines(t, s, "one", "two", "three")
				if at != before {
					t.Errorf("the store is at %s, want %s", at, before)
				}
				if !slices.Equal(aside, []string{snapshotName}) {
					t.Errorf("set aside is %v, want the file alone", aside)
				}
			}
			mustWrite(t, s, "after")
			mustClose(t, s)
			s = p.open(t)
			defer mustClose(t, s)
			wantLines(t, s, append(slices.Clone(lines(s)[:len(lines(s))-1]), "after")...)
			if _, again := s.State(); again.Seq != at.Seq+1 || again.Epoch != at.Epoch {
				t.Errorf("after %s and one change comes %s", at, again)
			}
		})
	}
}

func TestWhatAnOperatorPutsIntoAnEmptyFolderIsTakenOver(t *testing.T) {
	for content, want := range map[string]string{
		`{"lines": ["a"]}`: "a",
		`{"format":1,"epoch":"00000000000000ff","seq":41,"state":{"lines":["b"]}}`: "b",
	} {
		p := newHome(t)
		if err := os.MkdirAll(p.data, 0o700); err != nil {
			t.Fatal(err)
		}
		p.put(t, content)
		s := p.open(t)
		wantLines(t, s, want)
		mustClose(t, s)
	}
	p := newHome(t)
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		t.Fatal(err)
	}
	p.put(t, "{")
	var corrupt *CorruptError
	if _, err := openLedger(p.data, p.options()); !errors.As(err, &corrupt) || corrupt.Path != p.file() {
		t.Errorf("got %v, want *CorruptError: there is nothing to fall back to", err)
	}
}

func TestAnOperatorsFileIsTakenOverAboveADamagedLog(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two", "three")
	at := mustWrite(t, s, "four")
	mustClose(t, s)
	path, data := segmentOf(t, p.data)
	starts := frames(t, data)
	data[starts[1]+batchHeader] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := openLedger(p.data, p.options()); !errors.As(err, &corrupt) {
		t.Fatalf("got %v, want *CorruptError", err)
	}
	p.put(t, `{"lines": ["saved"]}`)
	s = p.open(t)
	defer mustClose(t, s)
	wantLines(t, s, "saved")
	if _, after := s.State(); after.Seq < at.Seq {
		t.Errorf("seqs up to %d were given, and it goes on from %d", at.Seq, after.Seq)
	}
}

// TestOpenWaitsForACopyThatIsUnderWay: half a file is there, and grows.
func TestOpenWaitsForACopyThatIsUnderWay(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	mustClose(t, s)
	f, err := os.OpenFile(p.file(), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"lines": [`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	time.AfterFunc(unfinished/4, func() {
		_, err := f.WriteString(`"his"]}`)
		done <- errors.Join(err, f.Close())
	})
	opened := make(chan *ledgerStore)
	go func() { opened <- mustOpen(t, p.data, p.options()) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s = <-opened
	defer mustClose(t, s)
	wantLines(t, s, "his")
}

// TestRotInTheSnapshotIsNoOperator: the bytes changed, and nobody wrote them.
func TestRotInTheSnapshotIsNoOperator(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := crashfs.New()
		o := &Options{SegmentBytes: 4 << 10, BackupDir: "/backups", seam: seam{FS: d}}
		s := mustOpen(t, dir, o)
		mustWrite(t, s, "one")
		checkpoint(t, s)
		at := mustWrite(t, s, "two", "three")
		mustClose(t, s)
		f := d.Entries[filepath.Join(dir, snapshotName)]
		i := bytes.Index(f.Data, []byte("two"))
		f.Data[i], f.Synced[i] = 'T', 'T'
		s = mustOpen(t, dir, o)
		wantLines(t, s, "one", "two", "three")
		if _, again := s.State(); again != at {
			t.Errorf("the store is at %s, was at %s", again, at)
		}
		mustClose(t, s)
	})
}

func TestADirectoryOfBeforeTheManifestOpens(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	at := mustWrite(t, s, "one", "two")
	mustClose(t, s)
	want := []string{"one", "two"}
	for _, content := range []string{"", "rubbish"} {
		if err := os.Remove(filepath.Join(p.data, manifestName)); err != nil {
			t.Fatal(err)
		}
		if content != "" {
			if err := os.WriteFile(filepath.Join(p.data, manifestName), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s = p.open(t)
		wantLines(t, s, want...)
		if _, again := s.State(); again.Epoch != at.Epoch {
			t.Errorf("the store is at %s, was at %s", again, at)
		}
		mustWrite(t, s, "more")
		want = append(want, "more")
		mustClose(t, s)
	}
	if aside := p.aside(t); len(aside) != 0 {
		t.Errorf("set aside is %v", aside)
	}
}

func TestUpdatesStopOnceTheDataFileIsReplaced(t *testing.T) {
	for _, byRename := range []bool{false, true} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			d := crashfs.New()
			o := &Options{SegmentBytes: 4 << 10, BackupDir: "/backups", seam: seam{FS: d}}
			s := mustOpen(t, dir, o)
			mustWrite(t, s, "one")
			d.Put(filepath.Join(dir, snapshotName), byRename, `{"lines": ["his"]}`)
			elapse(2 * watchEvery)
			if _, err := write(s, "two"); !errors.Is(err, ErrReplaced) || errors.Is(err, ErrFailed) {
				t.Errorf("got %v, want ErrReplaced", err)
			}
			if err := s.Checkpoint(t.Context()); !errors.Is(err, ErrReplaced) {
				t.Errorf("Checkpoint gives %v, want ErrReplaced", err)
			}
			wantLines(t, s, "one")
			mustClose(t, s)
			s = mustOpen(t, dir, o)
			wantLines(t, s, "his")
			mustWrite(t, s, "two")
			mustClose(t, s)
		})
	}
}

// TestAnOperatorRacesCheckpoints puts a data.json there at every operation of
// the workload, in all the ways there are, and lets the power go soon after or
// not at all. The file is the state of the next open, unless a later change
// was acknowledged on top of it; and what it replaced is in the backups.
func TestAnOperatorRacesCheckpoints(t *testing.T) {
	dir := t.TempDir()
	total := operations(t)
	ways := []struct {
		name                 string
		byRename, noExchange bool
	}{{"cp", false, false}, {"mv", true, false}, {"cp without exchange", false, true}, {"mv without exchange", true, true}}
	for _, way := range ways {
		for n := 1; n <= total; n++ {
			for _, crash := range []int{0, 1, 2, 3, 4, 5, 7, 10, 15} {
				synctest.Test(t, func(t *testing.T) {
					defer func() {
						if t.Failed() {
							t.Logf("%s at operation %d, power cut %d later (0: never)", way.name, n, crash)
						}
					}()
					race(t, dir, n, crash, way.byRename, way.noExchange)
				})
				if t.Failed() {
					return
				}
			}
		}
	}
}

func race(t *testing.T, dir string, n, crash int, byRename, noExchange bool) {
	d := crashfs.New()
	d.NoExchange = noExchange
	path := filepath.Join(dir, snapshotName)
	was, put := false, false
	d.Before = func(op int) {
		if op != n {
			return
		}
		put = true
		_, was = d.Entries[path]
		d.PutLocked(path, byRename, `{"lines": ["his"]}`)
	}
	if crash > 0 {
		d.CrashAt = n + crash
	}
	h := workload(t, dir, d)
	if !put {
		return
	}
	left := d
	if crash > 0 {
		left = d.AfterCrash(crashfs.KeepSome(uint64(n*31 + crash)))
	}
	left.Before = nil
	s, err := openLedger(dir, simOptions(left))
	if err != nil {
		t.Fatalf("the store does not open again: %v", err)
	}
	defer s.Close()
	got := lines(s)
	if len(got) == 0 || got[0] != "his" {
		t.Fatalf("the operator's file is lost: the ledger has %q, acknowledged was %q; data.json was there: %v", got, h.acknowledged, was)
	}
	// Changes on top of it are there if Open took it over before them.
	rest := got[1:]
	all := slices.Concat(h.acknowledged, h.unknown)
	if len(rest) > 0 {
		if !slices.Equal(rest, h.acknowledged) && !slices.Equal(rest, all) {
			t.Fatalf("the ledger has %q; acknowledged is %q", got, h.acknowledged)
		}
		return
	}
	for _, line := range h.acknowledged {
		if !keptSomewhere(left, line) {
			t.Fatalf("the change %q was acknowledged and is neither in a backup nor set aside", line)
		}
	}
}

// keptSomewhere tells whether a line is in a file of the backup folder.
func keptSomewhere(d *crashfs.Disk, line string) bool {
	d.Lock()
	defer d.Unlock()
	for path, f := range d.Entries {
		if filepath.Dir(path) == "/backups" && bytes.Contains(f.Data, fmt.Appendf(nil, "%q", line)) {
			return true
		}
	}
	return false
}

// TestALateWriterIsAnOperatorToo: his editor had data.json open while a
// checkpoint replaced it, and saves into the file that is a backup by now.
func TestALateWriterIsAnOperatorToo(t *testing.T) {
	for name, backups := range map[string]string{"with backups": "/backups", "without": ""} {
		for _, atClose := range []bool{false, true} {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := crashfs.New()
				o := &Options{SegmentBytes: 4 << 10, BackupDir: backups, seam: seam{FS: d}}
				s := mustOpen(t, dir, o)
				mustWrite(t, s, "one")
				checkpoint(t, s)
				d.Lock()
				held := d.Entries[filepath.Join(dir, snapshotName)]
				d.Unlock()
				mustWrite(t, s, "two")
				checkpoint(t, s)
				d.Lock()
				d.Clock++
				held.Data, held.MTime = []byte(`{"lines": ["his"]}`), d.Clock
				d.Unlock()
				if !atClose {
					elapse(2 * watchEvery)
					if _, err := write(s, "three"); !errors.Is(err, ErrReplaced) {
						t.Errorf("%s: got %v, want ErrReplaced", name, err)
					}
				}
				mustClose(t, s)
				s = mustOpen(t, dir, o)
				wantLines(t, s, "his")
				mustClose(t, s)
				for path := range d.Entries {
					if strings.HasPrefix(filepath.Base(path), ".") {
						t.Errorf("%s: %s is left", name, path)
					}
				}
			})
		}
	}
}

// TestALateWriterIsFoundByTheNextCheckpoint, before what he wrote into is pruned
// as a backup too many: watch may find no time between checkpoints.
func TestALateWriterIsFoundByTheNextCheckpoint(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		d := crashfs.New()
		o := &Options{BackupDir: "/backups", KeepBackups: 1, seam: seam{FS: d}}
		s := mustOpen(t, dir, o)
		mustWrite(t, s, "one")
		checkpoint(t, s)
		d.Lock()
		held := d.Entries[filepath.Join(dir, snapshotName)]
		d.Unlock()
		mustWrite(t, s, "two")
		checkpoint(t, s)
		d.Lock()
		d.Clock++
		held.Data, held.MTime = []byte(`{"lines": ["his"]}`), d.Clock
		d.Unlock()
		mustWrite(t, s, "three")
		if err := s.Checkpoint(t.Context()); !errors.Is(err, ErrReplaced) {
			t.Errorf("got %v, want ErrReplaced", err)
		}
		mustClose(t, s)
		s = mustOpen(t, dir, o)
		wantLines(t, s, "his")
		mustClose(t, s)
	})
}

// TestAnOperatorRacesCheckpointsForReal lets cp and mv of the real disk run
// into checkpoints that follow each other without a pause.
func TestAnOperatorRacesCheckpointsForReal(t *testing.T) {
	p := newHome(t)
	const rounds = 12
	for round := range rounds {
		s := p.open(t)
		started := make(chan struct{})
		var acknowledged []string
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for i := 0; ; i++ {
				line := fmt.Sprintf("%d.%d", round, i)
				_, err := write(s, line)
				if err == nil {
					acknowledged = append(acknowledged, line)
					err = s.Checkpoint(t.Context())
				}
				if i == 2+round%5 {
					close(started)
				}
				if errors.Is(err, ErrReplaced) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
		<-started
		his := fmt.Sprintf("{\"lines\": [\"his %d\", %q]}", round, strings.Repeat("x", round*20000))
		if round%2 == 0 {
			p.put(t, his)
		} else {
			temp := filepath.Join(p.data, "his.json")
			if err := os.WriteFile(temp, []byte(his), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(temp, p.file()); err != nil {
				t.Fatal(err)
			}
		}
		<-writing
		mustClose(t, s)
		if got, err := os.ReadFile(p.file()); err != nil || string(got) != his {
			t.Fatalf("round %d: data.json is not the operator's: %.60q, %v", round, got, err)
		}
		newestWith(t, p, acknowledged[0])
		s = p.open(t)
		if got := lines(s); len(got) != 2 || got[0] != fmt.Sprintf("his %d", round) {
			t.Fatalf("round %d: the ledger has %.100q", round, got)
		}
		mustClose(t, s)
		newestWith(t, p, acknowledged[len(acknowledged)-1])
		for _, f := range []string{p.data, p.backups} { // keep the folder small
			names, _ := filepath.Glob(filepath.Join(f, asidePrefix+"*"))
			for _, name := range names {
				os.Remove(name)
			}
		}
	}
}
