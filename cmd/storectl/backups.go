package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/contestkit/contestkit/atomicstore"
)

type backupsCommand struct {
	storeArg
	jsonFlag
}

func (backupsCommand) Help() string {
	return `Lists the backups, oldest first: the last change in each, when it became a backup, size, epoch. Epochs differ where the data was once replaced by hand or by a restore.

Examples:

    storectl backups state/data
    storectl backups --json state/data | jq -r .[-1].path`
}

func (b *backupsCommand) Run(_ context.Context, c *console) error {
	store, err := b.open()
	if err != nil {
		return err
	}
	if store.backups == "" {
		return fmt.Errorf("no folder of backups beside %s; name it with --backups, or the program keeps none", store.dir)
	}
	list, err := store.list()
	if err != nil {
		return store.advise(err)
	}
	if b.JSON {
		if list == nil {
			list = []atomicstore.Backup{} // [] in JSON
		}
		return printJSON(c.out, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(c.out, "no backups in %s yet\n", store.backups)
		return err
	}
	var rows [][]string
	for _, b := range list {
		epoch := b.Epoch
		if epoch == "" {
			epoch = "unreadable"
		}
		rows = append(rows, []string{strconv.FormatUint(b.Seq, 10), stamp(b.Time), size(b.Size), epoch, printable(filepath.Base(b.Path))})
	}
	return table(c.out, []string{"CHANGE", "TIME", "SIZE", "EPOCH", "FILE"}, rows)
}
