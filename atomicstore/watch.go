package atomicstore

import (
	"errors"
	"time"
)

// watchEvery is how often the store looks at what others do to its files.
const watchEvery = time.Second

// watchAll is the goroutine that looks after what no update reaches.
func (s *Store[S, E]) watchAll() {
	defer s.watching.Done()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var aged time.Time
	for {
		select {
		case <-s.checkpoints.quit:
			return
		case <-ticker.C:
			s.measureSpace()
			s.watch()
			if now := time.Now(); s.Err() == nil && now.Sub(aged) >= ageEvery {
				aged = now
				if err := s.age(now); err != nil && !errors.Is(err, ErrReplaced) {
					s.opts.Logger.Warn("what is too old stays for now", "error", err)
				}
			}
		}
	}
}

// watch looks whether an operator has replaced data.json.
func (s *Store[S, E]) watch() {
	if s.Err() != nil || !s.checkpoints.saving.TryLock() {
		return // a checkpoint under way looks by itself
	}
	defer s.checkpoints.saving.Unlock()
	replaced, err := s.data.replaced()
	if err != nil && !replaced {
		s.opts.Logger.Warn("the data file could not be looked at", "error", err)
	}
	if replaced {
		s.replaced()
	}
}

// replaced stops writing: what was acknowledged from now on, the next Open
// would set aside.
func (s *Store[S, E]) replaced() {
	err := ErrReplaced
	if s.failure.CompareAndSwap(nil, &err) {
		s.opts.Logger.Warn("data.json was replaced by hand; nothing is written until the store is opened again and takes it over", "path", s.path(snapshotName))
		s.tail.wake() // those in WaitFor wait in vain
	}
}

// leaveData ends all watching and writing of data.json at Close. That an operator has
// replaced it is no failure: his file is what the next Open takes.
func (s *Store[S, E]) leaveData(err error) error {
	s.watching.Wait()
	s.checkpoints.saving.Lock()
	defer s.checkpoints.saving.Unlock()
	s.data.close()
	s.checkpoints.ended = true
	if err == nil && s.Err() == nil {
		return s.data.mark(true)
	}
	if errors.Is(err, ErrReplaced) {
		return nil
	}
	return err
}
