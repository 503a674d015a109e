package atomicstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkpointEvery = time.Second // at most one in this time
	checkpointShare = 20          // at most 1/20 of one core
	checkpointBytes = 64 << 20    // of log since the last one, or the snapshot's size: then at once
)

// checkpoints writes data.json in the background, some time after a change.
type checkpoints struct {
	dirty chan struct{} // holds one signal: there is a change
	quit  chan struct{} // closed by stop
	done  chan struct{} // closed when the goroutine has ended
	once  sync.Once

	gathered atomic.Int64 // bytes of log since the last one began
	waits    atomic.Bool  // one will begin, and will have what is durable by then

	saving sync.Mutex // one snapshot at a time; guards the next two
	epoch  string     // of data.json
	ended  bool       // Close has let go of data.json

	mu     sync.Mutex // guards the fields below
	seq    uint64     // of data.json
	bytes  int64      // of data.json
	logged int64      // wal.logged when it was made, or somewhat before
	count  uint64
	took   time.Duration // of the last one
	err    error         // of the last one
	at     time.Time     // when data.json was made, UTC; zero when it is not known

	backups     int    // kept
	backupBytes int64  // of them, and of what was set aside
	undoable    uint64 // the oldest change before which the state can be restored; 0 is not yet known
	aged        bool   // age took some of the latest modifications
}

func newCheckpoints() *checkpoints {
	return &checkpoints{
		dirty: make(chan struct{}, 1),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
	}
}

// changed says that a batch is durable. It never waits, and wakes nobody who
// would only go on waiting.
func (c *checkpoints) changed(bytes int) {
	gathered := c.gathered.Add(int64(bytes))
	if c.waits.Load() && !c.due(gathered) {
		return
	}
	select {
	case c.dirty <- struct{}{}:
	default: // there is a signal already
	}
}

func (c *checkpoints) stop() {
	c.once.Do(func() { close(c.quit) })
	<-c.done
}

func (c *checkpoints) saved() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

// stale tells whether data.json is missing or older than a seq.
func (c *checkpoints) stale(seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes == 0 || c.seq < seq
}

func (c *checkpoints) fill(st *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.Checkpoints, st.SnapshotSeq, st.SnapshotBytes, st.SnapshotAt = c.count, c.seq, c.bytes, c.at
	st.Backups, st.BackupBytes, st.Undoable, st.AgedOut = c.backups, c.backupBytes, c.undoable, c.aged
	if c.err != nil {
		st.SnapshotError = c.err.Error()
	}
}

// pause is how long the next snapshot waits after the last one.
func (c *checkpoints) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(checkpointEvery, c.took*(checkpointShare-1))
}

// due tells whether so much log has gathered that reading it back would take
// too long after a crash.
func (c *checkpoints) due(logged int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return logged > max(checkpointBytes, c.bytes)
}

// checkpointAll is the goroutine of the checkpoints.
func (s *Store[S, E]) checkpointAll() {
	c := s.checkpoints
	defer close(c.done)
	timer := time.NewTimer(0)
	timer.Stop()
	for {
		select {
		case <-c.quit:
			timer.Stop()
			return
		case <-c.dirty:
			if c.due(c.gathered.Load()) {
				timer.Reset(0)
			} else if !c.waits.Load() {
				timer.Reset(c.pause())
			}
			c.waits.Store(true)
		case <-timer.C:
			// In this order: whatever is not told from now on, save sees.
			c.waits.Store(false)
			c.gathered.Store(0)
			err := s.checkpoint()
			if errors.Is(err, ErrReplaced) {
				continue
			}
			if err != nil {
				s.opts.Logger.Warn("the snapshot was not written; it is tried again, and all changes are in the log", "error", err)
				c.waits.Store(true)
				timer.Reset(c.pause())
			}
		}
	}
}

// Checkpoint writes the present state to data.json now, if that is older, and
// returns when it is on disk. The store does so by itself; whoever copies
// data.json elsewhere calls it. After an error, which may be [ErrReplaced],
// [ErrClosed] or that of ctx if it has ended before, the changes are in the log
// all the same. ctx does not end a write under way.
func (s *Store[S, E]) Checkpoint(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return prefixed(s.checkpoint())
}

// checkpoint writes a snapshot: the new file is synced and put in the place of
// the old one, which becomes a backup, the folder is synced, and only then does
// the log forget what no snapshot needs.
func (s *Store[S, E]) checkpoint() error { return s.save(nil) }

// save is checkpoint; adopted is the operator's file that it may replace.
func (s *Store[S, E]) save(adopted *digest) (err error) {
	c := s.checkpoints
	c.saving.Lock()
	defer c.saving.Unlock()
	if c.ended {
		return ErrClosed // the directory may be another's by now
	}
	if err := s.Err(); errors.Is(err, ErrReplaced) {
		return err
	}

	start := time.Now()
	logged := s.wal.logged.Load()
	v := s.current.Load()
	if !c.stale(v.at.Seq) && v.at.Epoch == c.epoch {
		return nil
	}
	// Checkpoints without a pause between them leave watch no time to look, and
	// the backups that nobody has looked at would be pruned.
	if err := s.data.lateWriting(); err != nil {
		if errors.Is(err, ErrReplaced) {
			s.replaced()
		}
		return err
	}
	size := int64(0)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.err, c.took = err, time.Since(start)
		if err == nil {
			c.count++
			c.seq, c.bytes, c.epoch, c.logged, c.at = v.at.Seq, size, v.at.Epoch, logged, start.UTC().Round(0)
		}
	}()
	write := writeSnapshot(v, start)
	begins := v.at.Epoch != c.epoch
	var notCopied error
	if begins {
		// The log of an epoch goes on from this snapshot alone: if an operator
		// copies over it, there must be another.
		if notCopied = s.data.copyBackup(write, v.at.Seq); notCopied != nil {
			s.opts.Logger.Warn("a backup was not made; it is tried again", "change", v.at.Seq, "error", notCopied)
		}
	}
	size, err = s.data.install(write, v.at.Seq, adopted)
	if begins {
		s.data.copied(notCopied) // after install, which may have dealt with the one before
	}
	s.measureSpace()
	if err != nil {
		if errors.Is(err, ErrReplaced) {
			s.replaced()
		}
		return err
	}
	if err := s.pruneBackups(v.at.Seq); err != nil {
		s.opts.Logger.Warn("old backups stay for now", "error", err)
	}
	if err := s.wal.prune(s.prunable(v.at.Seq)); err != nil && !isMissing(err) {
		s.opts.Logger.Warn("old log segments stay for now", "error", err)
	}
	return nil
}
