package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

type diffCommand struct {
	storeArg
	jsonFlag
	From string `arg:"" name:"a" help:"A backup, by path or name; data.json; or a position, as the number of a change."`
	To   string `arg:"" name:"b" optional:"" default:"data.json" help:"The same. Default: data.json."`
}

func (diffCommand) Help() string {
	return `Shows what changed from A to B: the states, where both are files or positions that a backup was made at, and the changes, where the log holds them. Where it can, it shows both.

The difference of the states is a list of operations as of JSON Patch (RFC 6902), with paths as of RFC 6901, each with the old and the new value: applied in their order, they make B of A. What moved within a list of more than 2,000 is shown as changed from there on.

What it shows is whatever the program stores, private data too: names, phone numbers.

Examples:

    storectl diff state/data backup-400-20261125T180000.000Z.json
    storectl diff state/data 400 412
    storectl diff --json state/data old.json data.json | jq .state`
}

// end is one of the two that are compared.
type end struct {
	Path    string     `json:"path,omitempty"`
	Epoch   string     `json:"epoch,omitempty"`
	Seq     *uint64    `json:"seq,omitempty"` // nil for a file that is no backup
	SavedAt *time.Time `json:"savedAt,omitempty"`

	state json.RawMessage // nil when no snapshot was made there
	near  string          // the nearest snapshots, when none was made there
}

// difference is what diff prints as JSON.
type difference struct {
	From  end      `json:"from"`
	To    end      `json:"to"`
	Notes []string `json:"notes,omitempty"`

	// State is null when there is no snapshot at one of the ends.
	State []operation `json:"state"`

	// Changes is null when the log does not hold them all. They lie between the
	// two; if Undone, they lead from B to A.
	Changes []change `json:"changes"`
	Undone  bool     `json:"undone,omitempty"`
}

func (d *diffCommand) Run(ctx context.Context, c *console) error {
	store, err := d.open()
	if err != nil {
		return err
	}
	out := &difference{}
	if out.From, err = store.end(ctx, d.From, out); err != nil {
		return store.advise(err)
	}
	if out.To, err = store.end(ctx, d.To, out); err != nil {
		return store.advise(err)
	}
	if out.From.state != nil && out.To.state != nil {
		if out.State, err = compare(out.From.state, out.To.state); err != nil {
			return err
		}
	} else {
		for _, e := range []end{out.From, out.To} {
			if e.state == nil {
				out.note("no difference of states: no backup was made at change %d%s", *e.Seq, e.near)
			}
		}
	}
	if err := out.changes(ctx, store); err != nil {
		return store.advise(err)
	}
	if out.State == nil && out.Changes == nil {
		return errors.New("neither states nor changes can be compared: " + out.Notes[len(out.Notes)-1] + fmt.Sprintf("; storectl backups %s and storectl stat %s show what there is", store.dir, store.dir))
	}
	if d.JSON {
		return printJSON(c.out, out)
	}
	return out.print(c)
}

func (d *difference) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// end finds what an argument names.
func (s *store) end(ctx context.Context, name string, d *difference) (end, error) {
	if seq, err := strconv.ParseUint(name, 10, 64); err == nil {
		return s.position(ctx, seq)
	}
	path, err := s.file(name)
	if err != nil {
		return end{}, err
	}
	snap, err := atomicstore.ReadSnapshot(path)
	if damageOf(err) != nil {
		return edited(path, err, d)
	}
	if err != nil {
		return end{}, err
	}
	if n := len(snap.Changes); n > 0 {
		d.note("%s: %s come after its state; the next start applies them", path, count(n, "change"))
	}
	return endOf(path, snap), nil
}

func endOf(path string, snap *atomicstore.Snapshot) end {
	return end{Path: path, Epoch: snap.Epoch, Seq: &snap.Seq, SavedAt: &snap.SavedAt, state: snap.State}
}

// position is after a change. It has a state if a snapshot was made there.
func (s *store) position(ctx context.Context, seq uint64) (end, error) {
	look, err := atomicstore.Look(ctx, s.dir, s.options())
	if err != nil && damageOf(err) == nil {
		return end{}, err
	}
	if seq > look.Last {
		return end{}, fmt.Errorf("there is no change %d; the last is %d", seq, look.Last)
	}
	paths := []string{}
	if look.Snapshot.Seq == seq && look.Snapshot.Epoch == look.Epoch {
		paths = append(paths, look.Snapshot.Path)
	}
	for _, b := range look.Backups {
		if b.Seq == seq && b.Epoch == look.Epoch {
			paths = append(paths, b.Path)
		}
	}
	for _, path := range paths {
		// One that is damaged, or was replaced meanwhile, is no snapshot of it.
		if snap, err := atomicstore.ReadSnapshot(path); err == nil && snap.Seq == seq && len(snap.Changes) == 0 {
			return endOf(path, snap), nil
		}
	}
	return end{Epoch: look.Epoch, Seq: &seq, near: nearest(look, seq)}, nil
}

// readable tells whether a file is a whole snapshot after a change.
func readable(path string, seq uint64) bool {
	snap, err := atomicstore.ReadSnapshot(path)
	return err == nil && snap.Seq == seq && len(snap.Changes) == 0
}

// nearest names the changes before and after one that have a state to compare.
func nearest(look *atomicstore.Overview, seq uint64) string {
	all := append(slices.Clone(look.Backups), atomicstore.Backup{Path: look.Snapshot.Path, Epoch: look.Snapshot.Epoch, Seq: look.Snapshot.Seq})
	slices.SortStableFunc(all, func(a, b atomicstore.Backup) int { return cmp.Compare(a.Seq, b.Seq) })
	found := func(b atomicstore.Backup) bool { return b.Epoch == look.Epoch && readable(b.Path, b.Seq) }
	var names []string
	for _, b := range slices.Backward(all) {
		if b.Seq < seq && found(b) {
			names = append(names, strconv.FormatUint(b.Seq, 10))
			break
		}
	}
	for _, b := range all {
		if b.Seq > seq && found(b) {
			names = append(names, strconv.FormatUint(b.Seq, 10))
			break
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return "; the nearest is at " + names[0]
	default:
		return "; the nearest are at " + names[0] + " and " + names[1]
	}
}

// edited reads a file that is no backup as it was written: one that somebody
// edited, or a state alone. A program takes over such files too.
func edited(path string, damaged error, d *difference) (end, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return end{}, err
	}
	var backup struct {
		Format int             `json:"format"`
		Epoch  string          `json:"epoch"`
		Seq    uint64          `json:"seq"`
		State  json.RawMessage `json:"state"`
	}
	if err := json.Unmarshal(data, &backup); err == nil && backup.Format != 0 && len(backup.State) > 0 {
		d.note("%s does not match its checksum: somebody edited it, or it is damaged", path)
		return end{Path: path, Epoch: backup.Epoch, Seq: &backup.Seq, state: backup.State}, nil
	}
	if !json.Valid(data) {
		return end{}, damaged
	}
	d.note("%s is no backup; all of it is taken for the state", path)
	return end{Path: path, state: data}, nil
}

// changes reads the changes between the two ends, if the log holds them.
func (d *difference) changes(ctx context.Context, s *store) error {
	a, b := d.From, d.To
	if a.Seq == nil || b.Seq == nil || a.Epoch != b.Epoch {
		d.note("no changes: the two are not of one log")
		return nil
	}
	if *a.Seq > *b.Seq {
		a, b, d.Undone = b, a, true
	}
	list := []change{}
	for r, err := range atomicstore.Records(ctx, s.dir, atomicstore.Position{Epoch: a.Epoch, Seq: *a.Seq}, nil) {
		var gone *atomicstore.TruncatedError
		switch {
		case *a.Seq == *b.Seq:
		case errors.As(err, &gone):
			d.note("no changes: the log begins with change %d", gone.First)
			return nil
		case errors.Is(err, atomicstore.ErrEpoch):
			d.note("no changes: the log is of another epoch")
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			d.note("no changes: %v", err)
			return nil
		case r.Seq <= *b.Seq:
			list = append(list, changeOf(r))
		}
		if err != nil || r.Seq >= *b.Seq {
			break
		}
	}
	if uint64(len(list)) != *b.Seq-*a.Seq {
		d.note("no changes: the log ends with change %d", *a.Seq+uint64(len(list)))
		return nil
	}
	d.Changes = list
	return nil
}

func (d *difference) print(c *console) error {
	fmt.Fprintf(c.out, "from  %s\nto    %s\n", d.From, d.To)
	for _, note := range d.Notes {
		fmt.Fprintln(c.out, "note ", c.paint(yellow, printable(note)))
	}
	if d.State != nil {
		fmt.Fprintf(c.out, "\nstate: %s\n", count(len(d.State), "difference"))
		for _, op := range d.State {
			op.print(c)
		}
	}
	if d.Changes != nil {
		undone := map[bool]string{true: ", undone"}[d.Undone]
		fmt.Fprintf(c.out, "\nlog: %s%s\n", count(len(d.Changes), "change"), undone)
		for _, ch := range d.Changes {
			if err := ch.print(c, c.out); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e end) String() string {
	switch {
	case e.Path == "":
		return fmt.Sprintf("change %d", *e.Seq)
	case e.Seq == nil:
		return printable(e.Path)
	default:
		return fmt.Sprintf("change %d, %s", *e.Seq, printable(e.Path))
	}
}
