package atomicstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVerifySaysWhatTheNextOpenDoes damages a store in many ways and opens it:
// what Verify and Look foretell is what comes.
func TestVerifySaysWhatTheNextOpenDoes(t *testing.T) {
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		must(err)
		return data
	}
	manifest := func(p home) string { return filepath.Join(p.data, manifestName) }
	backup := func(p home, seq uint64) string {
		list, err := Backups(p.backups)
		must(err)
		i := slices.IndexFunc(list, func(b Backup) bool { return b.Seq == seq })
		return list[i].Path
	}
	edit := func(path, old, new string) {
		data := read(path)
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s does not have %q", path, old)
		}
		must(os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600))
	}
	rot := func(path, old, new string) {
		info, err := os.Stat(path)
		must(err)
		edit(path, old, new)
		must(os.Chtimes(path, info.ModTime(), info.ModTime()))
	}
	wal := func(p home) string { return filepath.Join(p.data, walName) }
	noLog := func(p home) { must(os.RemoveAll(wal(p))) }
	crashed := func(p home) { // what it was closed with is still there
		m, err := decodeManifest(read(manifest(p)))
		must(err)
		m.closed = false
		must(os.WriteFile(manifest(p), m.encode(), 0o600))
	}
	noBackups := func(p home) { must(os.RemoveAll(p.backups)); must(os.Mkdir(p.backups, 0o700)) }
	for name, test := range map[string]struct {
		damage func(p home)
		path   func(p home) string // of the first finding; nil for none
		next   Next
		how    string
		lines  string // after Open
	}{
		"nothing":                  {func(home) {}, nil, "", "", "one two three"},
		"data.json does not parse": {func(p home) { p.put(t, `{"format": 1, "st`) }, home.file, NextRepairs, "sets it aside and makes it anew of backup-1-", "one two three"},
		"data.json is empty":       {func(p home) { p.put(t, "") }, home.file, NextRepairs, "sets it aside", "one two three"},
		"data.json has rotted":     {func(p home) { rot(p.file(), "three", "thref") }, home.file, NextRepairs, "sets it aside", "one two three"},
		"data.json is missing":     {func(p home) { must(os.Remove(p.file())) }, home.file, NextRepairs, "makes it anew of backup-1-", "one two three"},
		"data.json was edited":     {func(p home) { edit(p.file(), "three", "drei") }, home.file, NextTakesOver, "takes it over; if nobody edited it, move it away, and the next start makes it anew of backup-1-", "one two drei"},
		"another data.json":        {func(p home) { p.put(t, `{"lines": ["his"]}`) }, nil, "", "", "his"},
		"a backup was put there":   {func(p home) { p.put(t, string(read(backup(p, 1)))) }, nil, "", "", "one"},
		"MANIFEST is damaged":      {func(p home) { edit(manifest(p), "seq", "sec") }, manifest, NextRepairs, "writes it anew", "one two three"},
		"MANIFEST is missing":      {func(p home) { must(os.Remove(manifest(p))) }, nil, "", "", "one two three"},
		"of a newer program":       {func(p home) { edit(p.file(), `"format": 1`, `"format": 9`) }, home.file, NextRefuses, "refuses", ""},
		"the log is missing":       {noLog, nil, "", "", "one two three"},
		"and there was a crash":    {func(p home) { noLog(p); crashed(p) }, wal, NextRefuses, "refuses: put the folder back, or remove MANIFEST", ""},
		"and an empty folder":      {func(p home) { noLog(p); must(os.Mkdir(wal(p), 0o700)); crashed(p) }, wal, NextRefuses, "refuses: put the folder back", ""},
		"and MANIFEST is damaged":  {func(p home) { noLog(p); edit(manifest(p), "seq", "sec") }, wal, NextGoesOn, "goes on from data.json alone, after change 3", "one two three"},
		"and MANIFEST is missing":  {func(p home) { noLog(p); must(os.Remove(manifest(p))) }, nil, "", "", "one two three"},
		"a change has rotted":      {func(p home) { path, _ := segmentOf(t, p.data); edit(path, "two", "tvo") }, func(p home) string { path, _ := segmentOf(t, p.data); return path }, NextRefuses, "refuses", ""},
		"and a backup put there": {func(p home) {
			path, _ := segmentOf(t, p.data)
			edit(path, "two", "tvo")
			p.put(t, string(read(backup(p, 1))))
		}, func(p home) string { path, _ := segmentOf(t, p.data); return path }, NextTakesOver, "sets the log aside", "one"},
		"a backup is damaged":       {func(p home) { edit(backup(p, 1), "one", "oen") }, func(p home) string { return backup(p, 1) }, NextIgnores, "cannot be restored", "one two three"},
		"rotten, without a backup":  {func(p home) { noBackups(p); rot(p.file(), "three", "thref") }, home.file, NextRepairs, "makes it anew of the log, which has every change", "one two three"},
		"missing, with the log":     {func(p home) { must(os.Remove(p.file())); must(os.RemoveAll(p.data + "/wal")) }, home.file, NextRefuses, "refuses: no backup", ""},
		"unparsable, with MANIFEST": {func(p home) { p.put(t, "}"); must(os.WriteFile(manifest(p), []byte("what?"), 0o600)) }, home.file, NextRepairs, "sets it aside", "one two three"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newHome(t)
			s := p.open(t)
			mustWrite(t, s, "one")
			checkpoint(t, s)
			at := mustWrite(t, s, "two", "three")
			mustClose(t, s)
			test.damage(p)
			report, err := Verify(t.Context(), p.data, &VerifyOptions{BackupDir: p.backups})
			v, lookErr := Look(t.Context(), p.data, p.options())
			if test.path == nil {
				if err != nil || lookErr != nil || len(report.Findings)+len(v.Findings) > 0 {
					t.Errorf("Verify found %v, %+v, Look %v, %+v", err, report.Findings, lookErr, v.Findings)
				}
			} else {
				for of, list := range map[string][]Finding{"Verify": report.Findings, "Look": v.Findings} {
					if of == "Look" && test.next == NextIgnores {
						continue // it reads no backup
					}
					if len(list) == 0 || list[0].Path != test.path(p) || list[0].Next != test.next || list[0].Error == "" || !strings.Contains(list[0].How, test.how) {
						t.Errorf("%s found %+v, want %s %q of %s", of, list, test.next, test.how, test.path(p))
					}
				}
				var corrupt *CorruptError
				if !errors.As(err, &corrupt) || corrupt.Path != test.path(p) {
					t.Errorf("Verify gives %v", err)
				}
			}
			if v.Epoch != at.Epoch && name != "another data.json" && v.Epoch != "" {
				t.Errorf("Look says epoch %s, want %s", v.Epoch, at.Epoch)
			}
			s, err = openLedger(p.data, p.options())
			if (err != nil) != (test.next == NextRefuses) {
				t.Fatalf("Open gives %v", err)
			}
			if err != nil {
				return
			}
			defer mustClose(t, s)
			_, now := s.State()
			if got := strings.Join(lines(s), " "); got != test.lines {
				t.Errorf("the store has %q, want %q", got, test.lines)
			}
			if test.next == NextRepairs && now != at {
				t.Errorf("repaired, it is at %s, want %s", now, at)
			}
		})
	}
}

func TestBackupsThatCannotBeReadAreAFindingBesideAllElse(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two")
	mustClose(t, s)
	o := p.options()
	o.BackupDir = p.file() // no folder: nobody, root included, reads it as one
	r, err := Verify(t.Context(), p.data, &VerifyOptions{BackupDir: o.BackupDir})
	if err == nil || len(r.Findings) != 1 || r.Findings[0].Next != NextUnknown || r.Findings[0].Path != o.BackupDir || r.Last != 2 {
		t.Errorf("Verify gives %v, %+v", err, r)
	}
	v, err := Look(t.Context(), p.data, o)
	if err == nil || len(v.Findings) != 1 || v.Findings[0].Next != NextUnknown || v.Last != 2 {
		t.Errorf("Look gives %v, %+v", err, v)
	}
}

func TestDamageComesWithWhatToDoFromOpenAlone(t *testing.T) {
	p := newHome(t)
	s := p.open(t)
	mustWrite(t, s, "one", "two")
	mustClose(t, s)
	file := func(name, text string) string {
		path := filepath.Join(p.data, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		filepath.Join(p.data, manifestName):          "is no backup",
		file("photo.jpg", "\xff\xd8\xff"):            "is no backup",
		file("plain.json", `{"lines":[]}`):           "is no backup",
		file("copy.json", "{\n\"format\": 1,\n\"ep"): "is damaged",
		file(backupName(3, time.Now()), ""):          "is damaged",
	} {
		err := Restore(t.Context(), p.data, path, p.options())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "before opening") || errors.Is(err, ErrNoBackup) != (want == "is no backup") {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	path, data := segmentOf(t, p.data)
	data[frames(t, data)[0]+batchHeader] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLedger(p.data, p.options()); err == nil || !strings.Contains(err.Error(), "before opening again") {
		t.Errorf("Open gives %v", err)
	}
	if _, err := Verify(t.Context(), p.data, &VerifyOptions{BackupDir: p.backups}); err == nil || strings.Contains(err.Error(), "before opening") {
		t.Errorf("Verify gives %v", err)
	}
}
