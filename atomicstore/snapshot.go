package atomicstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

const (
	snapshotName   = "data.json"
	snapshotFormat = 1
)

// snapshot is the state at a position, as data.json and each backup hold it.
type snapshot struct {
	Format  int             `json:"format"`
	Epoch   string          `json:"epoch"`
	Seq     uint64          `json:"seq"`
	Chain   uint32          `json:"chain"` // checksum of the batch that ends at seq
	SavedAt time.Time       `json:"savedAt"`
	State   json.RawMessage `json:"state"`
}

// encodeSnapshot puts every field on a line of its own, so that head shows a
// person what the file is.
func encodeSnapshot[S any](v *version[S], now time.Time) ([]byte, error) {
	state, err := json.Marshal(v.state)
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	var b bytes.Buffer
	b.Grow(len(state) + 256)
	fmt.Fprintf(&b, "{\n\"format\": %d,\n\"epoch\": %q,\n\"seq\": %d,\n\"chain\": %d,\n\"savedAt\": %q,\n\"state\": ",
		snapshotFormat, v.at.Epoch, v.at.Seq, v.chain, now.UTC().Format(time.RFC3339Nano))
	b.Write(state)
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

// decodeSnapshot reads the frame of a snapshot, not yet its state.
func decodeSnapshot(data []byte) (s snapshot, epoch epochID, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, epoch, err
	}
	if s.Format != snapshotFormat {
		return s, epoch, fmt.Errorf("format %d, this program reads %d", s.Format, snapshotFormat)
	}
	epoch, ok := parseEpoch(s.Epoch)
	if !ok {
		return s, epoch, fmt.Errorf("epoch %q is not 16 hexadecimal digits", s.Epoch)
	}
	if len(s.State) == 0 {
		return s, epoch, fmt.Errorf("there is no state")
	}
	return s, epoch, nil
}

// loadState decodes the state of a snapshot.
func loadState[S any](s snapshot) (state S, err error) {
	if err := json.Unmarshal(s.State, &state); err != nil {
		return state, fmt.Errorf("decode the state: %w", err)
	}
	return state, nil
}

// dirOf is the folder of a path.
func dirOf(path string) string { return filepath.Dir(path) }
