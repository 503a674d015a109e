package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/contestkit/contestkit/atomicstore"
)

type restoreCommand struct {
	storeArg
	Backup string  `arg:"" optional:"" help:"Backup to go back to: a path, or its name among the backups."`
	Before *uint64 `placeholder:"SEQ" help:"Undo this change and all later ones, exactly, instead of going back to a backup."`
	Yes    bool    `short:"y" help:"Do not ask."`
	DryRun bool    `help:"Say what would happen, and do nothing."`
}

func (restoreCommand) Help() string {
	return `Stop the program first: restore refuses while it has the store open. It puts the earlier state in place of data.json; the program takes that over when it starts, in a new epoch. What was newer is set aside in the folder of backups, and the state as it is now becomes a backup, so a restore can be undone.

It says what will happen and asks; without a terminal it needs --yes. Ctrl-C ends it as long as it reads, and nothing is done; what it has begun to write it finishes.

Examples:

    storectl restore state/data --before 412
    storectl restore state/data backup-400-20261125T180000.000Z.json
    storectl restore state/data --before 412 --dry-run`
}

func (r *restoreCommand) Run(ctx context.Context, c *console) error {
	switch {
	case r.Backup != "" && r.Before != nil:
		return usagef("restore", "a backup and --before are two places to go back to: name one of them")
	case r.Backup == "" && r.Before == nil:
		return usagef("restore", "name a backup, or a change with --before; storectl backups %s lists the backups", r.Dir)
	case r.Before != nil && *r.Before == 0:
		return usagef("restore", "no change is before the first, which is 1: --before 1 undoes everything")
	}
	store, err := r.open()
	if err != nil {
		return err
	}
	if r.Backup != "" {
		if r.Backup, err = store.file(r.Backup); err != nil {
			return err
		}
		if store.isPresent(r.Backup) && !store.refused(ctx) {
			return usagef("restore", "%s is the present data.json, which the program starts with anyhow; storectl backups %s lists what to go back to", r.Backup, r.Dir)
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
		err = atomicstore.Restore(ctx, store.dir, r.Backup, store.options())
	} else {
		err = atomicstore.RestoreBefore(ctx, store.dir, *r.Before, store.options())
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

// isPresent tells whether a path is that of the present data.json.
func (s *store) isPresent(path string) bool {
	a, errA := os.Stat(path)
	b, errB := os.Stat(s.snapshot())
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// refused tells whether the program cannot start with the present data.json,
// because of the log. To restore that file is to go on without the log.
func (s *store) refused(ctx context.Context) bool {
	report, _ := atomicstore.Verify(ctx, s.dir, &atomicstore.VerifyOptions{BackupDir: s.backups})
	return slices.ContainsFunc(report.Findings, func(f atomicstore.Finding) bool { return f.Next == atomicstore.NextRefuses })
}

// plan is what a restore is about to do.
type plan struct {
	*atomicstore.RestorePlan
	to      string               // the state it leads to
	from    atomicstore.Position // the state as it is, as far as known
	first   uint64               // the first change that is set aside
	last    uint64               // the last one
	damaged *damage              // of the log
	hand    bool                 // somebody has put another data.json there already
}

// plan finds out what will be set aside. It fails where the restore would.
func (r *restoreCommand) plan(ctx context.Context, s *store) (*plan, error) {
	look, err := atomicstore.Look(ctx, s.dir, s.options())
	if err != nil && len(look.Findings) == 0 {
		return nil, err
	}
	p := &plan{
		from:  atomicstore.Position{Epoch: look.Epoch, Seq: look.Last},
		first: look.First, last: look.Last,
		hand: look.Snapshot.Whose == "operator",
	}
	if found := damageOf(err); found.inLog() {
		p.damaged = found
	}
	if len(look.Segments) == 0 && p.damaged == nil {
		p.from.Seq = look.Snapshot.Seq
	}
	if r.Before != nil {
		p.to = fmt.Sprintf("the state before change %d", *r.Before)
		p.RestorePlan, err = atomicstore.PlanRestoreBefore(ctx, s.dir, *r.Before, s.options())
		err = s.adviseBefore(ctx, err, *r.Before, look)
	} else if p.RestorePlan, err = atomicstore.PlanRestore(ctx, s.dir, r.Backup, s.options()); err == nil {
		p.to = fmt.Sprintf("%s, the state after change %d, saved %s", printable(filepath.Base(r.Backup)), p.Seq, stamp(p.SavedAt))
	}
	if err != nil {
		return nil, err
	}
	if !p.otherEpoch() {
		p.first = max(p.first, p.Seq+1)
	}
	return p, nil
}

// otherEpoch tells whether what is restored is of before the data was replaced.
func (p *plan) otherEpoch() bool { return p.from.Epoch != "" && p.Epoch != p.from.Epoch }

// adviseBefore adds what can be undone to why a change cannot be.
func (s *store) adviseBefore(ctx context.Context, err error, seq uint64, look *atomicstore.Overview) error {
	var gone *atomicstore.TruncatedError
	var corrupt *atomicstore.CorruptError
	switch {
	case errors.As(err, &gone):
		return fmt.Errorf("change %d cannot be undone any more: %s", seq, undoable(look))
	case errors.As(err, &corrupt) && s.isSegment(corrupt.Path) && corrupt.Seq < seq:
		if _, planErr := atomicstore.PlanRestoreBefore(ctx, s.dir, corrupt.Seq, s.options()); planErr == nil {
			return fmt.Errorf("%w\nwhat lies before the damage can be restored: storectl restore %s --before %d", err, s.dir, corrupt.Seq)
		}
	}
	return err
}

func undoable(look *atomicstore.Overview) string {
	switch {
	case look.Undoable == 0:
		return "no backup leads to it; name their folder with --backups, if the program keeps any"
	case look.UndoableTo > look.Last || look.First > look.Last:
		return fmt.Sprintf("those that can are %d to %d; storectl backups lists older states", look.Undoable, look.UndoableTo)
	default:
		return fmt.Sprintf("the oldest that can is %d; storectl backups lists older states", look.Undoable)
	}
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
	if p.otherEpoch() {
		rows[1][1] += ", in the epoch " + p.Epoch
		rows = append(rows, []string{"replaces", fmt.Sprintf("the state after change %d, in the epoch %s", p.from.Seq, p.from.Epoch)})
	}
	switch n := p.changes(); {
	case p.damaged != nil:
		rows = append(rows, []string{"set aside", fmt.Sprintf("the log, which is damaged from change %d on", p.damaged.Seq)})
	case s.noLog:
		rows = append(rows, []string{"set aside", "no change: there is no log"})
	case n == 0 && p.otherEpoch():
		rows = append(rows, []string{"set aside", "no change: there was none since that epoch began"})
	case n == 0:
		rows = append(rows, []string{"set aside", "no change: none is newer"})
	case n == 1:
		rows = append(rows, []string{"set aside", fmt.Sprintf("1 change, %d", p.first)})
	default:
		rows = append(rows, []string{"set aside", fmt.Sprintf("%s, %d to %d", count(n, "change"), p.first, p.last)})
	}
	if p.hand {
		rows = append(rows, []string{"", "the data.json that was put there by hand or by a restore and not yet taken over"})
	}
	rows = append(rows, []string{"kept in", backups})
	table(w, nil, rows)
}

func (p *plan) printDone(w io.Writer, s *store) {
	fmt.Fprintln(w, "Restored. Start the program: it takes the state over, and sets aside what was newer.")
	if s.backups == "" || p.damaged != nil || p.from.Seq == 0 {
		return
	}
	list, err := s.list()
	for _, b := range list {
		// Not by seq alone: the epoch that begins now goes on from the same one.
		if err == nil && b.Seq == p.from.Seq && b.Epoch == p.from.Epoch {
			fmt.Fprintf(w, "To undo this, stop it again and run: storectl restore %s %s\n", s.dir, filepath.Base(b.Path))
			return
		}
	}
	fmt.Fprintf(w, "To undo this, stop it again and restore the backup of change %d, epoch %s, that storectl backups %s lists then.\n", p.from.Seq, p.from.Epoch, s.dir)
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
