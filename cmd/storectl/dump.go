package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/contestkit/contestkit/atomicstore"
)

type dumpCommand struct {
	storeArg
	After uint64  `placeholder:"SEQ" help:"Begin behind this change. Default: with the oldest that is held."`
	Until *uint64 `placeholder:"SEQ" help:"End with this change. Default: the latest."`
	Limit *uint64 `placeholder:"N" help:"Print N changes at most."`
	State bool    `help:"Print the state in data.json, with its position, instead of changes."`
	JSON  bool    `name:"json" help:"Changes nothing: dump prints JSON anyhow."`
}

func (dumpCommand) Help() string {
	return `Prints a line of JSON for each change: epoch, seq, time, id, requestId if there was one, and events as the program wrote them.

With --state it prints one line with the state in data.json, and the seq of the last change in it. That is a second behind a busy program; the changes after it are those of dump --after that seq. storectl cannot apply them, as it does not know what they mean.

Dumps contain whatever the program stores, private data too.

Examples:

    storectl dump state/data > changes.jsonl
    storectl dump state/data --after 400 --until 412
    storectl dump state/data --state | jq .state`
}

// stateLine is what dump --state prints.
type stateLine struct {
	Epoch   string          `json:"epoch"`
	Seq     uint64          `json:"seq"`
	SavedAt string          `json:"savedAt"`
	State   json.RawMessage `json:"state"`
	Changes []change        `json:"changes,omitempty"` // to be applied to it; only before a restore is taken over
}

var errEnough = errors.New("enough")

func (d *dumpCommand) Run(ctx context.Context, c *console) error {
	switch {
	case d.Limit != nil && *d.Limit == 0:
		return usagef("dump", "--limit 0 prints nothing: say how many changes, or leave it out for all")
	case d.Until != nil && *d.Until == 0:
		return usagef("dump", "--until 0 is before the first change, which is 1: leave it out for all")
	}
	store, err := d.open()
	if err != nil {
		return err
	}
	if d.State {
		if d.After != 0 || d.Until != nil || d.Limit != nil {
			return usagef("dump", "--state is the state in data.json; --after, --until and --limit are about changes")
		}
		return store.dumpState(c)
	}
	if d.Until != nil && *d.Until <= d.After {
		return usagef("dump", "no change is after %d and until %d", d.After, *d.Until)
	}
	if err := store.logged(); err != nil {
		return err
	}
	return d.changes(ctx, c, store)
}

func (s *store) dumpState(c *console) error {
	snap, err := atomicstore.ReadSnapshot(s.snapshot())
	if err != nil {
		return s.advise(err)
	}
	line := stateLine{Epoch: snap.Epoch, Seq: snap.Seq, SavedAt: snap.SavedAt.UTC().Format("2006-01-02T15:04:05.999999999Z07:00"), State: snap.State}
	for _, r := range snap.Changes {
		line.Changes = append(line.Changes, changeOf(r))
	}
	out := bufio.NewWriter(c.out)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return errors.Join(e.Encode(line), out.Flush())
}

func (d *dumpCommand) changes(ctx context.Context, c *console, s *store) error {
	bar := bar{}
	total := int64(0)
	if c.bars && c.width == 0 { // where changes scroll by, they are the progress
		if look, err := atomicstore.Look(ctx, s.dir, nil); err == nil && look.Last > d.After {
			total = int64(look.Last - max(d.After, look.First-1))
			bar = c.bar("dump", false)
		}
	}
	until, limit := uint64(math.MaxUint64), uint64(math.MaxUint64)
	if d.Until != nil {
		until = *d.Until
	}
	if d.Limit != nil {
		limit = *d.Limit
	}
	total = int64(min(uint64(total), until-d.After, limit))
	out := bufio.NewWriterSize(c.out, 64<<10)
	printed := uint64(0)
	skipped := func(first uint64) {
		if d.After != 0 || printed > 0 {
			bar.clear()
			fmt.Fprintf(c.err, "storectl: changes %d to %d are no longer held\n", d.After+printed+1, first-1)
		}
	}
	err := s.records(ctx, atomicstore.Position{Seq: d.After}, nil, skipped, func(r atomicstore.Record) error {
		if r.Seq > until {
			return errEnough
		}
		if err := changeOf(r).printLine(out); err != nil {
			return err
		}
		printed++
		bar.set(int64(printed), total)
		if printed == limit || r.Seq == until {
			return errEnough
		}
		return nil
	})
	bar.clear()
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(out.Flush(), s.advise(err))
}
