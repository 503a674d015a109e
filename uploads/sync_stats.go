package uploads

import (
	"maps"
	"slices"
	"time"

	"github.com/sony/gobreaker/v2"
)

// SyncStats are the numbers of a Syncer.
type SyncStats struct {
	Pending   int           `json:"pending"`   // photos and deletions that are to be mirrored, those on their way included
	Deletions int           `json:"deletions"` // of them
	Flying    int           `json:"flying"`    // of them, on their way now
	Oldest    time.Duration `json:"oldest"`    // age of the one that has been pending longest, 0 without one, ns
	Parked    int           `json:"parked"`    // refused for good, see Syncer.Parked; not in Pending
	Breaker   string        `json:"breaker"`   // closed when the remote works, open, or half-open while one photo is tried
	LastError string        `json:"lastError"` // of the latest failure, "" when a call has succeeded since
	LastAt    time.Time     `json:"lastAt"`    // of it
	Mirrored  uint64        `json:"mirrored"`  // photos that were put at the remote
	Deleted   uint64        `json:"deleted"`   // photos that the remote has confirmed to be deleted
	Failures  uint64        `json:"failures"`  // tries that failed, those of OnMoved and of the disk included
}

type syncCounts struct{ mirrored, deleted, failures uint64 }

func (s *Syncer) count(f func(*syncCounts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

// Stats returns the numbers of this moment. It never waits for the remote or the
// disk. Before Run has looked through the folder nothing is pending.
func (s *Syncer) Stats() SyncStats {
	breaker := s.breaker.State().String()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := SyncStats{
		Flying:   s.flying,
		Breaker:  breaker,
		Mirrored: s.counts.mirrored,
		Deleted:  s.counts.deleted,
		Failures: s.counts.failures,
	}
	for _, j := range s.jobs {
		if j.parked != nil {
			t.Parked++
			continue
		}
		t.Pending++
		if j.deletion {
			t.Deletions++
		}
		t.Oldest = max(t.Oldest, time.Since(j.since))
	}
	if s.lastErr != nil {
		t.LastError = s.lastErr.Error()
		t.LastAt = s.lastAt
	}
	return t
}

// Working tells whether the remote works, as far as the Syncer knows: its breaker
// is closed. It costs nothing, so that a handler may ask at every request.
func (s *Syncer) Working() bool { return s.breaker.State() == gobreaker.StateClosed }

// Parked is a photo that the remote refuses for good.
type Parked struct {
	ID       PhotoID
	Deletion bool // it refuses to delete it
	Err      error
}

// Parked returns what is parked, in the order of the ids.
func (s *Syncer) Parked() []Parked {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Parked
	for _, id := range slices.Sorted(maps.Keys(s.jobs)) {
		if j := s.jobs[id]; j.parked != nil {
			all = append(all, Parked{j.id, j.deletion, j.parked})
		}
	}
	return all
}
