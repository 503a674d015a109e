package atomicstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrFailed means that writing failed, with the cause wrapped. For an
	// update that was under way the outcome is unknown: it may be there after
	// the store is opened again, or not. Reading goes on; nothing is written
	// until the store is opened again.
	ErrFailed = errors.New("atomicstore: the store cannot write; open it again once the cause is gone")

	// ErrReplaced means that somebody has put another data.json there while the
	// store is open. It stays and counts: the next Open takes it over. Until
	// then nothing is written, since what was written would be set aside.
	ErrReplaced = errors.New("atomicstore: data.json was replaced by hand; open the store again to take it over")

	// ErrLocked means that another process, or another Store of this one, has
	// the directory open.
	ErrLocked = errors.New("atomicstore: the directory is in use: another process has it open, or a store of this one that was not closed")

	// ErrClosed means that the store was closed before the call, or while it
	// waited. Nothing of an update was written.
	ErrClosed = errors.New("atomicstore: the store is closed")

	// ErrDiskFull means that less than Options.Reserve is free, or that there was
	// no room for another segment of the log. Nothing of the update was written;
	// updates are taken as soon as there is room again.
	ErrDiskFull = errors.New("atomicstore: the disk is nearly full")

	// ErrOverloaded means that Options.QueueLimit updates are waiting already.
	// The update was not taken; try again later.
	ErrOverloaded = errors.New("atomicstore: too many updates are waiting")

	// ErrOutcomeUnknown means that the context of an update ended after the
	// update was taken: it will be made, or refused, and nobody waits to hear
	// which. It comes with the context's error. Whoever must know looks for the
	// id of WithRequestID in Changes, or keeps ids in the state.
	ErrOutcomeUnknown = errors.New("atomicstore: outcome unknown: the change may be made")

	// ErrInside means that decide or Apply has called Update, WaitFor or Close,
	// which would wait for itself. Nothing was done.
	ErrInside = errors.New("atomicstore: called from inside an update: return events there, and call it after Update")

	// ErrTooLarge means that the events of one update exceed
	// Options.MaxChangeBytes. The update was not taken.
	ErrTooLarge = errors.New("atomicstore: the change is too large")

	// ErrUnknownKind means that an event has no kind that this program knows,
	// or several. On Open the program is older than its data.
	ErrUnknownKind = errors.New("atomicstore: unknown kind of event")

	// ErrNoBackup means that a file has not the form of a backup, and that
	// neither its name nor its beginning says that it once had: another file was
	// meant. It comes within a [*CorruptError].
	ErrNoBackup = errors.New("atomicstore: the file is no backup")

	// ErrEpoch means that a position belongs to another history: the data was
	// replaced since. Start again from State.
	ErrEpoch = errors.New("atomicstore: position of another epoch")

	// ErrAhead means that a position of this epoch, or a seq, lies after the
	// latest change. Either the change is still to come, and WaitFor waits for
	// it; or the whole directory is an older copy of what the position is from,
	// and who has it starts again from State.
	ErrAhead = errors.New("atomicstore: the position is ahead; wait for it with WaitFor, or start again from State if the data is an older copy")
)

// CorruptError is damage to data that had been acknowledged. Nothing is
// repaired or skipped: restore a backup, or the file.
type CorruptError struct {
	Path   string
	Offset int64  // bytes from the start of the file; 0 also for a file as a whole
	Seq    uint64 // the first change that is damaged
	Err    error  // what is wrong
}

func (e *CorruptError) Error() string {
	text := fmt.Sprintf("%s is damaged at byte %d, change %d: %s", e.Path, e.Offset, e.Seq, bare(e.Err))
	switch {
	case errors.Is(e.Err, ErrNoBackup):
		text = e.Path + " is no backup"
	case e.Offset == 0:
		text = fmt.Sprintf("%s is damaged, change %d: %s", e.Path, e.Seq, bare(e.Err))
	}
	return prefix + text
}

func (e *CorruptError) Unwrap() error { return e.Err }

// PanicError is a panic in an update's decide, or in Apply or Clone. Nothing of
// that update was written; others are not concerned.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return prefix + "panic in an update: " + bare(e.Value)
}

// TruncatedError means that changes are asked for which are no longer held.
type TruncatedError struct {
	First uint64 // the oldest change still held
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("atomicstore: changes before %d are no longer held", e.First)
}

// prefix begins the text of every error of the package, once.
const prefix = "atomicstore: "

// bare is the text of an error, or of what a panic was given, without prefixes.
func bare(v any) string { return strings.ReplaceAll(fmt.Sprint(v), prefix, "") }

// prefixed gives an error that leaves the package the prefix once, whatever it
// wraps, and nil for nil. Those of a context go as they are.
func prefixed(err error) error {
	if err == nil || err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	return reworded(err, prefix+bare(err))
}

// reworded gives an error another text; what it wraps stays to be found.
func reworded(err error, text string) error {
	if err.Error() == text {
		return err
	}
	return &worded{text, err}
}

type worded struct {
	text string
	err  error
}

func (e *worded) Error() string { return e.text }
func (e *worded) Unwrap() error { return e.err }

// opening is an error of Open. Damage comes with what to do about it, which
// others that meet it have no need of.
func opening(dir string, err error) error {
	var corrupt *CorruptError
	remedy := "restore it, or a backup, before opening again"
	switch {
	case errors.Is(err, errNoLog):
		remedy = putLogBack
	case !errors.As(err, &corrupt):
		return prefixed(fmt.Errorf("open %s: %w", dir, err))
	}
	return prefixed(fmt.Errorf("open %s: %w; %s", dir, err, remedy))
}
