package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// recorded returns what Records gives as "seq line", up to its end.
func recorded(t testing.TB, dir string, after Position) (list []string, err error) {
	t.Helper()
	for r, err := range Records(t.Context(), dir, after, nil) {
		if err != nil {
			return list, err
		}
		list = append(list, spoken(r))
	}
	return list, nil
}

func spoken(r Record) string { return fmt.Sprintf("%d %s", r.Seq, r.Events[0]) }

func wantRecorded(t testing.TB, dir string, after Position, want ...string) {
	t.Helper()
	got, err := recorded(t, dir, after)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("after %s the log has %q, %v, want %q", after, got, err, want)
	}
}

// addedAs is how Records shows lines that were added from a seq on.
func addedAs(seq int, lines ...string) (list []string) {
	for i, line := range lines {
		list = append(list, fmt.Sprintf(`%d {"added":{"line":%q}}`, seq+i, line))
	}
	return list
}

func TestRecordsAreWhatChangesGivesWithoutTheTypes(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, &Options{SegmentBytes: 1024})
	lines := numbered("line ", 40)
	ctx := WithRequestID(t.Context(), "from a request")
	if _, err := s.Update(ctx, func(*ledger) ([]entry, error) { return []entry{add(lines[0]), {Cleared: &cleared{}}}, nil }); err != nil {
		t.Fatal(err)
	}
	at := mustWrite(t, s, lines[1:]...)
	for _, open := range []bool{true, false} {
		var got []Record
		for r, err := range Records(t.Context(), dir, Position{}, nil) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if len(got) != 40 || got[39].Position != at {
			t.Fatalf("open %v: got %d records, want 40 up to %s", open, len(got), at)
		}
		if open {
			i := 0
			ctx, cancel := context.WithCancel(t.Context())
			for c, err := range s.Changes(ctx, Position{}) {
				if err != nil {
					break
				}
				r := got[i]
				if r.Position != c.Position || r.ID != c.ID || !r.Time.Equal(c.Time) || r.RequestID != c.RequestID || len(r.Events) != len(c.Events) {
					t.Errorf("record %+v, change %+v", r, c)
				}
				if i++; i == len(got) {
					cancel()
				}
			}
			cancel()
		}
		wantRecorded(t, dir, Position{Seq: 37}, addedAs(38, lines[37:]...)...)
		wantRecorded(t, dir, at)
		if open {
			mustClose(t, s)
		}
	}
	if list, err := os.ReadDir(filepath.Join(dir, walName)); err != nil || len(list) < 3 {
		t.Errorf("the test is to read several segments: %v, %v", list, err)
	}
}

func TestRecordsSaysWhyTheNextChangeCannotCome(t *testing.T) {
	p := newHome(t)
	o := &Options{BackupDir: p.backups, SegmentBytes: 512, KeepModifications: 5, KeepBackups: 1}
	s := mustOpen(t, p.data, o)
	for range 4 {
		mustWrite(t, s, numbered("line ", 10)...)
		checkpoint(t, s)
	}
	mustClose(t, s)
	var gone *TruncatedError
	if got, err := recorded(t, p.data, Position{}); !errors.As(err, &gone) || gone.First < 2 || len(got) > 0 {
		t.Fatalf("got %v, %v, want that the first changes are gone", got, err)
	}
	if got, err := recorded(t, p.data, Position{Seq: gone.First - 1}); err != nil || len(got) != int(41-gone.First) {
		t.Errorf("from %d on the log has %d records, %v", gone.First, len(got), err)
	}
	if _, err := recorded(t, p.data, Position{Epoch: "0123456789abcdef", Seq: 40}); !errors.Is(err, ErrEpoch) {
		t.Errorf("of another epoch: got %v", err)
	}
	if _, err := recorded(t, p.data, Position{Seq: 41}); !errors.Is(err, ErrAhead) {
		t.Errorf("a position ahead of the log: got %v, want ErrAhead", err)
	}
	if _, err := recorded(t, filepath.Join(p.data, "none"), Position{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no store: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Records(ctx, p.data, Position{Seq: 39}, nil) {
		if err != context.Canceled {
			t.Errorf("with a context that has ended: got %v", err)
		}
	}
}

func TestRecordsEndsAtATornTailAndFailsAtDamage(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	lines := numbered("line ", 6)
	mustWrite(t, s, lines[:2]...)
	kill := saved(t, s, p.data)
	mustWrite(t, s, lines[2:]...)
	mustClose(t, s)
	kill()
	path, whole := segmentOf(t, p.data)
	starts := frames(t, whole)
	for name, test := range map[string]struct {
		change  func([]byte)
		records int
		damage  int // the change that is damaged; 0 for none
	}{
		"whole":              {func([]byte) {}, 6, 0},
		"a torn last batch":  {func(b []byte) { b[starts[5]+batchHeader] ^= 1 }, 5, 0},
		"no last batch":      {func(b []byte) { clear(b[starts[5]:]) }, 5, 0},
		"damage before it":   {func(b []byte) { b[starts[4]+batchHeader] ^= 1 }, 4, 5},
		"zeros in between":   {func(b []byte) { clear(b[starts[4]:starts[5]]) }, 4, 5},
		"less than snapshot": {func(b []byte) { clear(b[starts[1]:]) }, 1, 2},
	} {
		data := slices.Clone(whole)
		test.change(data)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := recorded(t, p.data, Position{})
		var corrupt *CorruptError
		isDamage := errors.As(err, &corrupt)
		if len(got) != test.records || isDamage != (test.damage > 0) || err != nil && !isDamage || isDamage && (corrupt.Seq != uint64(test.damage) || corrupt.Path != path) {
			t.Errorf("%s: got %d records, %v; want %d, damage of %d", name, len(got), err, test.records, test.damage)
		}
	}
}

// saved reads data.json and MANIFEST just after a checkpoint. putBack, once the
// store is closed, leaves the directory as a kill would have.
func saved(t testing.TB, s *ledgerStore, dir string) (putBack func()) {
	t.Helper()
	checkpoint(t, s)
	files := map[string][]byte{}
	for _, name := range []string{snapshotName, manifestName} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	return func() {
		t.Helper()
		for name, data := range files {
			if err := (vfs.Disk{}).Replace(filepath.Join(dir, name), data); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// followFiles passes on what Records gives while it follows, until ctx ends.
func followFiles(ctx context.Context, dir string, after Position) (records chan Record, ended chan error) {
	records, ended = make(chan Record), make(chan error, 1)
	go func() {
		for r, err := range Records(ctx, dir, after, &RecordsOptions{Follow: true, Poll: time.Millisecond}) {
			if err != nil {
				ended <- err
				return
			}
			records <- r
		}
		ended <- nil
	}()
	return records, ended
}

// wantNext reads records that must come next.
func wantNext(t testing.TB, records chan Record, ended chan error, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case r := <-records:
			if got := spoken(r); got != w {
				t.Fatalf("followed %q, want %q", got, w)
			}
		case err := <-ended:
			t.Fatalf("following ended with %v, want %q", err, w)
		}
	}
}

// TestFollowingSeesEachChangeOnce follows a store that writes, rotates,
// confirms, makes checkpoints, is killed and is opened again.
func TestFollowingSeesEachChangeOnce(t *testing.T) {
	dir := t.TempDir()
	o := &Options{SegmentBytes: 1024, KeepModifications: 1000}
	s := mustOpen(t, dir, o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	records, ended := followFiles(ctx, dir, Position{})
	seq := 1
	say := func(n int) {
		t.Helper()
		lines := numbered(fmt.Sprint(seq, " "), n)
		mustWrite(t, s, lines...)
		wantNext(t, records, ended, addedAs(seq, lines...)...)
		seq += n
	}
	for round := range 6 {
		say(5)
		kill := saved(t, s, dir)
		say(3)
		mustClose(t, s)
		if round%2 == 0 {
			kill()
		}
		s = mustOpen(t, dir, o)
	}
	say(30)
	// One that has followed is idle; a late one sees the same.
	got, err := recorded(t, dir, Position{})
	if err != nil || len(got) != seq-1 {
		t.Errorf("a late reader sees %d records, %v; %d were followed", len(got), err, seq-1)
	}
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("following ended with %v", err)
	}
	mustClose(t, s)
}

func TestFollowingGoesOnFromABatchThatConfirms(t *testing.T) {
	inBubble(t, followConfirmed)
}

func followConfirmed(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	records, ended := followFiles(ctx, p.data, Position{})
	wantNext(t, records, ended, addedAs(1, "one")...)
	waitIdle()
	if r, err := Verify(t.Context(), p.data, toVerify(p.options())); err != nil || r.Batches != 2 {
		t.Errorf("the batch was not confirmed: %+v, %v", r, err)
	}
	mustWrite(t, s, "two")
	wantNext(t, records, ended, addedAs(2, "two")...)
	mustClose(t, s)
	s = p.open(t)
	mustWrite(t, s, "three")
	wantNext(t, records, ended, addedAs(3, "three")...)
	mustClose(t, s)
	wantRecorded(t, p.data, Position{}, addedAs(1, "one", "two", "three")...)
	cancel()
	<-ended
}

// twoSegments leaves a log of two changes, each in a segment of its own, the
// first one confirmed.
func twoSegments(t *testing.T, p home) (paths []string) {
	o := &Options{BackupDir: p.backups, SegmentBytes: 512}
	inBubble(t, func(t *testing.T) {
		s := mustOpen(t, p.data, o)
		mustWrite(t, s, strings.Repeat("a", 300))
		waitIdle()
		mustWrite(t, s, strings.Repeat("b", 300))
		mustClose(t, s)
	})
	paths, err := filepath.Glob(filepath.Join(p.data, walName, "*"+segmentSuffix))
	if err != nil || len(paths) != 2 {
		t.Fatalf("segments %v, %v", paths, err)
	}
	return paths
}

func TestRecordsGoOnInTheNextSegmentAfterABatchThatConfirms(t *testing.T) {
	p := newHome(t)
	twoSegments(t, p)
	wantRecorded(t, p.data, Position{}, addedAs(1, strings.Repeat("a", 300), strings.Repeat("b", 300))...)
}

func TestASegmentOfAnotherHistoryIsDamage(t *testing.T) {
	p := newHome(t)
	path := twoSegments(t, p)[1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := decodeHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := decodeBatch(data[segmentHeader:], h.logID)
	if err != nil {
		t.Fatal(err)
	}
	h.chain++ // whole in itself, but it follows another batch
	frame, _ := endBatch(append(beginBatch(nil), b.payload...), h.logID, h.chain, b.seq, b.count)
	data = append(h.encode(), frame...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if got, err := recorded(t, p.data, Position{}); !errors.As(err, &corrupt) || len(got) != 1 || corrupt.Path != path || corrupt.Seq != 2 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFollowingEndsWhenHistoryIsReplaced(t *testing.T) {
	t.Run("by an operator", func(t *testing.T) {
		p := newHome(t)
		s := p.open(t)
		mustWrite(t, s, "one")
		records, ended := followFiles(t.Context(), p.data, Position{})
		wantNext(t, records, ended, addedAs(1, "one")...)
		mustClose(t, s)
		p.put(t, `{"lines": ["his"]}`)
		s = p.open(t)
		defer mustClose(t, s)
		if err := <-ended; !errors.Is(err, ErrEpoch) {
			t.Errorf("got %v", err)
		}
	})
	for name, another := range map[string]bool{"by a change that was never synced": false, "by another one in its place": true} {
		t.Run(name, func(t *testing.T) { inBubble(t, func(t *testing.T) { followLost(t, another) }) })
	}
}

// followLost follows a store whose last change is gone after a crash. The
// bubble's clock stands still in between, so the follower does not see how.
func followLost(t *testing.T, another bool) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one")
	kill := saved(t, s, p.data)
	path, synced := segmentOf(t, p.data)
	mustWrite(t, s, "two")
	records, ended := followFiles(t.Context(), p.data, Position{})
	wantNext(t, records, ended, addedAs(1, "one", "two")...)
	mustClose(t, s)
	kill()
	if err := (vfs.Disk{}).Replace(path, synced); err != nil {
		t.Fatal(err)
	}
	if another {
		s = p.open(t)
		defer mustClose(t, s)
		mustWrite(t, s, "another two")
	}
	if err := <-ended; !errors.Is(err, ErrEpoch) {
		t.Errorf("got %v", err)
	}
}

// TestRecordsWorksBesideAStoreAtWork reads and follows while changes,
// checkpoints, rotation and pruning go on.
func TestRecordsWorksBesideAStoreAtWork(t *testing.T) {
	p := newHome(t)
	o := &Options{BackupDir: p.backups, SegmentBytes: 4096, KeepModifications: 20, KeepBackups: 5}
	s := mustOpen(t, p.data, o)
	defer mustClose(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := write(s, fmt.Sprint(i+1)); err != nil {
				written <- err
				return
			}
			if i%50 == 0 {
				if err := s.Checkpoint(context.Background()); err != nil {
					written <- err
					return
				}
			}
		}
		written <- nil
	}()
	for after, count := uint64(0), 0; count < 2000; {
		for r, err := range Records(t.Context(), p.data, Position{Seq: after}, &RecordsOptions{Follow: count%2 == 0, Poll: time.Millisecond}) {
			var gone *TruncatedError
			if errors.As(err, &gone) && gone.First > after+1 {
				after = gone.First - 1
				break
			}
			if err != nil {
				cancel()
				t.Fatal(err, <-written)
			}
			if want := addedAs(int(after+1), fmt.Sprint(after+1))[0]; spoken(r) != want {
				t.Fatalf("got %s, want %s", spoken(r), want)
			}
			after = r.Seq
			if count++; count%100 == 0 {
				break // and begin anew
			}
		}
	}
	cancel()
	if err := <-written; err != nil {
		t.Error(err)
	}
}
