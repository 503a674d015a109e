package atomicstore

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// Snapshot is a data.json or a backup, of whatever types.
type Snapshot struct {
	Position                 // of the last change in State
	SavedAt  time.Time       // UTC
	State    json.RawMessage // as encoding/json wrote it

	// Changes come after State. Only RestoreBefore writes any, into a data.json
	// that the next Open takes over.
	Changes []Record
}

// ReadSnapshot reads a data.json or a backup and checks it. A file that is
// damaged, or has not the form of a backup, is a [*CorruptError]; it may be an
// operator's, which [Open] takes over if its types fit.
func ReadSnapshot(path string) (*Snapshot, error) {
	c := openClosed(filepath.Dir(path), (*Options)(nil).withDefaults())
	snap, err := c.backup(path)
	if err != nil {
		return nil, asOf(path, err)
	}
	s := &Snapshot{Position: Position{snap.Epoch, snap.Seq}, SavedAt: snap.SavedAt, State: json.RawMessage(snap.State)}
	for i, change := range snap.Changes {
		r := Record{Position: Position{snap.Epoch, snap.Seq + uint64(i) + 1}, Time: change.Time, RequestID: change.RequestID}
		for _, e := range change.Events {
			r.Events = append(r.Events, json.RawMessage(e))
		}
		if _, err := hex.Decode(r.ID[:], []byte(change.ID[:min(len(change.ID), 2*len(r.ID))])); err != nil {
			return nil, &CorruptError{Path: path, Seq: r.Seq, Err: fmt.Errorf("the id %q of a change", change.ID)}
		}
		s.Changes = append(s.Changes, r)
	}
	return s, nil
}
