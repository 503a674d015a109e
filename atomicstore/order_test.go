package atomicstore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
)

// orderedChild does one thing after the other and says so each time: updates
// over several segments, checkpoints, a restore, and updates after it. A step
// that fails is done again, with the store opened again, up to so many times.
func orderedChild(dir string, again int) {
	o := childOptions(dir)
	n := 0
	use := func() error {
		store, err := atomicstore.Open(dir, &words{}, say, o)
		if err != nil {
			return err
		}
		fmt.Println("open")
		for range 50 {
			n++
			word := fmt.Sprintf("word-%03d-%s", n, strings.Repeat("x", 400))
			_, err := store.Update(context.Background(), func(*words) ([]string, error) { return []string{word}, nil })
			if err != nil {
				store.Close()
				return err
			}
			fmt.Printf("ack word-%03d-\n", n)
			if n%20 != 0 {
				continue
			}
			if err := store.Checkpoint(context.Background()); err == nil {
				fmt.Println("checkpoint")
			}
		}
		if err := store.Close(); err != nil {
			return err
		}
		fmt.Println("closed")
		return nil
	}
	restore := func() error {
		err := atomicstore.RestoreBefore(context.Background(), dir, 45, o)
		if err == nil {
			fmt.Println("restored")
		}
		return err
	}
	for _, step := range []func() error{use, restore, use} {
		for err := step(); err != nil; err = step() {
			fmt.Println("error", err)
			if again--; again < 0 {
				return
			}
		}
	}
}

// TestTheOrderOnDisk asks the kernel in which order a store writes and syncs,
// and holds it to the order that survives power cuts.
func TestTheOrderOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	calls := traced(t, "order", dir)

	restored := calls.next(-1, func(c systemCall) bool { line, _ := c.says(); return line == "restored" })
	lastClosed := 0 // the line before the restore
	for _, c := range calls {
		if line, ok := c.says(); ok && strings.HasPrefix(line, "error") {
			t.Fatal(line)
		} else if line == "closed" && c.began < restored {
			lastClosed = c.began
		}
	}
	// A checkpoint may also come by itself, between acknowledgements.
	said := func(from int, ack bool) int {
		return calls.next(from, func(c systemCall) bool { line, ok := c.says(); return ok && strings.HasPrefix(line, "ack ") == ack })
	}

	seen := map[string]int{}
	for _, c := range calls {
		from, to, renamed := c.renames()
		line, spoken := c.says()
		switch {
		case spoken && strings.HasPrefix(line, "ack "):
			seen["acknowledgement"]++
			calls.wantDurable(t, c, strings.TrimPrefix(line, "ack "), filepath.Join(dir, "wal"))
		case renamed && to == filepath.Join(dir, "data.json"):
			if c.began > lastClosed && c.began < restored {
				seen["restore"]++
				calls.wantInPlace(t, c, from, dir, said(c.began, false))
				continue
			}
			seen["checkpoint"]++
			calls.wantInPlace(t, c, from, dir, calls.next(c.began, isManifest))
			calls.wantNamedBefore(t, c, from, dir)
			calls.wantNamedAfter(t, c, dir, said(c.began, false))
		case renamed && to == filepath.Join(dir, "MANIFEST"):
			seen["MANIFEST"]++
			if !calls.writtenAndSynced(from, c.began) {
				t.Errorf("line %d: MANIFEST gets its name before it is synced", c.began)
			}
		case renamed && filepath.Ext(to) == ".wal":
			seen["segment"]++
			if !calls.writtenAndSynced(from, c.began) {
				t.Errorf("line %d: a segment gets its name before it is synced", c.began)
			}
			if !calls.synced(filepath.Dir(to), c.ended, said(c.ended, true)) {
				t.Errorf("line %d: the folder of the log is not synced between the naming of a segment and the next acknowledgement", c.began)
			}
		case renamed && filepath.Dir(to) == dir+"-backups":
			seen["backup"]++
			gone := calls.next(c.ended, func(c systemCall) bool { return c.name == "unlinkat" && len(c.paths()) == 1 && c.paths()[0] == from })
			if !calls.synced(dir+"-backups", c.ended, gone) {
				t.Errorf("line %d: a backup's other name goes before its folder is synced", c.began)
			}
		case c.name == "unlinkat" && !c.failed() && strings.HasSuffix(c.args, `.wal", 0`):
			seen["removal"]++
			calls.wantCovered(t, c, dir)
		}
	}
	for what, least := range map[string]int{"acknowledgement": 100, "restore": 1, "checkpoint": 6, "MANIFEST": 12, "segment": 5, "backup": 4, "removal": 1} {
		if seen[what] < least {
			t.Errorf("the trace shows the %s %d times, want %d at least", what, seen[what], least)
		}
	}
}

// TestASyncThatFailedIsNeverRepeated lets the kernel refuse some syncs. The
// next one of the same file would succeed, although what the first could not
// write may be lost; so there must be none, and nothing more written there.
func TestASyncThatFailedIsNeverRepeated(t *testing.T) {
	failures := map[bool]int{} // true: of the log
	for _, inject := range []string{"fdatasync:error=EIO:when=3+6", "fsync,fdatasync:error=ENOSPC:when=7+11"} {
		dir := filepath.Join(t.TempDir(), "data")
		calls := traced(t, "order again", dir, "-e", "inject="+inject)
		for _, failed := range calls {
			path := failed.file()
			if !failed.syncs(path) || !failed.failed() || filepath.Ext(path) == "" {
				continue // a folder has no contents to lose
			}
			failures[filepath.Ext(path) == ".wal"]++
			gone := calls.next(failed.ended, func(c systemCall) bool { // from then on the name is another file's
				return c.name == "unlinkat" && len(c.paths()) == 1 && c.paths()[0] == path
			})
			opened := calls.next(failed.ended, func(c systemCall) bool { line, _ := c.says(); return line == "open" })
			for _, c := range calls {
				line, _ := c.says()
				switch {
				case c.began <= failed.ended:
				case c.began < gone && (c.writes(path) || c.syncs(path)):
					t.Errorf("%s: line %d: a sync of %s failed, and line %d goes on with the file", inject, failed.began, path, c.began)
				case c.began < opened && filepath.Ext(path) == ".wal" && strings.HasPrefix(line, "ack "):
					t.Errorf("%s: line %d: a sync of the log failed, and line %d acknowledges", inject, failed.began, c.began)
				}
			}
		}
	}
	if failures[true] < 2 || failures[false] < 2 {
		t.Errorf("%d syncs of the log failed and %d of other files, want two each at least", failures[true], failures[false])
	}
}

func isManifest(c systemCall) bool {
	_, to, ok := c.renames()
	return ok && filepath.Base(to) == "MANIFEST"
}

// wantDurable wants the batch with a word synced before the word is
// acknowledged.
func (t trace) wantDurable(test *testing.T, ack systemCall, word, walDir string) {
	test.Helper()
	for _, c := range t {
		if c.name == "pwrite64" && filepath.Dir(c.file()) == walDir && strings.Contains(c.args, word) && c.ended < ack.began {
			if t.synced(c.file(), c.ended, ack.began) {
				return
			}
		}
	}
	test.Errorf("line %d: %s is acknowledged before a sync of the batch with it", ack.began, word)
}

// wantInPlace wants a new data.json synced, and its temporary name too, before
// the call that gives it its name, and the folder synced after that, before a
// line.
func (t trace) wantInPlace(test *testing.T, c systemCall, temp, dir string, before int) {
	test.Helper()
	if !t.writtenAndSynced(temp, c.began) {
		test.Errorf("line %d: data.json is replaced before the new one is synced", c.began)
	}
	if !t.synced(dir, t.made(temp), c.began) {
		test.Errorf("line %d: data.json is replaced before the folder with the new one is synced", c.began)
	}
	if !t.synced(dir, c.ended, before) {
		test.Errorf("line %d: the folder is not synced between the replacing of data.json and line %d", c.began, before)
	}
}

// made returns the line of the call that made a file.
func (t trace) made(path string) int {
	return t.next(-1, func(c systemCall) bool {
		return c.name == "openat" && strings.Contains(c.args, path) && strings.Contains(c.args, "O_CREAT")
	})
}

// wantNamedBefore wants a MANIFEST on disk, made after the coming data.json was
// there with its name, before the call that puts that in place.
func (t trace) wantNamedBefore(test *testing.T, c systemCall, temp, dir string) {
	test.Helper()
	for _, m := range t {
		if isManifest(m) && m.ended < c.began && t.writtenAndSynced(temp, m.began) && t.synced(dir, t.made(temp), m.began) && t.synced(dir, m.ended, c.began) && t.names(m, temp) {
			return
		}
	}
	test.Errorf("line %d: data.json is replaced before a MANIFEST that names the new one is on disk", c.began)
}

// names tells whether the MANIFEST that a call puts in place has a name in it.
func (t trace) names(m systemCall, temp string) bool {
	from, _, _ := m.renames()
	for _, c := range t {
		if c.writes(from) && c.began < m.began && strings.Contains(c.args, filepath.Base(temp)) {
			return true
		}
	}
	return false
}

// wantNamedAfter wants another MANIFEST on disk after data.json was replaced,
// before anybody is told.
func (t trace) wantNamedAfter(test *testing.T, c systemCall, dir string, told int) {
	test.Helper()
	for _, m := range t {
		if isManifest(m) && m.began > c.ended && m.ended < told && t.synced(dir, m.ended, told) {
			return
		}
	}
	test.Errorf("line %d: after data.json was replaced no MANIFEST is on disk before the next message", c.began)
}

// wantCovered wants a snapshot of all that a segment holds in place, durably,
// before the segment goes; or another name of it on disk, if it is set aside.
func (t trace) wantCovered(test *testing.T, gone systemCall, dir string) {
	test.Helper()
	path := gone.paths()[0]
	generation, _, _ := strings.Cut(filepath.Base(path), "-")
	end := -1 // the first change of the segment after it
	for _, c := range t {
		from, to, ok := c.renames()
		switch {
		case !ok || c.ended > gone.began:
		case from == path && t.synced(filepath.Dir(to), c.ended, gone.began):
			return
		case filepath.Ext(to) == ".wal" && filepath.Base(to) > generation+"." && end < 0:
			fmt.Sscanf(to[strings.LastIndexByte(to, '-')+1:], "%d", &end)
		}
	}
	for _, c := range t {
		temp, to, ok := c.renames()
		if ok && to == filepath.Join(dir, "data.json") && t.synced(dir, c.ended, gone.began) && end >= 0 && t.snapshotSeq(temp) >= end-1 {
			return
		}
	}
	test.Errorf("line %d: %s is removed before a snapshot of change %d is on disk", gone.began, path, end-1)
}

var seqLine = regexp.MustCompile(`\\"seq\\": (\d+)`)

// snapshotSeq reads the position out of what was written into a data.json.
func (t trace) snapshotSeq(path string) int {
	for _, c := range t {
		if m := seqLine.FindStringSubmatch(c.args); c.writes(path) && m != nil {
			n, _ := strconv.Atoi(m[1])
			return n
		}
	}
	return -1
}
