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
	return `Reads the log, data.json and every backup, and checks each against its checksum. The exit code is 1 when any is damaged; each damage is named with its file, and with what the next start of the program does about it.

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
	report, err := atomicstore.Verify(ctx, store.dir, &atomicstore.VerifyOptions{BackupDir: store.backups, Progress: bar.set})
	bar.clear()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err != nil && len(report.Findings) == 0 {
		return store.advise(err)
	}
	found := damageOf(err)
	if v.JSON {
		err = printJSON(c.out, verified{report, found})
	} else {
		err = printReport(c, store, report, found)
	}
	return errors.Join(err, store.verdict(ctx, report.Findings, report.Snapshot))
}

func printReport(c *console, s *store, r *atomicstore.Report, found *damage) error {
	whole := c.paint(green, "ok")
	state := func(path string) string {
		for _, f := range r.Findings {
			switch {
			case f.Path != path:
			case f.Next == atomicstore.NextUnknown:
				return c.paint(yellow, "not checked")
			case f.Next == atomicstore.NextRepairs:
				return c.paint(yellow, "damaged, will be repaired")
			default:
				return c.paint(red, "damaged")
			}
		}
		return whole
	}
	log := whole
	if found.inLog() {
		log = c.paint(red, "damaged")
	}
	manifest := state(filepath.Join(s.dir, "MANIFEST"))
	if r.Manifest == "missing" {
		manifest = c.paint(yellow, "missing: the next start writes it anew")
	}
	logged := fmt.Sprintf("%s, %s in %s", changesHeld(r.First, r.Last, nil, found), count(r.Batches, "batch"), count(len(r.Segments), "segment"))
	if len(r.Segments) == 0 && !found.inLog() {
		logged, log = s.withoutLog(r.Findings), state(s.walDir())
	}
	rows := [][]string{
		{"log", logged, log},
		{"data.json", snapshotLine(r.Snapshot), state(r.Snapshot.Path)},
		{"MANIFEST", "", manifest},
	}
	damaged := 0
	for _, b := range r.Backups {
		if b.Error != "" {
			damaged++
			rows = append(rows, []string{printable(filepath.Base(b.Path)), size(b.Size), state(b.Path)})
		}
	}
	switch backups := state(s.backups); {
	case s.backups == "":
		rows = append(rows, []string{"backups", "no folder found; name it with --backups", c.paint(yellow, "not checked")})
	case backups != whole:
		rows = append(rows, []string{"backups", "cannot be read", backups})
	case damaged > 0:
		rows = append(rows, []string{"backups", fmt.Sprintf("%d of %d whole", len(r.Backups)-damaged, len(r.Backups)), c.paint(red, "damaged")})
	default:
		rows = append(rows, []string{"backups", fmt.Sprintf("%d of %d whole", len(r.Backups), len(r.Backups)), whole})
	}
	if r.Torn > 0 {
		rows = append(rows, []string{"torn", size(r.Torn) + " behind the last batch, never acknowledged", c.paint(yellow, "dropped at the next start")})
	}
	if n := len(r.SetAside); n > 0 {
		rows = append(rows, []string{"set aside", count(n, "file"), c.paint(faint, "not used")})
	}
	err := table(c.out, nil, rows)
	if len(r.Findings) == 0 && err == nil {
		_, err = fmt.Fprintln(c.out, "Nothing is damaged.")
	}
	return err
}
