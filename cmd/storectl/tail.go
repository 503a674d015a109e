package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/contestkit/contestkit/atomicstore"
)

type tailCommand struct {
	storeArg
	jsonFlag
	Follow bool   `short:"f" help:"Go on with the changes that come, until Ctrl-C."`
	Lines  uint64 `short:"n" default:"10" placeholder:"N" help:"Begin with the latest N changes. Default: 10."`
}

func (tailCommand) Help() string {
	return `Shows a line for each event: seq, time in UTC, kind, contents. Lines are cut to the width of a terminal; with --json, and into a file or a pipe, they are whole.

It reads the files, so a change may be shown a moment before the program acknowledges it. When the data is replaced by a restore, -f goes on with what comes after it.

What it shows is whatever the program stores, private data too: names, phone numbers.

Examples:

    storectl tail -f state/data
    storectl tail -n 100 --json state/data | jq -c .events[]`
}

func (t *tailCommand) Run(ctx context.Context, c *console) error {
	store, err := t.open()
	if err == nil {
		err = store.logged()
	}
	if err != nil {
		return err
	}
	look, err := atomicstore.Look(ctx, store.dir, nil)
	if damaged := damageOf(err); err != nil && (damaged == nil || look.Epoch == "") {
		return store.advise(err)
	}
	after := atomicstore.Position{Epoch: look.Epoch}
	if look.Last > t.Lines {
		after.Seq = look.Last - t.Lines
	}
	if look.First > 0 {
		after.Seq = max(after.Seq, look.First-1)
	}
	out := bufio.NewWriterSize(c.out, 64<<10)
	skipped := func(first uint64) {
		fmt.Fprintf(c.err, "storectl: changes before %d are no longer held\n", first)
	}
	epoch := look.Epoch
	for {
		err = store.records(ctx, after, &atomicstore.RecordsOptions{Follow: t.Follow}, skipped, func(r atomicstore.Record) error {
			epoch = r.Epoch
			err := t.print(c, out, changeOf(r))
			if err == nil && t.Follow && r.Seq >= look.Last {
				err = out.Flush() // somebody waits for it
			}
			return err
		})
		if !t.Follow || !errors.Is(err, atomicstore.ErrEpoch) {
			break
		}
		if again, lookErr := atomicstore.Look(ctx, store.dir, nil); lookErr == nil && again.Epoch == epoch {
			break // a change that was shown was never synced, and is gone
		}
		// Somebody restored: what the new epoch brings is all new.
		fmt.Fprintln(c.err, "storectl: the data was replaced; what follows is after that")
		after, skipped, look.Last = atomicstore.Position{}, nil, 0
	}
	if t.Follow && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // that is how it ends
	}
	return errors.Join(out.Flush(), store.advise(err))
}

func (t *tailCommand) print(c *console, w io.Writer, ch change) error {
	if t.JSON {
		return ch.printLine(w)
	}
	return ch.print(c, w)
}
