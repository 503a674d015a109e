package atomicstore

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are a store's numbers since it was opened.
type Stats struct {
	Seq           uint64        `json:"seq"`           // the latest change
	First         uint64        `json:"first"`         // the oldest change that Changes can give
	Changes       uint64        `json:"changes"`       // written
	Batches       uint64        `json:"batches"`       // flushes that wrote them
	Bytes         uint64        `json:"bytes"`         // of events, written
	Refused       uint64        `json:"refused"`       // updates refused by decide or Apply
	Overloaded    uint64        `json:"overloaded"`    // updates refused with ErrOverloaded
	Waiting       int           `json:"waiting"`       // updates in the queue
	Segments      int           `json:"segments"`      // of the log
	FlushTime     time.Duration `json:"flushTime"`     // all flushes together, ns
	SlowestFlush  time.Duration `json:"slowestFlush"`  // ns
	Checkpoints   uint64        `json:"checkpoints"`   // snapshots written
	SnapshotSeq   uint64        `json:"snapshotSeq"`   // of data.json
	SnapshotBytes int64         `json:"snapshotBytes"` // of data.json
	SnapshotError string        `json:"snapshotError"` // of the last attempt, "" when it succeeded
	Failed        bool          `json:"failed"`        // Err has the cause

	Replaced    bool   `json:"replaced"`    // by an operator's data.json: the next Open takes it over
	Backups     int    `json:"backups"`     // kept
	BackupBytes int64  `json:"backupBytes"` // of them, and of what was set aside
	BackupError string `json:"backupError"` // of the last one, "" when it succeeded
	Undoable    uint64 `json:"undoable"`    // RestoreBefore can undo this change and later ones; 0 is not yet known
	AgedOut     bool   `json:"agedOut"`     // Options.MaxAge took some of the latest KeepModifications
}

// counts is what the committer counts.
type counts struct {
	refused    atomic.Uint64
	overloaded atomic.Uint64

	mu       sync.Mutex // guards the fields below
	changes  uint64
	batches  uint64
	bytes    uint64
	flushing time.Duration
	slowest  time.Duration
}

func (c *counts) flushed(changes, bytes int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes += uint64(changes)
	c.batches++
	c.bytes += uint64(bytes)
	c.flushing += took
	c.slowest = max(c.slowest, took)
}

// Stats returns the numbers of this moment. It never waits for the disk.
func (s *Store[S, E]) Stats() Stats {
	st := Stats{
		Seq:        s.current.Load().at.Seq,
		First:      s.wal.first(),
		Refused:    s.counts.refused.Load(),
		Overloaded: s.counts.overloaded.Load(),
		Waiting:    len(s.queue),
		Segments:   s.wal.count(),
		Failed:     s.Err() != nil,
		Replaced:   errors.Is(s.Err(), ErrReplaced),
	}
	s.counts.mu.Lock()
	st.Changes, st.Batches, st.Bytes = s.counts.changes, s.counts.batches, s.counts.bytes
	st.FlushTime, st.SlowestFlush = s.counts.flushing, s.counts.slowest
	s.counts.mu.Unlock()
	s.checkpoints.fill(&st)
	return st
}
