package atomicstore

import (
	"log/slog"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// Options changes how a store works. The zero value is good; Open copies it.
type Options struct {
	// Logger hears of recovery and of what was set aside, of checkpoints and
	// backups that failed, of stalls, with the stacks of all goroutines, of a
	// full disk, and of the failure of the store. Default: silent.
	Logger *slog.Logger

	// BackupDir receives each data.json that a checkpoint replaces, as
	// backup-<seq>-<time>.json, and what recovery sets aside. It must be on the
	// same file system. Default: no backups.
	BackupDir string

	// KeepBackups is how many of the newest backups are kept, besides one an
	// hour of the last day. Default: 50.
	KeepBackups int

	// BackupBytes bounds the backups and what was set aside, all together. The
	// oldest go first; what KeepModifications needs stays. Default: 512 MiB.
	BackupBytes int64

	// KeepModifications is how many of the latest changes can be undone with
	// RestoreBefore and read back by Changes and At, at least: neither the
	// number of backups nor BackupBytes takes what that needs. Without
	// BackupDir it is for Changes alone. Default: 50.
	KeepModifications int

	// MaxAge bounds everything old: log, backups, and what was set aside. It
	// wins over KeepModifications; Stats.AgedOut tells when it did. Default:
	// 30 days.
	MaxAge time.Duration

	// SegmentBytes is the size that a log segment is preallocated with.
	// Default: 4 MiB.
	SegmentBytes int64

	// Reserve is how many bytes stay free on the disk, besides what the next
	// snapshot takes. With less, Update returns ErrDiskFull, until there is
	// room again. Default: 16 MiB, at least four segments; below 0 there is
	// none.
	Reserve int64

	// QueueLimit is how many updates may wait. Default: 4096.
	QueueLimit int

	// MaxChangeBytes bounds the events of one update. Default: 16 MiB.
	MaxChangeBytes int

	// Upgrade turns an event of the log whose kind the program does not know
	// into one that it does, both as JSON. Of events without kinds it is given
	// each. It must be deterministic, as apply. Default: Open stops with
	// ErrUnknownKind.
	Upgrade func(event []byte) ([]byte, error)

	// Import turns a data.json that an operator put there, and that has neither
	// the form of a backup nor that of a state, into the JSON of a state; it is
	// also given plain states, and returns those as they are. An error sets the
	// file aside. Default: the file is decoded as a state.
	Import func(data []byte) (state []byte, err error)

	seam // the crash tests and storetest put a simulation here
}

type seam = vfs.Seam

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.KeepBackups <= 0 {
		c.KeepBackups = 50
	}
	if c.BackupBytes <= 0 {
		c.BackupBytes = 512 << 20
	}
	if c.MaxAge <= 0 {
		c.MaxAge = 30 * 24 * time.Hour
	}
	if c.KeepModifications <= 0 {
		c.KeepModifications = 50
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 4 << 20
	}
	if c.Reserve == 0 {
		c.Reserve = max(16<<20, 4*c.SegmentBytes)
	}
	if c.QueueLimit <= 0 {
		c.QueueLimit = 4096
	}
	if c.MaxChangeBytes <= 0 {
		c.MaxChangeBytes = 16 << 20
	}
	if c.FS == nil {
		c.FS = vfs.Disk{}
	}
	return c
}
