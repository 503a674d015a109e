package atomicstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"pgregory.net/rapid"
)

// model is what a store must be: a list, and what the list was before each
// change.
type model struct {
	rt    *rapid.T
	dir   string
	disk  *crashfs.Disk
	store *ledgerStore
	lines []string
	made  []modification
	count int // of lines ever made
}

type modification struct {
	at     Position
	before []string
}

const modelKeeps = 6 // modifications that can be undone

func (m *model) options() *Options {
	return &Options{SegmentBytes: 512, BackupDir: "/backups", KeepModifications: modelKeeps, KeepBackups: 2, seam: seam{FS: m.disk}}
}

func (m *model) open() {
	s, err := openLedger(m.dir, m.options())
	if err != nil {
		m.rt.Fatalf("the store does not open: %v", err)
	}
	m.store = s
	m.compare()
}

func (m *model) close() {
	if err := m.store.Close(); err != nil {
		m.rt.Fatalf("close: %v", err)
	}
}

func (m *model) compare() {
	if got := lines(m.store); !slices.Equal(got, m.lines) {
		m.rt.Fatalf("the ledger has %q, want %q", got, m.lines)
	}
}

func (m *model) line() string {
	m.count++
	return fmt.Sprint(m.count)
}

// note adds a change that was made.
func (m *model) note(at Position, events []entry) {
	if n := len(m.made); n > 0 && at.Seq <= m.made[n-1].at.Seq {
		m.rt.Fatalf("after change %d comes %d", m.made[n-1].at.Seq, at.Seq)
	}
	m.made = append(m.made, modification{at, slices.Clone(m.lines)})
	l := &ledger{slices.Clone(m.lines)}
	for _, e := range events {
		applyEntry(l, e)
	}
	m.lines = l.Lines
}

func (m *model) events() []entry {
	var events []entry
	for range rapid.IntRange(1, 3).Draw(m.rt, "events") {
		if rapid.IntRange(0, 9).Draw(m.rt, "kind") == 0 {
			events = append(events, entry{Cleared: &cleared{}})
		} else {
			events = append(events, add(m.line()))
		}
	}
	return events
}

func (m *model) update() {
	events := m.events()
	at, err := m.store.Update(m.rt.Context(), func(*ledger) ([]entry, error) { return events, nil })
	if err != nil {
		m.rt.Fatalf("update: %v", err)
	}
	m.note(at, events)
	m.compare()
}

func (m *model) view() {
	_, present := m.store.State()
	for _, made := range m.made[max(0, len(m.made)-modelKeeps):] {
		if made.at.Epoch != present.Epoch {
			continue
		}
		old, err := m.store.At(m.rt.Context(), made.at.Seq-1)
		if err != nil || !slices.Equal(old.Lines, made.before) {
			m.rt.Fatalf("before %s of %s: got %v and %v, want %q", made.at, present, old, err, made.before)
		}
	}
}

func (m *model) checkpoint() {
	if err := m.store.Checkpoint(m.rt.Context()); err != nil {
		m.rt.Fatalf("checkpoint: %v", err)
	}
}

// powerCut takes what was not synced, as chance has it.
func (m *model) powerCut() {
	seed := rapid.Uint64().Draw(m.rt, "seed")
	cut := m.disk.AfterCrash(crashfs.KeepSome(seed))
	m.store.Close() // of the disk that is no more
	m.disk = cut
	m.open()
}

// powerCutUnderWay comes within an update or a checkpoint.
func (m *model) powerCutUnderWay() {
	m.disk.Lock()
	m.disk.CrashAt = m.disk.Ops + rapid.IntRange(1, 25).Draw(m.rt, "after operations")
	m.disk.Unlock()
	_, acknowledged := m.store.State()
	var events []entry
	for {
		events = m.events()
		at, err := m.store.Update(m.rt.Context(), func(*ledger) ([]entry, error) { return events, nil })
		if err != nil {
			break
		}
		m.note(at, events)
		acknowledged = at
		m.store.Checkpoint(m.rt.Context())
	}
	seed := rapid.Uint64().Draw(m.rt, "seed")
	cut := m.disk.AfterCrash(crashfs.KeepSome(seed))
	m.store.Close()
	m.disk = cut
	s, err := openLedger(m.dir, m.options())
	if err != nil {
		m.rt.Fatalf("the store does not open: %v", err)
	}
	m.store = s
	if _, at := s.State(); at.Seq == acknowledged.Seq+1 {
		m.note(at, events) // it is there, whole
	} else if at != acknowledged {
		m.rt.Fatalf("the store is at %s, %s was acknowledged", at, acknowledged)
	}
	m.compare()
}

// operator puts a data.json there while the store is open.
func (m *model) operator(content []byte, want []string) {
	byRename := rapid.Bool().Draw(m.rt, "by rename")
	path := filepath.Join(m.dir, snapshotName)
	m.disk.Put(path, byRename, string(content))
	switch rapid.IntRange(0, 2).Draw(m.rt, "then") {
	case 0:
		m.close()
	case 1:
		elapse(2 * watchEvery)
		if _, err := write(m.store, "late"); !errors.Is(err, ErrReplaced) {
			m.rt.Fatalf("got %v, want ErrReplaced", err)
		}
		m.close()
	case 2: // the power goes
		seed := rapid.Uint64().Draw(m.rt, "seed")
		cut := m.disk.AfterCrash(crashfs.KeepSome(seed))
		m.close()
		m.disk = cut
	}
	m.lines = want
	m.open()
}

func (m *model) editedState() {
	state := &ledger{Lines: []string{"his " + m.line()}}
	data, err := json.Marshal(state)
	if err != nil {
		m.rt.Fatal(err)
	}
	m.operator(data, state.Lines)
}

// aBackup chooses one, and says what it holds.
func (m *model) aBackup() (b Backup, content []byte, want []string) {
	list, err := backupCache{}.list(m.disk, "/backups")
	if err != nil {
		m.rt.Fatal(err)
	}
	b = list[rapid.IntRange(0, len(list)-1).Draw(m.rt, "backup")]
	if content, err = m.disk.Read(b.Path); err != nil {
		m.rt.Fatal(err)
	}
	snap, _, err := decodeSnapshot(content)
	if err != nil {
		m.rt.Fatal(err)
	}
	state, err := loadState[*ledger](snap.State)
	if err != nil {
		m.rt.Fatal(err)
	}
	return b, content, state.Lines
}

func (m *model) copiedBackup() {
	_, content, want := m.aBackup()
	if present, err := m.disk.Read(filepath.Join(m.dir, snapshotName)); err != nil || bytes.Equal(present, content) {
		m.rt.Skip("byte for byte what is there")
	}
	m.operator(content, want)
}

func (m *model) restore() {
	m.close() // which may remove old backups
	b, _, want := m.aBackup()
	if err := Restore(context.Background(), m.dir, b.Path, m.options()); err != nil {
		m.rt.Fatalf("restore: %v", err)
	}
	m.lines = want
	m.open()
}

func (m *model) undo() {
	if len(m.made) == 0 {
		m.rt.Skip("nothing to undo")
	}
	back := rapid.IntRange(1, min(modelKeeps, len(m.made))).Draw(m.rt, "changes back")
	made := m.made[len(m.made)-back]
	m.close()
	if err := RestoreBefore(context.Background(), m.dir, made.at.Seq, m.options()); err != nil {
		m.rt.Fatalf("undo %s, %d changes back: %v", made.at, back, err)
	}
	m.lines = made.before
	m.open()
}

// TestAStoreIsItsModel does random things to a store and compares it with a
// plain list after each.
func TestAStoreIsItsModel(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		// Wrapped, since rapid asks a *testing.T for the deadline of real time.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			m := &model{rt: rt, dir: dir, disk: crashfs.New()}
			m.open()
			defer func() { m.store.Close() }()
			rt.Repeat(map[string]func(*rapid.T){
				"update":             func(*rapid.T) { m.update() },
				"update again":       func(*rapid.T) { m.update() },
				"view":               func(*rapid.T) { m.view() },
				"checkpoint":         func(*rapid.T) { m.checkpoint() },
				"time":               func(rt *rapid.T) { elapse(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond) },
				"close":              func(*rapid.T) { m.close(); m.open() },
				"power cut":          func(*rapid.T) { m.powerCut() },
				"power cut in use":   func(*rapid.T) { m.powerCutUnderWay() },
				"operator edits":     func(*rapid.T) { m.editedState() },
				"operator cp backup": func(*rapid.T) { m.copiedBackup() },
				"restore":            func(*rapid.T) { m.restore() },
				"restore before":     func(*rapid.T) { m.undo() },
			})
		})
	})
}
