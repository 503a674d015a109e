package atomicstore

import (
	"encoding/json"
	"path/filepath"
	"time"
)

// Snapshot is a data.json or a backup, of whatever types.
type Snapshot struct {
	Position                 // of the last change in State
	SavedAt  time.Time       `json:"savedAt"` // UTC
	State    json.RawMessage `json:"state"`   // as encoding/json wrote it

	// Changes come after State. Only RestoreBefore writes any, into a data.json
	// that the next Open takes over.
	Changes []Record `json:"changes,omitempty"`
}

// ReadSnapshot reads a data.json or a backup and checks it. A file that is
// damaged, or has not the form of a backup, is a [*CorruptError]; it may be an
// operator's, which [Open] takes over if its types fit.
func ReadSnapshot(path string) (*Snapshot, error) {
	c := openDirectory(filepath.Dir(path), (*Options)(nil).withDefaults())
	snap, err := c.backup(path)
	if err != nil {
		return nil, asOf(path, err)
	}
	s := &Snapshot{Position: Position{snap.Epoch, snap.Seq}, SavedAt: snap.SavedAt, State: json.RawMessage(snap.State)}
	for i, change := range snap.Changes {
		seq := snap.Seq + uint64(i) + 1
		r, err := change.record(seq)
		if err != nil {
			return nil, &CorruptError{Path: path, Seq: seq, Err: err}
		}
		s.Changes = append(s.Changes, r.logged(snap.Epoch))
	}
	return s, nil
}
