package atomicstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// flipped changes a byte of a file.
func flipped(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// oneOf returns the only file that matches, or the first.
func oneOf(t *testing.T, dir, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths[0]
}

func lastError[T any](seq func(func(T, error) bool)) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

// TestEveryErrorSaysOnceWhereItComesFrom goes through what the package refuses.
func TestEveryErrorSaysOnceWhereItComesFrom(t *testing.T) {
	ctx := t.Context()
	made := func(t *testing.T, lines ...string) string { // a closed store
		dir := t.TempDir()
		s := mustOpen(t, dir, nil)
		mustWrite(t, s, lines...)
		mustClose(t, s)
		return dir
	}
	open := func(t *testing.T) *ledgerStore {
		s := mustOpen(t, t.TempDir(), &Options{MaxChangeBytes: 1000})
		t.Cleanup(func() { s.Close() })
		return s
	}
	update := func(t *testing.T, decide func(*ledger) ([]entry, error)) error {
		_, err := open(t).Update(ctx, decide)
		return err
	}
	failed := func(t *testing.T) *ledgerStore {
		d := crashfs.New()
		s := mustOpen(t, t.TempDir(), &Options{seam: seam{FS: d}})
		t.Cleanup(func() { s.Close() })
		d.Lock()
		d.FailAt, d.FailOn, d.FailErr = d.Ops+1, true, syscall.EIO
		d.Unlock()
		write(s, "lost")
		return s
	}
	elsewhere := Position{Epoch: "0123456789abcdef", Seq: 1}
	apply := func(t *testing.T, with func(*ledger, entry) error) error {
		dir := t.TempDir()
		s := mustOpen(t, dir, nil)
		checkpoint(t, s)
		s.checkpoints.stop()
		mustWrite(t, s, "one")
		crashed := t.TempDir()
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		_, err := Open(crashed, &ledger{}, with, nil)
		return err
	}

	tests := map[string]func(t *testing.T) error{
		"Open without a name":    func(*testing.T) error { _, err := openLedger("", nil); return err },
		"Open without apply":     func(t *testing.T) error { _, err := Open[*ledger, entry](t.TempDir(), &ledger{}, nil, nil); return err },
		"Open of a used one":     func(t *testing.T) error { _, err := openLedger(open(t).dir, nil); return err },
		"Open where Apply fails": func(t *testing.T) error { return apply(t, func(*ledger, entry) error { return errFull }) },
		"Open where Apply fails with an error of ours": func(t *testing.T) error {
			return apply(t, func(*ledger, entry) error { return ErrTooLarge })
		},
		"Open where Apply panics with an error of ours": func(t *testing.T) error {
			return apply(t, func(*ledger, entry) error { panic(ErrTooLarge) })
		},
		"Open of a damaged log": func(t *testing.T) error {
			dir := made(t, "one")
			flipped(t, oneOf(t, dir, "wal/*.wal"), 20)
			_, err := openLedger(dir, nil)
			return err
		},
		"Open without the log": func(t *testing.T) error {
			s := open(t)
			checkpoint(t, s)
			crashed := t.TempDir()
			for _, name := range []string{snapshotName, manifestName} {
				data, err := os.ReadFile(s.path(name))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(crashed, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := openLedger(crashed, nil)
			return err
		},
		"Open of a damaged data.json": func(t *testing.T) error {
			dir := made(t, "one")
			path := filepath.Join(dir, snapshotName)
			id, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			flipped(t, path, 30)
			if err := os.Chtimes(path, id.ModTime(), id.ModTime()); err != nil { // as rot does
				t.Fatal(err)
			}
			os.Remove(oneOf(t, dir, "wal/*.wal"))
			_, err = openLedger(dir, nil)
			return err
		},
		"Open of an unknown kind": func(t *testing.T) error {
			dir := t.TempDir()
			s, err := Open(dir, &ledger{}, func(*ledger, string) error { return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.checkpoints.stop()
			if _, err := s.Update(ctx, func(*ledger) ([]string, error) { return []string{"no kind"}, nil }); err != nil {
				t.Fatal(err)
			}
			s.fail(errFull) // so that the log is read
			s.Close()
			_, err = openLedger(dir, nil)
			return err
		},

		"Update without decide": func(t *testing.T) error { return update(t, nil) },
		"Update without a kind": func(t *testing.T) error {
			return update(t, func(*ledger) ([]entry, error) { return []entry{{}}, nil })
		},
		"Update of too much": func(t *testing.T) error { return update(t, adds(strings.Repeat("x", 2000))) },
		"Update that panics": func(t *testing.T) error { return update(t, adds("panic")) },
		"Update that panics with an error of ours": func(t *testing.T) error {
			return update(t, func(*ledger) ([]entry, error) { panic(fmt.Errorf("no: %w", ErrClosed)) })
		},
		"Update that cannot be encoded": func(t *testing.T) error {
			s, err := Open(t.TempDir(), &ledger{}, func(*ledger, any) error { return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Update(ctx, func(*ledger) ([]any, error) { return []any{func() {}}, nil })
			return err
		},
		"Update of a closed one": func(t *testing.T) error { s := open(t); mustClose(t, s); _, err := write(s, "late"); return err },
		"Update on a bad disk":   func(t *testing.T) error { _, err := write(failed(t), "late"); return err },
		"Update given up": func(t *testing.T) error {
			s := open(t)
			ctx, cancel := context.WithCancel(ctx)
			over := make(chan struct{})
			defer close(over)
			_, err := s.Update(ctx, func(*ledger) ([]entry, error) { cancel(); <-over; return nil, nil })
			return err
		},

		"WaitFor another epoch": func(t *testing.T) error { return open(t).WaitFor(ctx, elsewhere) },
		"WaitFor on a bad disk": func(t *testing.T) error { s := failed(t); return s.WaitFor(ctx, Position{s.checkpoints.epoch, 9}) },
		"Err":                   func(t *testing.T) error { return failed(t).Err() },
		"Changes of an epoch":   func(t *testing.T) error { return lastError(open(t).Changes(ctx, elsewhere)) },
		"Changes ahead": func(t *testing.T) error {
			s := open(t)
			return lastError(s.Changes(ctx, Position{s.checkpoints.epoch, 9}))
		},
		"At ahead": func(t *testing.T) error { _, err := open(t).At(ctx, 9); return err },
		"At without backups": func(t *testing.T) error {
			s := open(t)
			mustWrite(t, s, "one", "two")
			checkpoint(t, s)
			_, err := s.At(ctx, 1)
			return err
		},
		"Checkpoint of a closed one": func(t *testing.T) error { s := open(t); mustClose(t, s); return s.Checkpoint(ctx) },
		"Checkpoint on a bad disk": func(t *testing.T) error {
			d := crashfs.New()
			s := mustOpen(t, t.TempDir(), &Options{seam: seam{FS: d}})
			defer s.Close()
			s.checkpoints.stop()
			mustWrite(t, s, "one")
			d.Lock()
			d.FailAt, d.FailOn, d.FailErr = d.Ops+1, true, syscall.EIO
			d.Unlock()
			return s.Checkpoint(ctx)
		},

		"Restore of nothing":          func(t *testing.T) error { return Restore(t.Context(), made(t, "one"), "nothing", nil) },
		"Restore in use":              func(t *testing.T) error { return Restore(t.Context(), open(t).dir, "nothing", nil) },
		"Restore of no backup":        func(t *testing.T) error { return Restore(t.Context(), made(t, "one"), os.Args[0], nil) },
		"RestoreBefore the beginning": func(t *testing.T) error { return RestoreBefore(t.Context(), made(t, "one"), 0, nil) },
		"RestoreBefore what is not":   func(t *testing.T) error { return RestoreBefore(t.Context(), made(t, "one"), 9, nil) },
		"RestoreBefore no backup":     func(t *testing.T) error { return RestoreBefore(t.Context(), made(t, "one"), 1, nil) },
		"PlanRestore of no backup": func(t *testing.T) error {
			_, err := PlanRestore(t.Context(), made(t, "one"), os.Args[0], nil)
			return err
		},
		"PlanRestoreBefore what is not": func(t *testing.T) error { _, err := PlanRestoreBefore(t.Context(), made(t, "one"), 9, nil); return err },

		"Verify of nothing": func(t *testing.T) error { _, err := Verify(ctx, filepath.Join(t.TempDir(), "no"), nil); return err },
		"Verify of damage": func(t *testing.T) error {
			dir := made(t, "one")
			flipped(t, oneOf(t, dir, "wal/*.wal"), 20)
			_, err := Verify(ctx, dir, nil)
			return err
		},
		"Look at damage": func(t *testing.T) error {
			dir := made(t, "one")
			flipped(t, oneOf(t, dir, "wal/*.wal"), 20)
			_, err := Look(ctx, dir, nil)
			return err
		},
		"Look at nothing": func(t *testing.T) error { _, err := Look(ctx, filepath.Join(t.TempDir(), "no"), nil); return err },
		"Records of nothing": func(t *testing.T) error {
			return lastError(Records(ctx, filepath.Join(t.TempDir(), "no"), Position{}, nil))
		},
		"Records ahead": func(t *testing.T) error {
			dir := made(t, "one")
			v, err := Look(ctx, dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			return lastError(Records(ctx, dir, Position{v.Epoch, 9}, nil))
		},
		"Records of an epoch":   func(t *testing.T) error { return lastError(Records(ctx, made(t, "one"), elsewhere, nil)) },
		"ReadSnapshot":          func(t *testing.T) error { _, err := ReadSnapshot(os.Args[0]); return err },
		"ReadSnapshot of none":  func(t *testing.T) error { _, err := ReadSnapshot("no"); return err },
		"InUse of nothing":      func(t *testing.T) error { _, err := InUse("/dev/null"); return err },
		"Backups of no folder":  func(t *testing.T) error { _, err := Backups("/dev/null"); return err },
		"an id of a change":     func(*testing.T) error { return new(ChangeID).UnmarshalText([]byte("one")) },
		"ErrAhead":              func(*testing.T) error { return ErrAhead },
		"ErrLocked":             func(*testing.T) error { return ErrLocked },
		"ErrOverloaded":         func(*testing.T) error { return ErrOverloaded },
		"ErrNoBackup":           func(*testing.T) error { return ErrNoBackup },
		"ErrInside":             func(*testing.T) error { return fmt.Errorf("%w", ErrInside) },
		"ErrReplaced":           func(*testing.T) error { return ErrReplaced },
		"ErrDiskFull":           func(*testing.T) error { return ErrDiskFull },
		"a record inside of us": func(*testing.T) error { return &CorruptError{Err: fmt.Errorf("no: %w", ErrUnknownKind)} },
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test(t)
			if err == nil {
				t.Fatal("it is not refused")
			}
			t.Log(err)
			if text := err.Error(); !strings.HasPrefix(text, prefix) || strings.Count(text, prefix) != 1 {
				t.Errorf("got %q, want %q once, in front", text, prefix)
			}
		})
	}
}
