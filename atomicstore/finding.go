package atomicstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Finding is something in a store's directory that is damaged, missing or not
// to be read, with what the next Open makes of it.
type Finding struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"` // bytes from the start of the file
	Seq    uint64 `json:"seq"`    // the first change that is damaged, or that of a snapshot
	Error  string `json:"error"`  // what is wrong
	Next   Next   `json:"next"`
	How    string `json:"how,omitempty"` // what Next means here: "the next start ..."

	err error // Error
}

// Next is what the next Open does about a Finding.
type Next string

const (
	NextRepairs   Next = "repairs"    // nothing is lost
	NextTakesOver Next = "takes over" // an operator's data.json counts
	NextGoesOn    Next = "goes on"    // with what is left: something may be lost
	NextRefuses   Next = "refuses"    // with a *CorruptError, and changes nothing
	NextIgnores   Next = "ignores"    // the present state does not need it
	NextUnknown   Next = "unknown"    // it could not be read
)

// corrupt returns the finding as an error, or nil if it is no damage.
func (f Finding) corrupt() *CorruptError {
	if f.Next == NextUnknown {
		return nil
	}
	return &CorruptError{Path: f.Path, Offset: f.Offset, Seq: f.Seq, Err: f.err}
}

// failure returns the first damage as an error; where there is none, why
// something could not be read.
func failure(findings []Finding) error {
	for _, f := range findings {
		if corrupt := f.corrupt(); corrupt != nil {
			return corrupt
		}
	}
	if len(findings) > 0 {
		return findings[0].err
	}
	return nil
}

var (
	errNoJSON    = errors.New("it does not parse")
	errEdited    = errors.New("it does not match its checksum: edited by hand, or damaged")
	errNoFile    = errors.New("it is missing")
	errNoWal     = errors.New("the log is missing")
	errNoSegment = errors.New("the segment is missing, and so are the changes that were in it: put it back, or remove " + manifestName + " to go on without them")
	errNoLog     = errors.New("the log is missing, and the store was not closed after " + snapshotName + " was written, so later changes may be lost")
)

// putLogBack is the remedy for errNoLog.
const putLogBack = "put the folder back, or remove " + manifestName + " to go on with " + snapshotName + " alone"

// find says what is wrong and what the next Open makes of that, by the rules of
// open and adopt. broken is what is wrong with data.json.
func (r *Report) find(c *directory, log *CorruptError, broken error) {
	add := func(path string, seq uint64, err error, next Next, how string, args ...any) {
		r.Findings = append(r.Findings, Finding{Path: path, Seq: seq, Error: err.Error(), Next: next, How: fmt.Sprintf(how, args...), err: err})
	}
	s := r.Snapshot
	takenOver := s.Whose == operators.String() && broken == nil || broken == errEdited
	if log != nil {
		next, how := NextRefuses, "the next start refuses"
		if takenOver {
			next, how = NextTakesOver, "the next start sets the log aside, since another data.json was put there"
		}
		r.Findings = append(r.Findings, Finding{log.Path, log.Offset, log.Seq, log.Err.Error(), next, how, log.Err})
	}
	older := func(err error, repair string) {
		from, found := r.older(c, log)
		if found {
			add(s.Path, s.Seq, err, NextRepairs, "the next start %s %s", repair, from)
			return
		}
		add(s.Path, s.Seq, err, NextRefuses, "the next start refuses: no backup with the log after it leads to where it was")
	}
	switch {
	case s.Whose == nobodys.String():
		// A program that replaces data.json may have taken it out a moment ago.
		lost := len(c.data.man.present) > 0 && c.data.man.coming == nil
		if lost || !c.data.known && r.First > 0 && r.Last >= r.First {
			older(errNoFile, "makes it anew of")
		}
	case broken == errRotten, broken == errNoJSON:
		older(broken, "sets it aside and makes it anew of")
	case broken == errEdited:
		how := "the next start takes it over"
		if from, found := r.older(c, log); found {
			how += "; if nobody edited it, move it away, and the next start makes it anew of " + from
		}
		add(s.Path, s.Seq, broken, NextTakesOver, "%s", how)
	case broken != nil:
		add(s.Path, s.Seq, broken, NextRefuses, "the next start refuses")
	case s.Whose == ours.String() && len(r.Segments) == 0 && log == nil && !c.data.man.closed:
		add(c.walDir, s.Seq+1, errNoLog, NextRefuses, "the next start refuses: %s", putLogBack)
	}
	if r.manifestErr != nil {
		if s.Whose == unknown.String() && broken == nil && len(r.Segments) == 0 && log == nil {
			add(c.walDir, s.Seq+1, errNoWal, NextGoesOn, "the next start goes on from data.json alone, after change %d; if there were later changes, they are lost: put the log back if you have it", s.Seq)
		}
		if s.Whose == unknown.String() && broken == nil && len(r.Segments) > 0 && s.Epoch != r.Epoch && r.Last >= r.First {
			add(c.data.manifestPath(), 0, r.manifestErr, NextTakesOver, "the next start takes data.json over, which is not of the log, and writes MANIFEST anew")
		} else {
			add(c.data.manifestPath(), 0, r.manifestErr, NextRepairs, "the next start writes it anew")
		}
	}
	for _, b := range r.Backups {
		if b.err != nil {
			next := NextIgnores
			if b.unread {
				next = NextUnknown
			}
			add(b.Path, b.Seq, b.err, next, "the next start does not need it; it cannot be restored")
		}
	}
}

// unread says that the backups could not be read.
func (r *Report) unread(dir string, err error) {
	if err != nil {
		r.Findings = append(r.Findings, Finding{Path: dir, Error: err.Error(), Next: NextUnknown, How: "the backups could not be checked", err: err})
	}
}

// older names what Open would make the state of without data.json.
func (r *Report) older(c *directory, log *CorruptError) (from string, found bool) {
	if log != nil || len(r.Segments) == 0 || r.Last < c.data.man.reach() {
		return "", false
	}
	for _, b := range slices.Backward(r.Backups) {
		if b.err == nil && b.Epoch == r.Epoch && b.Seq <= r.Last && b.Seq+1 >= r.First {
			return fmt.Sprintf("%s and the log", filepath.Base(b.Path)), true
		}
	}
	return "the log, which has every change", r.First == 1 && r.Last > 0
}
