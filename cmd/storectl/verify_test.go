package main

import (
	"os"
	"strings"
	"testing"
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

func TestVerifyNamesTheDamageAndFails(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(h home) string // returns the damaged file
		text   string
		offset int64
		seq    uint64
	}{
		"the log":     {func(h home) string { path := h.segments(t)[0]; flip(t, path, "one"); return path }, "none in the log, 0 batches in 1 segment damaged: 0000000001-00000000000000000001.wal, byte 64, change 1: the batch does not match its checksum", 64, 1},
		"a backup":    {func(h home) string { path := h.backup(t, 2); flip(t, path, "one"); return path }, "backups 1 of 2 whole damaged", 0, 2},
		"the present": {func(h home) string { path := h.data + "/data.json"; flip(t, path, "one"); return path }, "damaged: its bytes are not those that were written", 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := threeNotes(t)
			keep := modified(t, h.data+"/data.json")
			path := test.damage(h)
			keep()
			r := storectl(t, "verify", h.data)
			wantFailure(t, r, 1, path+" is damaged at byte", "storectl backups "+h.data)
			if out := strings.Join(strings.Fields(r.out), " "); !strings.Contains(out, test.text) || strings.Contains(r.out, "Nothing is damaged") {
				t.Errorf("printed %s", r.out)
			}
			r = storectl(t, "verify", "--json", h.data)
			v := decode[verified](t, r.out)
			if r.code != 1 || v.Damage == nil || v.Damage.Path != path || v.Damage.Offset != test.offset || v.Damage.Seq != test.seq || v.Damage.Error == "" {
				t.Errorf("got %+v", v.Damage)
			}
		})
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
