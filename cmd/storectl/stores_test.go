package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

// home is a store with its backups beside it, as contestd keeps them.
type home struct{ folder, data, backups string }

func newHome(t testing.TB) home {
	dir := t.TempDir()
	return home{dir, filepath.Join(dir, "data"), filepath.Join(dir, "backups")}
}

func (h home) options() *atomicstore.Options {
	return &atomicstore.Options{
		BackupDir:    h.backups,
		SegmentBytes: 4 << 10,
		// More than any test writes: a reader may fall far behind.
		KeepModifications: 1000,
		MaxAge:            100 * 365 * 24 * time.Hour, // the clock of still begins in 2000
	}
}

// still runs f while the clock stands still, so that a store makes no snapshot
// but those that f asks for.
func still(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// notes is the state of one kind of store, with events of several kinds.
type notes struct {
	Notes []note `json:"notes"`
}

type note struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

type noteEvent struct {
	Added   *note    `json:"added,omitempty"`
	Removed *removed `json:"removed,omitempty"`
}

type removed struct {
	ID int `json:"id"`
}

func (n *notes) Clone() *notes { return &notes{slices.Clone(n.Notes)} }

func applyNote(n *notes, e noteEvent) error {
	if e.Added != nil {
		n.Notes = append(n.Notes, *e.Added)
		return nil
	}
	n.Notes = slices.DeleteFunc(n.Notes, func(x note) bool { return x.ID == e.Removed.ID })
	return nil
}

type noteStore = atomicstore.Store[*notes, noteEvent]

func (h home) openNotes(t testing.TB) *noteStore {
	t.Helper()
	s, err := atomicstore.Open(h.data, &notes{Notes: []note{}}, applyNote, h.options())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write adds a note for each text, whose id is the seq that it gets.
func write(t testing.TB, s *noteStore, texts ...string) (at atomicstore.Position) {
	t.Helper()
	for _, text := range texts {
		_, last := s.State()
		at = update(t, s, noteEvent{Added: &note{int(last.Seq) + 1, text}})
	}
	return at
}

func update[S atomicstore.Cloner[S], E any](t testing.TB, s *atomicstore.Store[S, E], events ...E) atomicstore.Position {
	t.Helper()
	at, err := s.Update(t.Context(), func(S) ([]E, error) { return events, nil })
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func checkpoint[S atomicstore.Cloner[S], E any](t testing.TB, s *atomicstore.Store[S, E]) {
	t.Helper()
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func closeStore(t testing.TB, s io.Closer) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// texts are those of the notes in the store.
func (h home) texts(t *testing.T) (list []string) {
	t.Helper()
	still(t, func(t *testing.T) {
		s := h.openNotes(t)
		defer closeStore(t, s)
		state, _ := s.State()
		for _, n := range state.Notes {
			list = append(list, n.Text)
		}
	})
	return list
}

// votes is the state of another kind of store, with events of one kind.
type votes map[string]int

type vote struct {
	For string `json:"for"`
}

func (v votes) Clone() votes { return maps.Clone(v) }

func (h home) openVotes(t testing.TB) *atomicstore.Store[votes, vote] {
	t.Helper()
	s, err := atomicstore.Open(h.data, votes{}, func(v votes, e vote) error { v[e.For]++; return nil }, h.options())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// threeNotes is a closed store with backups of before the changes 1 and 3.
func threeNotes(t *testing.T) home {
	h := newHome(t)
	still(t, func(t *testing.T) {
		s := h.openNotes(t)
		write(t, s, "one", "two")
		checkpoint(t, s)
		write(t, s, "three")
		closeStore(t, s)
	})
	return h
}

// backup returns the path of the backup after a change.
func (h home) backup(t testing.TB, seq uint64) string {
	t.Helper()
	list, err := atomicstore.Backups(h.backups)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if b.Seq == seq {
			return b.Path
		}
	}
	t.Fatalf("no backup after change %d: %v", seq, list)
	return ""
}

// keepOpen is a program that has a store open until its input ends.
func keepOpen(dir string) {
	h := home{data: dir, backups: filepath.Join(filepath.Dir(dir), "backups")}
	s, err := atomicstore.Open(h.data, &notes{Notes: []note{}}, applyNote, h.options())
	if err != nil {
		fmt.Println(err)
		return
	}
	at, err := s.Update(context.Background(), func(*notes) ([]noteEvent, error) {
		return []noteEvent{{Added: &note{1, "from a child"}}}, nil
	})
	fmt.Println("open", at.Seq, err)
	io.Copy(io.Discard, os.Stdin)
	s.Close()
}

// openInChild opens a store in a process of its own.
func (h home) openInChild(t testing.TB) (closeIt func()) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+h.data)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	n, _ := out.Read(said)
	if !strings.HasPrefix(string(said[:n]), "open") {
		t.Fatalf("the child says %q", said[:n])
	}
	return func() {
		in.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// decode reads JSON that a command printed.
func decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// decodeSome reads a part of the JSON that a command printed.
func decodeSome[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// segments are the files of the log, oldest first.
func (h home) segments(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(h.data, "wal", "*.wal"))
	if err != nil || len(list) == 0 {
		t.Fatalf("segments %v, %v", list, err)
	}
	return list
}

// flip changes one bit of a file, in the first place where it has a text.
func flip(t testing.TB, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(data), text)
	if at < 0 {
		t.Fatalf("%s does not have %q", path, text)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// modified lets a file keep the time that it was last written at, as rot does.
func modified(t testing.TB, path string) (keep func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
}
