package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

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
	return printBackups(c, list)
}

// printBackups leaves out what the names say as well where a terminal is too
// narrow for it.
func printBackups(c *console, list []atomicstore.Backup) error {
	var whole, narrow [][]string
	for _, b := range list {
		epoch, short := b.Epoch, "?"
		if epoch == "" {
			epoch = "unreadable"
		} else {
			short = epoch[:4] + "…"
		}
		seq, name := strconv.FormatUint(b.Seq, 10), printable(filepath.Base(b.Path))
		whole = append(whole, []string{seq, stamp(b.Time), size(b.Size), epoch, name})
		narrow = append(narrow, []string{seq, size(b.Size), short, name})
	}
	var out bytes.Buffer
	if err := table(&out, []string{"CHANGE", "TIME", "SIZE", "EPOCH", "FILE"}, whole); err != nil {
		return err
	}
	for line := range strings.Lines(out.String()) {
		if c.width > 0 && utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > c.width {
			return table(c.out, []string{"CHANGE", "SIZE", "EPOCH", "FILE"}, narrow)
		}
	}
	_, err := c.out.Write(out.Bytes())
	return err
}
