package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/contestkit/contestkit/atomicstore"
)

type restoreCommand struct {
	storeArg
	Backup string `arg:"" optional:"" help:"Backup to go back to: a path, or its name among the backups."`
	Before uint64 `placeholder:"SEQ" help:"Undo this change and all later ones, exactly, instead of going back to a backup."`
	Yes    bool   `short:"y" help:"Do not ask."`
	DryRun bool   `help:"Say what would happen, and do nothing."`
}

func (restoreCommand) Help() string {
	return `Stop the program first: restore refuses while it has the store open. It puts the earlier state in place of data.json; the program takes that over when it starts, in a new epoch. What was newer is set aside in the folder of backups, and the state as it is now becomes a backup, so a restore can be undone.

It says what will happen and asks; without a terminal it needs --yes.

Examples:

    storectl restore state/data --before 412
    storectl restore state/data backup-400-20261125T180000.000Z.json
    storectl restore state/data --before 412 --dry-run`
}

func (r *restoreCommand) Run(ctx context.Context, c *console) error {
	if (r.Backup == "") == (r.Before == 0) {
		return usagef("restore", "name a backup, or a change with --before; storectl backups %s lists the backups", r.Dir)
	}
	store, err := r.open()
	if err != nil {
		return err
	}
	if r.Backup != "" {
		if r.Backup, err = store.file(r.Backup); err != nil {
			return err
		}
	}
	used, err := atomicstore.InUse(store.dir)
	if err != nil {
		return store.advise(err)
	}
	if used && !r.DryRun {
		return store.locked()
	}
	plan, err := r.plan(ctx, store)
	if err != nil {
		return store.advise(err)
	}
	plan.print(c.out, store)
	if r.DryRun {
		if used {
			fmt.Fprintln(c.out, "A program has the store open: stop it first.")
		}
		fmt.Fprintln(c.out, "Nothing was done.")
		return nil
	}
	if !r.Yes {
		if !c.asks {
			return usagef("restore", "nobody is there to ask: add --yes to restore")
		}
		if yes, err := c.ask(ctx, "Restore? [y/N] "); err != nil {
			return err
		} else if !yes {
			fmt.Fprintln(c.out, "Nothing was done.")
			return nil
		}
	}
	if r.Backup != "" {
		err = atomicstore.Restore(store.dir, r.Backup, store.options())
	} else {
		err = atomicstore.RestoreBefore(store.dir, r.Before, store.options())
	}
	if errors.Is(err, atomicstore.ErrLocked) {
		return store.locked()
	}
	if err != nil {
		return store.advise(err)
	}
	plan.printDone(c.out, store)
	return nil
}

func (s *store) locked() error {
	return fmt.Errorf("a program has %s open: stop it, then restore again; nothing was done", s.dir)
}

// plan is what a restore is about to do.
type plan struct {
	to    string // the state it leads to
	first uint64 // the first change that is set aside
	last  uint64 // the last one
	epoch string // of both
	whole bool   // the log can be read to its end
	hand  bool   // somebody has put another data.json there already
}

// plan finds out what will be set aside. It fails where the restore would.
func (r *restoreCommand) plan(ctx context.Context, s *store) (*plan, error) {
	look, err := atomicstore.Look(ctx, s.dir, s.options())
	found := damageOf(err)
	if err != nil && found == nil {
		return nil, err
	}
	p := &plan{first: look.First, last: look.Last, epoch: look.Epoch, whole: !found.inLog(), hand: look.Snapshot.Whose == "operator"}
	if r.Before != 0 {
		p.to = fmt.Sprintf("the state before change %d", r.Before)
		if p.whole && r.Before > look.Last {
			return nil, fmt.Errorf("there is no change %d; the last is %d", r.Before, look.Last)
		}
		if look.SetAside == 0 && p.whole && (look.Undoable == 0 || r.Before < look.Undoable) {
			return nil, fmt.Errorf("change %d cannot be undone any more: %s", r.Before, undoable(look.Undoable))
		}
		// What is older may be in logs that were set aside: RestoreBefore looks.
		p.first = max(r.Before, look.First)
		return p, nil
	}
	snap, err := atomicstore.ReadSnapshot(r.Backup)
	if err != nil {
		return nil, err
	}
	p.to = fmt.Sprintf("%s, the state after change %d, saved %s", printable(filepath.Base(r.Backup)), snap.Seq+uint64(len(snap.Changes)), stamp(snap.SavedAt))
	if snap.Epoch == look.Epoch && snap.Seq+1 > p.first {
		p.first = snap.Seq + 1
	}
	return p, nil
}

func undoable(oldest uint64) string {
	if oldest == 0 {
		return "no backup leads to the log; name their folder with --backups"
	}
	return fmt.Sprintf("the oldest that can is %d; storectl backups lists older states", oldest)
}

func (p *plan) changes() uint64 {
	if p.last < p.first {
		return 0
	}
	return p.last - p.first + 1
}

func (p *plan) print(w io.Writer, s *store) {
	backups := s.backups
	if backups == "" {
		backups = s.dir + " (no folder of backups; --backups names one)"
	}
	rows := [][]string{
		{"store", s.dir},
		{"restore", p.to},
	}
	switch n := p.changes(); {
	case !p.whole:
		rows = append(rows, []string{"set aside", fmt.Sprintf("the log, which is damaged after change %d", p.last)})
	case n == 0:
		rows = append(rows, []string{"set aside", "no change: none is newer"})
	case n == 1:
		rows = append(rows, []string{"set aside", fmt.Sprintf("1 change, %d", p.first)})
	default:
		rows = append(rows, []string{"set aside", fmt.Sprintf("%s, %d to %d", count(n, "change"), p.first, p.last)})
	}
	if p.hand {
		rows = append(rows, []string{"", "the data.json that was put there by hand and not yet taken over"})
	}
	rows = append(rows, []string{"kept in", backups})
	table(w, nil, rows)
}

func (p *plan) printDone(w io.Writer, s *store) {
	fmt.Fprintln(w, "Restored. Start the program: it takes the state over, and sets aside what was newer.")
	if s.backups == "" || !p.whole || p.last == 0 {
		return
	}
	list, err := s.list()
	for _, b := range list {
		// Not by seq alone: the epoch that begins now goes on from the same one.
		if err == nil && b.Seq == p.last && b.Epoch == p.epoch {
			fmt.Fprintf(w, "To undo this, stop it again and run: storectl restore %s %s\n", s.dir, filepath.Base(b.Path))
			return
		}
	}
	fmt.Fprintf(w, "To undo this, stop it again and restore the backup of change %d, epoch %s, that storectl backups %s lists then.\n", p.last, p.epoch, s.dir)
}

// ask asks a person. Anything but yes is no.
func (c *console) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(c.err, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.in).ReadString('\n') // at the end of input it is no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		return a == "y" || a == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(c.err)
		return false, ctx.Err()
	}
}
