package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

type statCommand struct {
	storeArg
	jsonFlag
}

func (statCommand) Help() string {
	return `Reads little, also of a big store: it comes across damage to data.json, to MANIFEST and at the end of the log alone. storectl verify reads everything. When something is damaged, the exit code is 1, and it says what the next start does about it.

Examples:

    storectl stat state/data
    storectl stat --json state/data | jq .last`
}

// overview is what stat prints as JSON.
type overview struct {
	Dir   string `json:"dir"`
	InUse bool   `json:"inUse"` // a program has it open

	Epoch      string     `json:"epoch"`
	First      *uint64    `json:"first"` // the oldest change in the log; null when there is no log, or it cannot be read
	Last       *uint64    `json:"last"`  // the latest change; null as First
	LastTime   *time.Time `json:"lastTime"`
	Undoable   uint64     `json:"undoable"`   // the oldest change that restore --before can undo; 0 for none
	UndoableTo uint64     `json:"undoableTo"` // the latest one; of before the data was replaced, if nothing was changed since

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
	Damage   *damage               `json:"damage"`   // the first one; null when there is none
	Findings []atomicstore.Finding `json:"findings"` // all damage, and what the next start does

	look *atomicstore.Overview
}

// segment is a file of the log.
type segment struct {
	Path    string    `json:"path"`
	First   uint64    `json:"first"`
	Changes uint64    `json:"changes"`
	Size    int64     `json:"size"` // bytes, preallocated ones too
	Time    time.Time `json:"time"` // of its first change or before
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
	look, err := atomicstore.Look(ctx, store.dir, store.options())
	if err != nil && len(look.Findings) == 0 {
		return store.advise(err)
	}
	o := &overview{Dir: store.dir, Damage: damageOf(err), Findings: look.Findings}
	if o.InUse, err = atomicstore.InUse(store.dir); err != nil {
		return store.advise(err)
	}
	o.fill(look, store)
	if s.JSON {
		err = printJSON(c.out, o)
	} else {
		err = o.print(c, store, look.Backups)
	}
	verdict := store.verdict(ctx, look.Findings, look.Snapshot)
	if verdict != nil {
		verdict = fmt.Errorf("%w\nstorectl verify %s reads everything", verdict, store.dir)
	}
	return errors.Join(err, verdict)
}

func (o *overview) fill(look *atomicstore.Overview, s *store) {
	o.look, o.Epoch, o.Undoable, o.UndoableTo, o.Snapshot = look, look.Epoch, look.Undoable, look.UndoableTo, look.Snapshot
	if look.First > 0 {
		o.First, o.Last = &look.First, &look.Last
	}
	if !look.LastTime.IsZero() {
		o.LastTime = &look.LastTime
	}
	o.Log.Segments = []segment{}
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
	o.SetAside.Count, o.SetAside.Bytes = look.SetAsideFiles, look.SetAsideBytes
}

func (o *overview) print(c *console, s *store, backups []atomicstore.Backup) error {
	data := snapshotLine(o.Snapshot)
	if o.Snapshot.Error != "" {
		data += ", " + printable(o.Snapshot.Error)
	}
	log := count(len(o.Log.Segments), "segment") + ", " + size(o.Log.Bytes)
	if len(o.Log.Segments) == 0 && !o.Damage.inLog() {
		log = s.withoutLog(o.Findings)
	}
	rows := [][]string{
		{"store", o.Dir + map[bool]string{true: ", a program has it open", false: ", nobody has it open"}[o.InUse]},
		{"epoch", cmp.Or(o.Epoch, "unknown")},
		{"changes", changesHeld(o.look.First, o.look.Last, o.LastTime, o.Damage)},
		{"log", log},
		{"data.json", data},
	}
	unread := slices.ContainsFunc(o.Findings, func(f atomicstore.Finding) bool { return f.Path == o.Backups.Dir })
	switch {
	case o.Backups.Dir == "":
		rows = append(rows, []string{"backups", "no folder found; name it with --backups"})
	case unread:
		rows = append(rows, []string{"backups", o.Backups.Dir + " cannot be read"})
	case o.Backups.Count == 0:
		rows = append(rows, []string{"backups", "none in " + o.Backups.Dir})
	default:
		rows = append(rows, []string{"backups", fmt.Sprintf("%s in %s, %s, %s to %s", count(o.Backups.Count, "file"), o.Backups.Dir, size(o.Backups.Bytes), stamp(*o.Backups.Oldest), stamp(*o.Backups.Newest))})
	}
	if o.SetAside.Count > 0 {
		rows = append(rows, []string{"set aside", count(o.SetAside.Count, "file") + ", " + size(o.SetAside.Bytes)})
	}
	if b := o.replaced(backups); b != nil {
		rows = append(rows, []string{"undo", "nothing was changed since the data was replaced; to undo that: restore " + filepath.Base(b.Path)})
	}
	switch {
	case o.Undoable == 0:
	case o.UndoableTo > o.look.Last || o.look.First > o.look.Last:
		rows = append(rows, []string{"", fmt.Sprintf("or any change from %d to %d of before that, with restore --before", o.Undoable, o.UndoableTo)})
	default:
		rows = append(rows, []string{"undo", fmt.Sprintf("any change from %d on, with restore --before", o.Undoable)})
	}
	return table(c.out, nil, rows)
}

// replaced returns the backup of the state that was there when the data was
// replaced, as by a restore, if nothing was changed since.
func (o *overview) replaced(backups []atomicstore.Backup) (last *atomicstore.Backup) {
	if o.look.Last >= o.look.First || o.Damage.inLog() {
		return nil
	}
	for i, b := range backups {
		if b.Epoch != "" && b.Epoch != o.Epoch && (last == nil || b.Time.After(last.Time)) {
			last = &backups[i]
		}
	}
	return last
}

// changesHeld says which changes the log holds.
func changesHeld(first, last uint64, at *time.Time, damaged *damage) string {
	held := fmt.Sprintf("%d to %d", first, last)
	if at != nil {
		held += ", the last at " + stamp(*at)
	}
	none := last < first || first == 0
	switch {
	case damaged.inLog() && none:
		return fmt.Sprintf("unknown: the log is damaged from change %d on", damaged.Seq)
	case damaged.inLog():
		return held + fmt.Sprintf("; damaged from %d on", damaged.Seq)
	case none && last > 0:
		return fmt.Sprintf("none in the log; the last was %d", last)
	case none:
		return "none in the log"
	default:
		return held
	}
}

func snapshotLine(s atomicstore.SnapshotReport) string {
	line := size(s.Size)
	switch {
	case s.Whose == "nobody":
		return "there is none"
	case s.Error != "":
		return line
	case s.Epoch != "":
		line = fmt.Sprintf("after change %d, %s", s.Seq+uint64(s.Changes), line)
	}
	if s.Whose == "operator" || s.Epoch == "" {
		line += ", put there by hand or by a restore: the next start takes it over"
	}
	return line
}
