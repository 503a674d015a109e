package atomicstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
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
	Sum     *uint32         `json:"sum"` // checksum of the state, byte for byte; nil in the oldest files
	State   json.RawMessage `json:"state"`

	// Changes come after the state: a restore writes them, which knows nothing
	// of Apply.
	Changes []snapshotChange `json:"changes,omitempty"`
}

// snapshotChange is a record of the log in a snapshot.
type snapshotChange struct {
	ID        string            `json:"id"` // 32 hexadecimal digits
	Time      time.Time         `json:"time"`
	RequestID string            `json:"requestId,omitempty"`
	Events    []json.RawMessage `json:"events"`
}

// encodeSnapshot returns the bytes of data.json at a version.
func encodeSnapshot[S any](v *version[S], now time.Time) ([]byte, error) {
	state, err := json.Marshal(v.state)
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	return snapshot{Epoch: v.at.Epoch, Seq: v.at.Seq, Chain: v.chain, SavedAt: now, State: state}.encode()
}

// encode puts every field on a line of its own, so that head shows a person
// what the file is.
func (s snapshot) encode() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(s.State) + 256)
	fmt.Fprintf(&b, "{\n\"format\": %d,\n\"epoch\": %q,\n\"seq\": %d,\n\"chain\": %d,\n\"savedAt\": %q,\n\"sum\": %d,\n\"state\": ",
		snapshotFormat, s.Epoch, s.Seq, s.Chain, s.SavedAt.UTC().Format(time.RFC3339Nano), crc32.Checksum(s.State, castagnoli))
	b.Write(s.State)
	for i, c := range s.Changes {
		line, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			b.WriteString(",\n\"changes\": [")
		} else {
			b.WriteString(",")
		}
		b.WriteString("\n")
		b.Write(line)
	}
	if len(s.Changes) > 0 {
		b.WriteString("\n]")
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

// intact tells whether the state is, to the byte, what was written.
func (s snapshot) intact() bool {
	return s.Sum == nil || *s.Sum == crc32.Checksum(s.State, castagnoli)
}

var errSnapshotSum = errors.New("the state does not match its checksum")

// decodeSnapshot reads the frame of a snapshot, not yet its state.
func decodeSnapshot(data []byte) (s snapshot, epoch epochID, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, epoch, err
	}
	if s.Format != snapshotFormat {
		return s, epoch, fmt.Errorf("%w %d, this program reads %d", errSnapshotFormat, s.Format, snapshotFormat)
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

var errSnapshotFormat = errors.New("format")

// loadState decodes the state of a snapshot.
func loadState[S any](data []byte) (state S, err error) {
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("decode the state: %w", err)
	}
	if v := reflect.ValueOf(state); v.Kind() == reflect.Pointer && v.IsNil() {
		return state, errors.New("the state is null")
	}
	return state, nil
}
