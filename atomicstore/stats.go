package atomicstore

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are a store's numbers since it was opened.
type Stats struct {
	Seq   uint64 `json:"seq"`   // the latest change
	First uint64 `json:"first"` // the oldest change that Changes can give

	Changes    uint64 `json:"changes"`    // written
	Bytes      uint64 `json:"bytes"`      // of their events, written
	Refused    uint64 `json:"refused"`    // updates refused by decide or Apply
	Overloaded uint64 `json:"overloaded"` // updates refused with ErrOverloaded
	Waiting    int    `json:"waiting"`    // updates in the queue now

	Batches      uint64 `json:"batches"`      // flushes that wrote the changes
	BatchP50     int    `json:"batchP50"`     // changes in one flush
	BatchP90     int    `json:"batchP90"`     // quantiles are an eighth too high at most
	BatchP99     int    `json:"batchP99"`     //
	LargestBatch int    `json:"largestBatch"` //

	FlushTime    time.Duration `json:"flushTime"`    // all flushes together, ns
	FlushP50     time.Duration `json:"flushP50"`     // write and sync of one batch, ns
	FlushP90     time.Duration `json:"flushP90"`     //
	FlushP99     time.Duration `json:"flushP99"`     //
	SlowestFlush time.Duration `json:"slowestFlush"` //
	Flushing     time.Duration `json:"flushing"`     // age of the flush under way, 0 without one, ns
	Stalls       uint64        `json:"stalls"`       // flushes and decides that took over a second

	Segments      int       `json:"segments"`      // of the log
	LogBytes      uint64    `json:"logBytes"`      // of the batches of changes written since Open, frames included; not the size of the log
	Checkpoints   uint64    `json:"checkpoints"`   // snapshots written
	SnapshotSeq   uint64    `json:"snapshotSeq"`   // of data.json
	SnapshotBytes int64     `json:"snapshotBytes"` // of data.json
	SnapshotAt    time.Time `json:"snapshotAt"`    // when data.json was made, also before the store was opened; UTC
	SnapshotError string    `json:"snapshotError"` // of the last attempt, "" when it succeeded

	Failed    bool   `json:"failed"`    // nothing is written until the store is opened again: Err is ErrFailed or ErrReplaced
	LastError string `json:"lastError"` // why, or SnapshotError, or BackupError, or ""

	Replaced    bool   `json:"replaced"`    // by an operator's data.json: the next Open takes it over
	FreeBytes   int64  `json:"freeBytes"`   // on the disk
	DiskFull    bool   `json:"diskFull"`    // less than Options.Reserve: updates are refused
	Backups     int    `json:"backups"`     // kept
	BackupBytes int64  `json:"backupBytes"` // of them, and of what was set aside
	BackupError string `json:"backupError"` // why a backup is missing that is still tried, "" when none is
	Undoable    uint64 `json:"undoable"`    // RestoreBefore can undo this change and later ones; 0 is not yet known
	AgedOut     bool   `json:"agedOut"`     // Options.MaxAge took some of the latest KeepModifications
}

// counts is what the committer counts.
type counts struct {
	refused    atomic.Uint64
	overloaded atomic.Uint64

	mu       sync.Mutex // guards the fields below
	changes  uint64
	bytes    uint64
	logged   uint64
	batches  histogram // changes in each
	largest  int
	flushes  histogram // ns of each
	flushing time.Duration
	slowest  time.Duration
}

func (c *counts) flushed(changes, bytes, logged int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes += uint64(changes)
	c.bytes += uint64(bytes)
	c.logged += uint64(logged)
	c.batches.add(uint64(changes))
	c.largest = max(c.largest, changes)
	c.flushes.add(uint64(took))
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
		Waiting:    s.queue.len(),
		Segments:   s.wal.count(),
		Flushing:   s.stalls.flush.lasts(),
		Stalls:     s.stalls.count.Load(),
		Failed:     s.Err() != nil,
		FreeBytes:  s.reserve.free.Load(),
		DiskFull:   s.reserve.full.Load(),
		Replaced:   errors.Is(s.Err(), ErrReplaced),
	}
	s.counts.fill(&st)
	s.checkpoints.fill(&st)
	if err := s.data.backupErr.Load(); err != nil {
		st.BackupError = (*err).Error()
	}
	st.LastError = cmp.Or(st.SnapshotError, st.BackupError)
	if st.Failed {
		st.LastError = s.Err().Error()
	}
	return st
}

func (c *counts) fill(st *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.Changes, st.Bytes, st.LogBytes, st.Batches = c.changes, c.bytes, c.logged, c.batches.count
	st.BatchP50, st.BatchP90, st.BatchP99 = int(c.batches.quantile(0.5)), int(c.batches.quantile(0.9)), int(c.batches.quantile(0.99))
	st.FlushP50, st.FlushP90, st.FlushP99 = time.Duration(c.flushes.quantile(0.5)), time.Duration(c.flushes.quantile(0.9)), time.Duration(c.flushes.quantile(0.99))
	st.LargestBatch, st.FlushTime, st.SlowestFlush = c.largest, c.flushing, c.slowest
}
