package atomicstore

import "sync/atomic"

// reserve refuses updates before the disk is full. A disk that is full cannot
// be noticed by trying: a write into a preallocated segment still works on it,
// and the next segment or snapshot then does not.
type reserve struct {
	keep int64        // bytes that stay free; below 0 there is no reserve
	free atomic.Int64 // bytes, as measured last
	full atomic.Bool
}

// measureSpace looks at the free space: every second, and after what takes
// much of it. Updates are refused, or not any more, from then on.
func (s *Store[S, E]) measureSpace() {
	free, err := s.opts.FS.Free(s.dir)
	if err != nil {
		return // the next look may tell more; a write that fails will tell it all
	}
	s.reserve.free.Store(free)
	need := s.wal.lacks.Load()
	if s.reserve.keep >= 0 {
		// The next snapshot needs room beside the present one, and is larger by as
		// much as was logged since, at worst.
		s.checkpoints.mu.Lock()
		need = max(need, s.reserve.keep+s.checkpoints.bytes+s.wal.logged.Load()-s.checkpoints.logged)
		s.checkpoints.mu.Unlock()
	}
	full := free < need
	if s.reserve.full.Swap(full) == full {
		return
	}
	if full {
		s.opts.Logger.Error("the disk is nearly full; updates are refused until there is room", "free", free, "needed", need)
	} else {
		s.opts.Logger.Info("there is room on the disk again", "free", free)
	}
}

// noRoom refuses updates after a segment found no room, in spite of the
// reserve: that was too small, or another program was quicker. Nothing is lost,
// so the next look at the disk may lift it; what is tried then will tell.
func (s *Store[S, E]) noRoom(cause error) {
	if !s.reserve.full.Swap(true) {
		s.opts.Logger.Error("the disk is full; updates are refused until there is room", "error", cause)
	}
}
