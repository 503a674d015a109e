package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

func TestAStoreOpensAsItWasClosed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	at := mustWrite(t, s, "one", "two")
	mustClose(t, s)
	s = mustOpen(t, dir, nil)
	defer mustClose(t, s)
	wantLines(t, s, "one", "two")
	if _, again := s.State(); again != at || at.Seq != 2 {
		t.Errorf("position %s before closing, %s after opening, want seq 2", at, again)
	}
	if at := mustWrite(t, s, "three"); at.Seq != 3 {
		t.Errorf("the next change is %s, want seq 3", at)
	}
}

func TestARefusalIsReturnedAsItIsAndWritesNothing(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	defer mustClose(t, s)
	at := mustWrite(t, s, "one")
	refusal := errors.New("no")
	tests := map[string]struct {
		decide func(*ledger) ([]entry, error)
		want   error
	}{
		"decide refuses":                 {func(*ledger) ([]entry, error) { return nil, refusal }, refusal},
		"events beside the error":        {func(*ledger) ([]entry, error) { return []entry{add("x")}, refusal }, refusal},
		"apply refuses":                  {func(*ledger) ([]entry, error) { return []entry{add("too much")}, nil }, errFull},
		"apply refuses the second event": {func(*ledger) ([]entry, error) { return []entry{add("x"), add("too much")}, nil }, errFull},
		"an event of no kind":            {func(*ledger) ([]entry, error) { return []entry{{}}, nil }, ErrUnknownKind},
		"an event of two kinds":          {func(*ledger) ([]entry, error) { return []entry{{Added: &added{}, Cleared: &cleared{}}}, nil }, ErrUnknownKind},
	}
	for name, test := range tests {
		if _, err := s.Update(t.Context(), test.decide); err != test.want && !(test.want == ErrUnknownKind && errors.Is(err, test.want)) {
			t.Errorf("%s: got %v, want %v itself", name, err, test.want)
		}
		wantLines(t, s, "one")
	}
	seen, err := s.Update(t.Context(), func(*ledger) ([]entry, error) { return nil, nil })
	if err != nil || seen != at {
		t.Errorf("no events give %s and %v, want the position seen, %s", seen, err, at)
	}
	if at := mustWrite(t, s, "two"); at.Seq != 2 {
		t.Errorf("refusals used up seqs: the next change is %s", at)
	}
}

func TestAPanicCostsItsOwnUpdateAlone(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	defer mustClose(t, s)
	release := hold(t, s)
	var wg sync.WaitGroup
	results := make([]error, 4)
	for i, line := range []string{"one", "panic", "two", "decide"} {
		wg.Go(func() {
			_, results[i] = s.Update(t.Context(), func(*ledger) ([]entry, error) {
				if line == "decide" {
					panic("decide panics")
				}
				return []entry{add("before " + line), add(line)}, nil
			})
		})
	}
	waiting(t, s, 4)
	release()
	wg.Wait()
	for i, err := range results {
		var p *PanicError
		if wantPanic := i%2 == 1; errors.As(err, &p) != wantPanic || !wantPanic && err != nil {
			t.Errorf("update %d: got %v", i, err)
		}
	}
	got := slices.Sorted(slices.Values(lines(s)))
	if want := []string{"before one", "before two", "held", "one", "two"}; !slices.Equal(got, want) {
		t.Errorf("the ledger has %q, want %q", got, want)
	}
}

// hold makes the committer wait inside an update until release, so that those
// which come meanwhile form one batch behind it.
func hold(t *testing.T, s *ledgerStore) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := s.Update(context.Background(), func(*ledger) ([]entry, error) {
			close(entered)
			<-leave
			return []entry{add("held")}, nil
		})
		done <- err
	}()
	<-entered
	return func() {
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waiting returns when n updates are in the queue.
func waiting(t *testing.T, s *ledgerStore, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.queue.len() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d updates wait, want %d", s.queue.len(), n)
		}
		runtime.Gosched()
	}
}

// It is a mistake of the program, told before anything is taken.
func TestUpdateWithoutDecideIsRefused(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	defer mustClose(t, s)
	_, err := s.Update(t.Context(), nil)
	var panicked *PanicError
	if err == nil || errors.As(err, &panicked) || !strings.Contains(err.Error(), "decide is nil") {
		t.Errorf("got %v", err)
	}
	mustWrite(t, s, "one")
}

func TestUpdatesThatWaitShareOneFlushAndSeeEachOther(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	defer mustClose(t, s)
	release := hold(t, s)
	before := s.Stats()

	const n = 50
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, err := s.Update(t.Context(), func(l *ledger) ([]entry, error) {
				return []entry{add(fmt.Sprint(len(l.Lines)))}, nil // how many it sees
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	waiting(t, s, n)
	release()
	wg.Wait()

	for i, line := range lines(s)[1:] {
		if line != fmt.Sprint(i+1) {
			t.Fatalf("change %d saw %s before it", i+2, line)
		}
	}
	after := s.Stats()
	if batches := after.Batches - before.Batches; batches != 1 || after.Changes-before.Changes != n+1 {
		t.Errorf("%d changes took %d flushes, want %d in one", after.Changes-before.Changes, batches, n+1)
	}
}

func TestNothingIsVisibleBeforeItIsOnDisk(t *testing.T) {
	d := &gatedDisk{Disk: crashfs.New()}
	s := mustOpen(t, t.TempDir(), &Options{seam: seam{FS: d}})
	defer mustClose(t, s)
	mustWrite(t, s, "one")
	entered, leave := d.holdSync()

	first := make(chan error)
	go func() { _, err := write(s, "two"); first <- err }()
	<-entered
	wantLines(t, s, "one") // State does not wait for the disk, nor run ahead of it
	if c, _, _, _ := s.tail.since(1, 1); len(c) != 0 {
		t.Errorf("followers see %v before it is on disk", c)
	}
	select {
	case err := <-first:
		t.Errorf("acknowledged before the disk was done: %v", err)
	default:
	}
	leave()
	if err := <-first; err != nil {
		t.Error(err)
	}
	wantLines(t, s, "one", "two")
}

// gatedDisk can hold a sync of a file.
type gatedDisk struct {
	*crashfs.Disk
	mu      sync.Mutex
	entered chan struct{}
	leave   chan struct{}
}

func (d *gatedDisk) holdSync() (entered <-chan struct{}, leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entered, d.leave = make(chan struct{}), make(chan struct{})
	release := d.leave
	return d.entered, func() { close(release) }
}

func (d *gatedDisk) Create(path string) (vfs.Appender, error) {
	f, err := d.Disk.Create(path)
	return gatedFile{f, d}, err
}

type gatedFile struct {
	vfs.Appender
	disk *gatedDisk
}

func (f gatedFile) Sync() error {
	f.disk.mu.Lock()
	entered, leave := f.disk.entered, f.disk.leave
	f.disk.entered, f.disk.leave = nil, nil
	f.disk.mu.Unlock()
	if entered != nil {
		close(entered)
		<-leave
	}
	return f.Appender.Sync()
}

func TestACancelledUpdateSaysWhetherItWasTaken(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	defer mustClose(t, s)
	release := hold(t, s)

	ctx, cancel := context.WithCancel(t.Context())
	queued := make(chan error)
	go func() {
		_, err := s.Update(ctx, func(*ledger) ([]entry, error) { return []entry{add("never")}, nil })
		queued <- err
	}()
	waiting(t, s, 1)
	cancel()
	if err := <-queued; !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("cancelled in the queue: got %v, want context.Canceled alone", err)
	}
	release()
	mustWrite(t, s, "after")
	wantLines(t, s, "held", "after")

	ctx, cancel = context.WithCancel(t.Context())
	taken, leave := make(chan struct{}), make(chan struct{})
	go func() {
		_, err := s.Update(ctx, func(*ledger) ([]entry, error) {
			close(taken)
			<-leave
			return []entry{add("late")}, nil
		})
		queued <- err
	}()
	<-taken
	cancel()
	if err := <-queued; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("cancelled while it is written: got %v, want context.Canceled and ErrOutcomeUnknown", err)
	}
	close(leave)
	if _, err := s.Update(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: got %v", err)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{QueueLimit: 2})
	defer mustClose(t, s)
	release := hold(t, s)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := write(s, "waits"); err != nil {
				t.Error(err)
			}
		})
	}
	waiting(t, s, 2)
	if _, err := write(s, "too many"); !errors.Is(err, ErrOverloaded) {
		t.Errorf("got %v, want ErrOverloaded", err)
	}
	release()
	wg.Wait()
	wantLines(t, s, "held", "waits", "waits")
}

func TestAChangeMayNotBeTooLarge(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{MaxChangeBytes: 100, SegmentBytes: 512})
	defer mustClose(t, s)
	if _, err := write(s, string(make([]byte, 101))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	wantLines(t, s)
}

func TestAChangeLargerThanASegmentFits(t *testing.T) {
	dir, o := t.TempDir(), &Options{SegmentBytes: 512}
	s := mustOpen(t, dir, o)
	large := fmt.Sprintf("%05000d", 7)
	mustWrite(t, s, "one", large, "three")
	mustClose(t, s)
	s = mustOpen(t, dir, o)
	defer mustClose(t, s)
	wantLines(t, s, "one", large, "three")
}

func TestCloseFinishesWhatWaitsAndTakesNoMore(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	release := hold(t, s)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := write(s, "waits"); err != nil {
			t.Error(err)
		}
	})
	waiting(t, s, 1)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := write(s, "late"); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := s.Checkpoint(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	wantLines(t, s, "held", "waits") // reading goes on
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestADirectoryHasOneStore(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	if _, err := openLedger(dir, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	mustClose(t, s)
	mustClose(t, mustOpen(t, dir, nil))
}

func TestSnapshotsComeByThemselvesASecondAfterAChange(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir, &Options{BackupDir: "/backups", seam: seam{FS: d}})
		for i := range 10 {
			mustWrite(t, s, fmt.Sprint(i))
		}
		if st := s.Stats(); st.SnapshotSeq != 0 {
			t.Errorf("a snapshot at once, of change %d", st.SnapshotSeq)
		}
		<-time.After(checkpointEvery + time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if st := s.Stats(); st.SnapshotSeq != 10 || st.SnapshotError != "" {
			t.Errorf("after a second the snapshot is of change %d (%s), want 10", st.SnapshotSeq, st.SnapshotError)
		}
		mustClose(t, s)
	})
}

func TestAFailedSnapshotIsTriedAgainAndFailsNoCommit(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir, &Options{seam: seam{FS: d}})
		mustWrite(t, s, "one")
		<-time.After(2 * confirmAfter)
		synctest.Wait()
		mustWrite(t, s, "two")
		d.Lock()
		d.FailAt, d.FailErr = d.Ops+1, errors.New("no space")
		d.Unlock()
		if err := s.Checkpoint(t.Context()); err == nil {
			t.Error("the snapshot did not fail")
		}
		if st := s.Stats(); st.SnapshotError == "" || st.Failed {
			t.Errorf("got %+v, want the error of the snapshot and a store that goes on", st)
		}
		mustWrite(t, s, "three")
		<-time.After(checkpointEvery + time.Millisecond)
		synctest.Wait()
		if st := s.Stats(); st.SnapshotSeq != 3 || st.SnapshotError != "" {
			t.Errorf("got %+v, want a snapshot of change 3", st)
		}
		mustClose(t, s)
	})
}

func TestEveryReplacedSnapshotBecomesABackup(t *testing.T) {
	dir := t.TempDir()
	backups := filepath.Join(dir, "backups")
	s := mustOpen(t, filepath.Join(dir, "data"), &Options{BackupDir: backups, KeepBackups: 3, KeepModifications: 8, SegmentBytes: 256})
	for i := range 40 {
		mustWrite(t, s, fmt.Sprint(i))
		if err := s.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.backups()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		present, err := os.Stat(filepath.Join(dir, "data", snapshotName))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(b.Path); err != nil || os.SameFile(info, present) {
			t.Errorf("backup %d shares its file with data.json, or is gone: %v", b.Seq, err)
		}
	}
	// The newest three, and a few below them that the latest eight build on.
	if len(list) < 4 || len(list) > 9 || list[len(list)-1].Seq != 39 || list[len(list)-3].Seq != 37 {
		t.Errorf("the backups are %v", list)
	}
	for seq := uint64(32); seq <= 40; seq++ {
		old, err := s.At(t.Context(), seq)
		if err != nil || len(old.Lines) != int(seq) {
			t.Errorf("At(%d) gives %v and %v", seq, old, err)
		}
	}
	var gone *TruncatedError
	if _, err := s.At(t.Context(), 1); !errors.As(err, &gone) { // 0 is that of the hour
		t.Errorf("At(1) gives %v, want *TruncatedError", err)
	}
	mustClose(t, s)
}

func TestTheLogForgetsWhatNoSnapshotNeeds(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{SegmentBytes: 1024, KeepModifications: 10})
	defer mustClose(t, s)
	mustWrite(t, s, numbered("line ", 200)...)
	full := s.Stats()
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if full.Segments < 5 || st.Segments >= full.Segments/2 {
		t.Errorf("%d segments before the snapshot, %d after it", full.Segments, st.Segments)
	}
	if st.First > 191 {
		t.Errorf("the log begins with change %d, the last ten of 200 must be there", st.First)
	}
}

func TestTheNextSegmentIsMadeBeforeItIsNeeded(t *testing.T) {
	dir, d := t.TempDir(), crashfs.New()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir, &Options{SegmentBytes: 1 << 20, seam: seam{FS: d}})
		spare := filepath.Join(dir, walName, newSegment)
		half := strings.Repeat("x", 1<<19)
		has := func() bool {
			d.Lock()
			defer d.Unlock()
			f := d.Entries[spare]
			return f != nil && len(f.Synced) == 1<<20
		}
		mustWrite(t, s, "short")
		synctest.Wait()
		if has() {
			t.Error("a store with little in its log keeps a spare segment")
		}
		mustWrite(t, s, half)
		synctest.Wait()
		if !has() {
			t.Error("the segment is half full and the next one is not there")
		}
		d.Lock()
		before := d.Ops
		d.Unlock()
		mustWrite(t, s, half)
		d.Lock()
		took := d.Ops - before
		d.Unlock()
		if st := s.Stats(); st.Segments != 2 || took > 4+1 { // write, sync, rename, sync of the folder; perhaps the next spare
			t.Errorf("the commit that begins segment %d took %d operations, want 4", st.Segments, took)
		}
		mustClose(t, s)
		if has() {
			t.Error("a closed store has a spare segment")
		}
	})
}

func TestACheckpointAfterCloseWritesNothing(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	mustWrite(t, s, "one")
	mustClose(t, s)
	before := fingerprint(t, s.dir)
	if err := s.Checkpoint(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	s.current.Store(&version[*ledger]{state: new(ledger), at: Position{s.current.Load().at.Epoch, 2}}) // as if there were something to write
	if err := s.save(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if fingerprint(t, s.dir) != before {
		t.Error("the directory, which may be another's by now, was written")
	}
}
