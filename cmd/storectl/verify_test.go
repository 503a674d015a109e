package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
)

func TestVerifySaysThatAllIsWhole(t *testing.T) {
	h := threeNotes(t)
	h.wantText(t, mustRun(t, "verify", h.data), `
log  1 to 3, 3 batches in 1 segment  ok
data.json  after change 3, SIZE  ok
MANIFEST  ok
backups  2 of 2 whole  ok
Nothing is damaged.
`)
	v := decode[verified](t, mustRun(t, "verify", "--json", h.data))
	if v.Damage != nil || v.Last != 3 || v.Changes != 3 || len(v.Backups) != 2 || v.Manifest != "ok" {
		t.Errorf("got %+v", v)
	}
}

// damaging is what can happen to a store of three notes.
var damaging = map[string]struct {
	damage func(t *testing.T, h home)
	path   func(t *testing.T, h home) string // of the damaged file
	offset int64
	seq    uint64
	row    string // of verify
	says   string
}{
	"a change": {
		func(t *testing.T, h home) { flip(t, h.segments(t)[0], "one") }, func(t *testing.T, h home) string { return h.segments(t)[0] },
		64, 1, "log unknown: the log is damaged from change 1 on, 0 batches in 1 segment damaged",
		"Damaged: the program will not start like this.\n  wal/0000000001-00000000000000000001.wal is damaged at byte 64, change 1: the batch does not match its checksum",
	},
	"a rotten data.json": {
		func(t *testing.T, h home) {
			keep := modified(t, h.data+"/data.json")
			flip(t, h.data+"/data.json", "one")
			keep()
		}, func(t *testing.T, h home) string { return h.data + "/data.json" },
		0, 3, "damaged, will be repaired MANIFEST ok",
		"Damaged, but nothing is lost: the next start repairs it.\n  data.json: its bytes are not those that were written, and nobody wrote others; the next start sets it aside and makes it anew of backup-2-STAMP.json and the log\n",
	},
	"half a data.json": {
		func(t *testing.T, h home) { put(t, h.data+"/data.json", "{\n\"format\": 1") }, func(t *testing.T, h home) string { return h.data + "/data.json" },
		0, 0, "damaged, will be repaired MANIFEST ok",
		"Damaged, but nothing is lost: the next start repairs it.\n  data.json: it does not parse; the next start sets it aside and makes it anew of backup-2-STAMP.json and the log\n",
	},
	"no data.json": {
		func(t *testing.T, h home) { remove(t, h.data+"/data.json") }, func(t *testing.T, h home) string { return h.data + "/data.json" },
		0, 0, "data.json there is none damaged, will be repaired MANIFEST ok",
		"Damaged, but nothing is lost: the next start repairs it.\n  data.json: it is missing; the next start makes it anew of backup-2-STAMP.json and the log\n",
	},
	"an edited data.json": {
		func(t *testing.T, h home) { flip(t, h.data+"/data.json", "one") }, func(t *testing.T, h home) string { return h.data + "/data.json" },
		0, 3, "damaged MANIFEST ok",
		"data.json was edited by hand, or is damaged; the next start takes it over.\n  data.json: it does not match its checksum: edited by hand, or damaged; the next start takes it over; if nobody edited it, move it away, and the next start makes it anew of backup-2-STAMP.json and the log\n",
	},
	"a MANIFEST": {
		func(t *testing.T, h home) { put(t, h.data+"/MANIFEST", "") }, func(t *testing.T, h home) string { return h.data + "/MANIFEST" },
		0, 0, "ok MANIFEST damaged, will be repaired",
		"Damaged, but nothing is lost: the next start repairs it.\n  MANIFEST: the manifest is damaged: it begins with \"\"; the next start writes it anew\n",
	},
	"no log": {
		func(t *testing.T, h home) { h.removeLog(t); h.crashed(t) }, func(t *testing.T, h home) string { return h.data + "/wal" },
		0, 4, "log there is none damaged",
		"Damaged: the program will not start like this.\n  wal: the log is missing, and the store was not closed after data.json was written, so later changes may be lost; the next start refuses: put the folder back, or remove MANIFEST to go on with data.json alone\nstorectl restore HOME/data data.json goes on from data.json, after change 3, without the log\n",
	},
}

// crashed makes MANIFEST say that the store was not closed (FORMAT.md).
func (h home) crashed(t testing.TB) {
	t.Helper()
	data, err := os.ReadFile(h.data + "/MANIFEST")
	if err != nil {
		t.Fatal(err)
	}
	lines, _, found := strings.Cut(string(data), "closed\n")
	if !found {
		t.Fatalf("MANIFEST is\n%s", data)
	}
	sum := crc32.Checksum([]byte(lines), crc32.MakeTable(crc32.Castagnoli))
	put(t, h.data+"/MANIFEST", fmt.Sprintf("%scrc32c %08x\n", lines, sum))
}

func (h home) removeLog(t testing.TB) {
	t.Helper()
	for _, path := range append(h.segments(t), h.data+"/wal") {
		remove(t, path)
	}
}

// TestAStoreThatWasClosedNeedsNoLog: the next start begins one.
func TestAStoreThatWasClosedNeedsNoLog(t *testing.T) {
	h := threeNotes(t)
	h.removeLog(t)
	for command, row := range map[string]string{"verify": "log there is none; the next start begins one ok", "stat": "log there is none; the next start begins one"} {
		if out := strings.Join(strings.Fields(mustRun(t, command, h.data)), " "); !strings.Contains(out, row) {
			t.Errorf("%s printed %s", command, out)
		}
	}
	h.wantTexts(t, "one", "two", "three")
}

// TestAStoreThatWasNotClosedGoesOnWithoutItsLogWhenTold as verify says.
func TestAStoreThatWasNotClosedGoesOnWithoutItsLogWhenTold(t *testing.T) {
	h := threeNotes(t)
	h.removeLog(t)
	h.crashed(t)
	if out := mustRun(t, "restore", h.data, "data.json", "--yes"); !strings.Contains(out, "no change: there is no log") {
		t.Errorf("printed %s", out)
	}
	h.wantTexts(t, "one", "two", "three")
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyAndStatSayWhatIsDamagedAndWhatTheNextStartDoes(t *testing.T) {
	for name, test := range damaging {
		t.Run(name, func(t *testing.T) {
			h := threeNotes(t)
			test.damage(t, h)
			path := test.path(t, h)
			for _, command := range []string{"verify", "stat"} {
				r := storectl(t, command, h.data)
				if r.err = h.constant(r.err); r.code != 1 || !strings.HasPrefix(r.err, "storectl: "+test.says) {
					t.Errorf("%s: exit code %d, %s", command, r.code, r.err)
				}
				if out := strings.Join(strings.Fields(r.out), " "); command == "verify" && !strings.Contains(out, test.row) || strings.Contains(r.out, "Nothing is damaged") {
					t.Errorf("%s printed %s", command, r.out)
				}
				r = storectl(t, command, "--json", h.data)
				v := decodeSome[struct {
					Damage   *damage
					Findings []atomicstore.Finding
				}](t, r.out)
				if r.code != 1 || v.Damage == nil || v.Damage.Path != path || v.Damage.Offset != test.offset || v.Damage.Seq != test.seq || v.Damage.Error == "" || len(v.Findings) != 1 || v.Findings[0].How == "" {
					t.Errorf("%s: got %+v, %+v", command, v.Damage, v.Findings)
				}
			}
		})
	}
}

func TestADamagedBackupIsNoReasonNotToStart(t *testing.T) {
	h := threeNotes(t)
	flip(t, h.backup(t, 2), "one")
	r := storectl(t, "verify", h.data)
	wantFailure(t, r, 1, "Damaged, but not the present state: the program starts as ever.", "backup-2-", "it cannot be restored")
	if out := strings.Join(strings.Fields(r.out), " "); !strings.Contains(out, "backups 1 of 2 whole damaged") {
		t.Errorf("printed %s", r.out)
	}
	mustRun(t, "stat", h.data)
}

func TestBackupsThatCannotBeReadDoNotKeepTheRestFromBeingShown(t *testing.T) {
	h := threeNotes(t)
	stranger := h.stranger(t, h.backups)
	for command, row := range map[string]string{"verify": "log 1 to 3, 3 batches in 1 segment ok", "stat": "changes 1 to 3"} {
		r := stranger(command, h.data)
		wantFailure(t, r, 1, "Not everything could be read.", h.backups, "permission denied", "run storectl as the user that the program runs as")
		if out := strings.Join(strings.Fields(r.out), " "); !strings.Contains(out, row) || !strings.Contains(out, "cannot be read") {
			t.Errorf("%s printed %s", command, r.out)
		}
	}
}

func TestVerifySaysWhenItFindsNoBackups(t *testing.T) {
	h := threeNotes(t)
	if err := os.Rename(h.backups, h.folder+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, "verify", h.data); !strings.Contains(out, "no folder found; name it with --backups") {
		t.Errorf("printed %s", out)
	}
}
