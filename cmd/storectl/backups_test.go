package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
)

func TestBackupsAreListedOldestFirst(t *testing.T) {
	h := threeNotes(t)
	h.wantText(t, mustRun(t, "backups", h.data), `
CHANGE  TIME  SIZE  EPOCH  FILE
0  TIME  SIZE  EPOCH  backup-0-STAMP.json
2  TIME  SIZE  EPOCH  backup-2-STAMP.json
`)
	list := decode[[]atomicstore.Backup](t, mustRun(t, "backups", "--json", h.data))
	if len(list) != 2 || list[1].Path != h.backup(t, 2) || list[1].Seq != 2 || list[1].Size == 0 || list[1].Epoch == "" {
		t.Errorf("got %+v", list)
	}
}

func TestNoBackupsYetIsNoError(t *testing.T) {
	h := threeNotes(t)
	empty := filepath.Join(h.folder, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	h.wantText(t, mustRun(t, "backups", h.data, "--backups", empty), "no backups in HOME/empty yet\n")
	h.wantText(t, mustRun(t, "backups", "--json", h.data, "--backups", empty), "[]\n")
}

func TestTheBackupsFitANarrowTerminal(t *testing.T) {
	h := threeNotes(t)
	for _, width := range []int{60, 200} {
		var out, err bytes.Buffer
		if code := run(t.Context(), []string{"backups", h.data}, &console{out: &out, err: &err, width: width}); code != 0 {
			t.Fatal(err.String())
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSpace(line))); n > width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		if strings.Contains(out.String(), "TIME") != (width == 200) || !strings.Contains(out.String(), filepath.Base(h.backup(t, 2))) {
			t.Errorf("in %d columns: %s", width, out.String())
		}
	}
}
