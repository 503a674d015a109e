package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/contestkit/contestkit/atomicstore"
)

type verifyCommand struct {
	storeArg
	jsonFlag
}

func (verifyCommand) Help() string {
	return `Reads the log, data.json and every backup, and checks each against its checksum. The exit code is 1 when any is damaged; the first damage is named with its file, byte and change.

Bytes behind the last batch that are no batch are no damage: a crash cut them off before they were acknowledged.

Examples:

    storectl verify state/data
    storectl verify --json state/data > report.json || mail -s damage me < report.json`
}

// verified is what verify prints as JSON.
type verified struct {
	*atomicstore.Report
	Damage *damage `json:"damage"` // the first one; null when all is whole
}

func (v *verifyCommand) Run(ctx context.Context, c *console) error {
	store, err := v.open()
	if err != nil {
		return err
	}
	bar := c.bar("verify", true)
	report, err := atomicstore.Verify(ctx, store.dir, &atomicstore.VerifyOptions{BackupDir: store.options().BackupDir, Progress: bar.set})
	bar.clear()
	if err := ctx.Err(); err != nil {
		return err
	}
	found := damageOf(err)
	if err != nil && found == nil {
		return store.advise(err)
	}
	printed := error(nil)
	if v.JSON {
		printed = printJSON(c.out, verified{report, found})
	} else {
		printed = printReport(c, store, report, found)
	}
	return errors.Join(printed, store.advise(err))
}

func printReport(c *console, s *store, r *atomicstore.Report, found *damage) error {
	whole := c.paint(green, "ok")
	bad := func(what string) string { return c.paint(red, "damaged") + ": " + printable(what) }
	state := func(damaged string) string {
		if damaged != "" {
			return bad(damaged)
		}
		return whole
	}
	log := whole
	if found.inLog() {
		log = bad(fmt.Sprintf("%s, byte %d, change %d: %s", filepath.Base(found.Path), found.Offset, found.Seq, found.Error))
	}
	manifest := whole
	if r.Manifest != "ok" {
		manifest = c.paint(yellow, printable(r.Manifest)+": the next start writes it anew")
	}
	rows := [][]string{
		{"log", fmt.Sprintf("%s, %s in %s", changesHeld(r.First, r.Last, nil), count(r.Batches, "batch"), count(len(r.Segments), "segment")), log},
		{"data.json", snapshotLine(atomicstore.SnapshotReport{Seq: r.Snapshot.Seq, Size: r.Snapshot.Size, Whose: r.Snapshot.Whose}), state(r.Snapshot.Error)},
		{"MANIFEST", "", manifest},
	}
	damaged := 0
	for _, b := range r.Backups {
		if b.Error != "" {
			damaged++
			rows = append(rows, []string{printable(filepath.Base(b.Path)), size(b.Size), bad(b.Error)})
		}
	}
	if s.backups == "" {
		rows = append(rows, []string{"backups", "no folder found; name it with --backups", c.paint(yellow, "not checked")})
	} else {
		rows = append(rows, []string{"backups", fmt.Sprintf("%d of %d whole", len(r.Backups)-damaged, len(r.Backups)), map[bool]string{true: whole, false: c.paint(red, "damaged")}[damaged == 0]})
	}
	if r.Torn > 0 {
		rows = append(rows, []string{"torn", size(r.Torn) + " behind the last batch, never acknowledged", c.paint(yellow, "dropped at the next start")})
	}
	if n := len(r.SetAside); n > 0 {
		rows = append(rows, []string{"set aside", count(n, "file"), c.paint(faint, "not used")})
	}
	err := table(c.out, nil, rows)
	if found == nil && err == nil {
		_, err = fmt.Fprintln(c.out, "Nothing is damaged.")
	}
	return err
}
