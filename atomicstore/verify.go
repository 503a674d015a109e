package atomicstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Report is what Verify found.
type Report struct {
	Epoch      string          `json:"epoch"`
	First      uint64          `json:"first"` // the oldest change in the log
	Last       uint64          `json:"last"`  // the latest change
	Changes    uint64          `json:"changes"`
	Batches    int             `json:"batches"`
	Segments   []SegmentReport `json:"segments"`
	Superseded []string        `json:"superseded"` // segments that the next open removes
	Torn       int64           `json:"torn"`       // bytes behind the last batch that are no batch; in a closed store, what was cut off and never acknowledged
	Snapshot   SnapshotReport  `json:"snapshot"`
	Manifest   string          `json:"manifest"` // "ok", "missing" or what is wrong
	Backups    []BackupReport  `json:"backups"`
	SetAside   []string        `json:"setAside"`

	// Findings is all that is damaged or could not be read, in the order in
	// which it counts; empty when all is well.
	Findings []Finding `json:"findings"`

	manifestErr error // of a MANIFEST that is damaged
}

// SegmentReport is about one segment of the log.
type SegmentReport struct {
	Path    string    `json:"path"`
	First   uint64    `json:"first"`
	Changes uint64    `json:"changes"`
	Batches int       `json:"batches"`
	Size    int64     `json:"size"` // bytes, preallocated ones too
	Time    time.Time `json:"time"` // of its first change or before
}

// SnapshotReport is about data.json.
type SnapshotReport struct {
	Path  string `json:"path"`
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Size  int64  `json:"size"`

	// Changes come after Seq in a file that RestoreBefore has put there.
	Changes int `json:"changes,omitempty"`

	// Whose is "store", "operator" for a file that the next open takes over,
	// "unknown" without MANIFEST, "rotten", or "nobody" when there is none.
	Whose string `json:"whose"`
	Error string `json:"error,omitempty"`
}

// BackupReport is about one backup.
type BackupReport struct {
	Backup
	Error string `json:"error,omitempty"` // "" if it matches its checksum

	err    error // Error
	unread bool  // nobody can tell whether it is damaged
}

func (o owner) String() string {
	return [...]string{nobodys: "nobody", ours: "store", unknown: "unknown", operators: "operator", rotten: "rotten"}[o]
}

// VerifyOptions changes what Verify looks at. The zero value is good.
type VerifyOptions struct {
	// BackupDir is that of the store's Options. Default: no backups.
	BackupDir string

	// Progress hears how far it is, now and then, in bytes. It is called in
	// Verify's goroutine, and begins anew when Verify has to. Default: nobody
	// hears.
	Progress func(done, total int64)

	seam
}

// Verify reads everything in a store's directory and checks it, against every
// checksum there is. It changes nothing, needs to know nothing of the types,
// and may run while a program has the store open. When ctx ends it returns the
// error of ctx, after the read under way.
//
// Damage to data that was acknowledged is a [*CorruptError], the first one
// found, beside a report of all that could be read; the report also says what
// the next Open makes of it. What could not be read is an error beside the
// report where there is no damage.
func Verify(ctx context.Context, dir string, o *VerifyOptions) (*Report, error) {
	var given VerifyOptions
	if o != nil {
		given = *o
	}
	opts := (&Options{BackupDir: given.BackupDir, seam: given.seam}).withDefaults()
	opts.FS = endingFS{opts.FS, ctx}
	var report *Report
	var err error
	// A store that is open removes, replaces and writes meanwhile: what it has
	// not finished can look like damage. Damage looks the same twice.
	for range 20 {
		before := err
		report, err = verify(dir, opts, given.Progress)
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		var corrupt, again *CorruptError
		damaged := errors.As(err, &again)
		if !damaged && !isMissing(err) || errors.As(before, &corrupt) && corrupt.same(again) {
			break // all is well, or will not get better
		}
	}
	var corrupt *CorruptError
	if err != nil && !errors.As(err, &corrupt) {
		err = prefixed(fmt.Errorf("verify %s: %w", dir, err))
	}
	return report, err
}

func verify(dir string, opts Options, tell func(done, total int64)) (*Report, error) {
	c := openDirectory(dir, opts)
	r := &Report{
		Snapshot: SnapshotReport{Path: c.data.path()},
		Segments: []SegmentReport{}, Superseded: []string{}, Backups: []BackupReport{}, SetAside: []string{}, Findings: []Finding{}, // [] in JSON
	}
	p := newProgress(c, tell)
	broken, err := r.present(c)
	if err != nil {
		return r, err
	}
	p.add(r.Snapshot.Size)
	logDamage, err := r.log(c, p)
	if err != nil {
		return r, err
	}
	unread := r.backups(c, p)
	p.finish()
	r.find(c, logDamage, broken)
	r.unread(c.data.backupDir, unread)
	return r, failure(r.Findings)
}

// present reads MANIFEST and data.json. Where a program replaces data.json in
// between, its own file looks like another's. One that is another's looks so again.
func (r *Report) present(c *directory) (broken, err error) {
	for range 20 {
		before := r.Snapshot
		if err = r.manifest(c); err != nil {
			return nil, err
		}
		broken, err = r.snapshot(c)
		doubtful := r.Snapshot.Whose == operators.String() || r.Snapshot.Whose == rotten.String()
		if err != nil || !doubtful || r.Snapshot == before {
			break
		}
	}
	return broken, err
}

// manifest reads MANIFEST.
func (r *Report) manifest(c *directory) error {
	r.Manifest, r.manifestErr = "ok", nil
	c.data.man, c.data.known = manifest{}, false
	data, err := c.fs.Read(c.data.manifestPath())
	if isMissing(err) {
		r.Manifest = "missing"
		return nil
	}
	if err != nil {
		return err
	}
	m, err := decodeManifest(data)
	if err != nil {
		r.Manifest, r.manifestErr = err.Error(), err
		return nil
	}
	c.data.man, c.data.known = *m, true
	return nil
}

// snapshot checks data.json. broken is what is wrong with it.
func (r *Report) snapshot(c *directory) (broken, err error) {
	found, err := c.data.look(c.data.path())
	if err != nil {
		return nil, err
	}
	s := &r.Snapshot
	*s = SnapshotReport{Path: s.Path}
	s.Size, s.Whose = found.id.Size, found.owner.String()
	if found.owner == nobodys {
		return nil, nil
	}
	data, err := c.fs.Read(c.data.path())
	if err != nil {
		return nil, err
	}
	snap, _, err := decodeSnapshot(data)
	s.Epoch, s.Seq, s.Changes = snap.Epoch, snap.Seq, len(snap.Changes)
	if err == nil && !snap.intact() {
		err = errSnapshotSum
	}
	switch {
	case found.owner == rotten:
		broken = errRotten
	case err == nil || found.owner == ours:
		broken = err
	default:
		broken = put(data, err)
	}
	if broken != nil {
		s.Error = broken.Error()
	}
	return broken, nil
}

// put tells what is wrong with a file that is no whole snapshot and that
// somebody may have put there, as readForeign would.
func put(data []byte, err error) error {
	switch {
	case !json.Valid(data):
		return errNoJSON
	case !framed(data):
		return nil // a state alone, or what Options.Import reads
	case errors.Is(err, errSnapshotFormat):
		return err
	default:
		return errEdited
	}
}

// log checks every segment.
func (r *Report) log(c *directory, p *progress) (*CorruptError, error) {
	if r.noLog(c) {
		return nil, nil
	}
	found, err := listSegments(c.fs, c.walDir, parseSegmentName)
	if err == nil {
		at := map[string]int{}
		for _, s := range found.segments {
			id, err := c.fs.Stat(s.path)
			if err != nil {
				return nil, err
			}
			at[s.path] = len(r.Segments)
			r.Segments = append(r.Segments, SegmentReport{Path: s.path, First: s.first, Size: id.Size, Time: s.created})
		}
		found.visit = func(s segment, b batch) error {
			segment := &r.Segments[at[s.path]]
			segment.Batches++
			segment.Changes += uint64(b.count)
			r.Batches++
			r.Changes += uint64(b.count)
			p.add(int64(b.size()))
			if b.count > 0 {
				r.Last = b.last()
			}
			return b.records(validEvents)
		}
		ofSnapshot, reach := uint64(0), c.data.man.reach()
		if r.Snapshot.Whose != operators.String() && r.Snapshot.Error == "" {
			ofSnapshot = r.Snapshot.Seq
		}
		r.Superseded = append(r.Superseded, found.stale...)
		if len(found.segments) > 0 {
			r.First, r.Epoch = found.first(), found.segments[0].epoch.String()
			r.Last = r.First - 1
		}
		_, err = found.check(c.fs, ofSnapshot, reach)
		r.Torn = found.torn
		if err == nil {
			err = c.data.man.lacks(found, r.Last, c.walDir)
		}
		if err == nil {
			err = r.fits(c, found, ofSnapshot)
		}
	}
	var damage *CorruptError
	if errors.As(err, &damage) {
		return damage, nil
	}
	return nil, err
}

// fits checks that the log goes on from data.json.
func (r *Report) fits(c *directory, found *scanned, snapshot uint64) error {
	if r.Snapshot.Whose != ours.String() || len(found.segments) == 0 || r.Snapshot.Epoch != r.Epoch {
		return nil
	}
	if r.First > snapshot+1 || r.Last < snapshot {
		return &CorruptError{Path: c.walDir, Seq: snapshot + 1, Err: fmt.Errorf("the log has the changes %d to %d, the snapshot was made after change %d", r.First, r.Last, snapshot)}
	}
	return nil
}

func validEvents(rec record) error {
	for _, e := range rec.events {
		if !json.Valid(e) {
			return fmt.Errorf("an event of change %d is no JSON", rec.seq)
		}
	}
	return nil
}

// noLog tells whether there is a store without a folder for its log.
func (r *Report) noLog(c *directory) bool {
	_, err := c.fs.Names(c.walDir)
	return isMissing(err) && (r.Snapshot.Whose != nobodys.String() || r.Manifest != "missing")
}

// backups checks every backup, and returns why the folder cannot be read.
func (r *Report) backups(c *directory, p *progress) error {
	if c.data.backupDir != "" {
		if _, err := c.fs.Names(c.data.backupDir); isMissing(err) {
			return nil
		}
	}
	list, err := backupCache{}.list(c.fs, c.data.backupDir)
	if err != nil {
		return err
	}
	for _, b := range list {
		report := BackupReport{Backup: b}
		p.add(b.Size)
		if _, err := c.backup(b.Path); isMissing(err) {
			continue // pruned in the meantime
		} else if err != nil {
			report.err, report.unread = err, true
			var damage *CorruptError
			if errors.As(err, &damage) {
				report.err, report.unread = damage.Err, false
			}
			report.Error = report.err.Error()
		}
		r.Backups = append(r.Backups, report)
	}
	asides, err := listAsides(c.fs, c.data.asideDir())
	for _, f := range asides {
		r.SetAside = append(r.SetAside, filepath.Base(f.path))
	}
	return err
}
