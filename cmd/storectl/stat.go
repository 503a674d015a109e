package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

type statCommand struct {
	storeArg
	jsonFlag
}

func (statCommand) Help() string {
	return `Reads little, also of a big store: it comes across damage at the end of the log alone. storectl verify reads everything.

Examples:

    storectl stat state/data
    storectl stat --json state/data | jq .last`
}

// overview is what stat prints as JSON.
type overview struct {
	Dir   string `json:"dir"`
	InUse bool   `json:"inUse"` // a program has it open

	Epoch    string     `json:"epoch"`
	First    uint64     `json:"first"` // the oldest change in the log
	Last     uint64     `json:"last"`  // the latest change
	LastTime *time.Time `json:"lastTime"`
	Undoable uint64     `json:"undoable"` // the oldest change that restore --before can undo; 0 for none

	Log struct {
		Bytes    int64     `json:"bytes"`
		Segments []segment `json:"segments"`
	} `json:"log"`
	Snapshot atomicstore.SnapshotReport `json:"snapshot"`
	Backups  struct {
		Dir    string     `json:"dir"` // "" when there is none
		Count  int        `json:"count"`
		Bytes  int64      `json:"bytes"`
		Oldest *time.Time `json:"oldest"`
		Newest *time.Time `json:"newest"`
	} `json:"backups"`
	SetAside struct {
		Count int   `json:"count"`
		Bytes int64 `json:"bytes"`
	} `json:"setAside"`
	Damage *damage `json:"damage"`
}

// segment is a file of the log.
type segment struct {
	Path    string    `json:"path"`
	First   uint64    `json:"first"`
	Changes uint64    `json:"changes"`
	Bytes   int64     `json:"bytes"` // preallocated ones too
	Time    time.Time `json:"time"`  // of its first change or before
}

// damage is an atomicstore.CorruptError as JSON.
type damage struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"` // bytes from the start of the file
	Seq    uint64 `json:"seq"`    // the first change that is damaged
	Error  string `json:"error"`
}

func damageOf(err error) *damage {
	var corrupt *atomicstore.CorruptError
	if !errors.As(err, &corrupt) {
		return nil
	}
	return &damage{corrupt.Path, corrupt.Offset, corrupt.Seq, corrupt.Err.Error()}
}

// inLog tells whether there is damage, and in the log.
func (d *damage) inLog() bool { return d != nil && filepath.Base(filepath.Dir(d.Path)) == "wal" }

func (s *statCommand) Run(ctx context.Context, c *console) error {
	store, err := s.open()
	if err != nil {
		return err
	}
	look, damaged := atomicstore.Look(ctx, store.dir, store.options())
	o := &overview{Dir: store.dir, Damage: damageOf(damaged)}
	if damaged != nil && o.Damage == nil {
		return store.advise(damaged)
	}
	if o.InUse, err = atomicstore.InUse(store.dir); err != nil {
		return store.advise(err)
	}
	o.fill(look, store)
	if s.JSON {
		err = printJSON(c.out, o)
	} else {
		err = o.print(c)
	}
	return errors.Join(err, store.advise(damaged))
}

func (o *overview) fill(look *atomicstore.Overview, s *store) {
	o.Epoch, o.First, o.Last, o.Undoable, o.Snapshot = look.Epoch, look.First, look.Last, look.Undoable, look.Snapshot
	if !look.LastTime.IsZero() {
		o.LastTime = &look.LastTime
	}
	o.Log.Segments = []segment{} // [] in JSON
	for _, s := range look.Segments {
		o.Log.Bytes += s.Size
		o.Log.Segments = append(o.Log.Segments, segment{s.Path, s.First, s.Changes, s.Size, s.Time})
	}
	o.Backups.Dir, o.Backups.Count = s.backups, len(look.Backups)
	for i := range look.Backups {
		b := &look.Backups[i]
		o.Backups.Bytes += b.Size
		if o.Backups.Oldest == nil || b.Time.Before(*o.Backups.Oldest) {
			o.Backups.Oldest = &b.Time
		}
		if o.Backups.Newest == nil || b.Time.After(*o.Backups.Newest) {
			o.Backups.Newest = &b.Time
		}
	}
	o.SetAside.Count, o.SetAside.Bytes = look.SetAside, look.SetAsideBytes
}

func (o *overview) print(c *console) error {
	rows := [][]string{
		{"store", o.Dir + map[bool]string{true: ", a program has it open", false: ", nobody has it open"}[o.InUse]},
		{"epoch", o.Epoch},
		{"changes", changesHeld(o.First, o.Last, o.LastTime)},
		{"log", count(len(o.Log.Segments), "segment") + ", " + size(o.Log.Bytes)},
		{"data.json", snapshotLine(o.Snapshot)},
	}
	switch {
	case o.Backups.Dir == "":
		rows = append(rows, []string{"backups", "no folder found; name it with --backups"})
	case o.Backups.Count == 0:
		rows = append(rows, []string{"backups", "none in " + o.Backups.Dir})
	default:
		rows = append(rows, []string{"backups", fmt.Sprintf("%s in %s, %s, %s to %s", count(o.Backups.Count, "file"), o.Backups.Dir, size(o.Backups.Bytes), stamp(*o.Backups.Oldest), stamp(*o.Backups.Newest))})
	}
	if o.SetAside.Count > 0 {
		rows = append(rows, []string{"set aside", count(o.SetAside.Count, "file") + ", " + size(o.SetAside.Bytes)})
	}
	if o.Undoable > 0 {
		rows = append(rows, []string{"undo", fmt.Sprintf("any change from %d on, with restore --before", o.Undoable)})
	}
	return table(c.out, nil, rows)
}

func changesHeld(first, last uint64, at *time.Time) string {
	if last+1 <= first || first == 0 {
		return strings.TrimSpace("none in the log" + map[bool]string{true: fmt.Sprintf("; the last was %d", last)}[last > 0])
	}
	held := fmt.Sprintf("%d to %d", first, last)
	if at != nil {
		held += ", the last at " + stamp(*at)
	}
	return held
}

func snapshotLine(s atomicstore.SnapshotReport) string {
	switch s.Whose {
	case "nobody":
		return "there is none"
	case "operator":
		return size(s.Size) + ", put there by hand: the next start takes it over" + map[bool]string{true: "; " + printable(s.Error)}[s.Error != ""]
	case "rotten":
		return size(s.Size) + ", damaged: " + printable(s.Error)
	default:
		line := fmt.Sprintf("after change %d, %s", s.Seq, size(s.Size))
		if s.Error != "" {
			line += ", damaged: " + printable(s.Error)
		}
		return line
	}
}
