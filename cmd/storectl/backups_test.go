package main

import (
	"os"
	"path/filepath"
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
