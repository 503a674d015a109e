package atomicstore

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/coding"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	snapshotName   = "data.json"
	snapshotFormat = 1
)

// snapshot is the state at a position, as data.json and each backup hold it.
type snapshot struct {
	Format  int            `json:"format"`
	Epoch   string         `json:"epoch"`
	Seq     uint64         `json:"seq"`
	Chain   uint32         `json:"chain"` // checksum of the batch that ends at seq
	SavedAt time.Time      `json:"savedAt"`
	State   jsontext.Value `json:"state"`
	Sum     *uint32        `json:"sum"` // checksum of the state, byte for byte; nil in the oldest files

	// Changes come after the state: a restore writes them, which knows nothing
	// of Apply.
	Changes []snapshotChange `json:"changes,omitempty"`
}

// snapshotChange is a record of the log in a snapshot.
type snapshotChange struct {
	ID        string           `json:"id"` // 32 hexadecimal digits
	Time      time.Time        `json:"time"`
	RequestID string           `json:"requestId,omitempty"`
	Events    []jsontext.Value `json:"events"`
}

// record returns a change of a snapshot as the log holds it.
func (c snapshotChange) record(seq uint64) (record, error) {
	id, err := hex.DecodeString(c.ID)
	if err != nil || len(id) != 16 {
		return record{}, fmt.Errorf("the id %q of a change is not 32 hexadecimal digits", c.ID)
	}
	r := record{seq: seq, id: [16]byte(id), time: c.Time, requestID: c.RequestID}
	for _, e := range c.Events {
		r.events = append(r.events, e)
	}
	return r, nil
}

// writeSnapshot returns what writes data.json at a version. Nothing holds the
// whole file, unless the state itself makes it in one piece (MarshalJSON).
func writeSnapshot[S any](v *version[S], now time.Time) func(io.Writer) error {
	s := snapshot{Epoch: v.at.Epoch, Seq: v.at.Seq, Chain: v.chain, SavedAt: now}
	return func(w io.Writer) error {
		return s.write(w, func(w io.Writer) error { return encodeState(w, v.state) })
	}
}

// encodeState writes the JSON of a state.
func encodeState[S any](w io.Writer, state S) error {
	var err error
	switch m := any(state).(type) {
	case json.MarshalerTo:
		err = json.MarshalWrite(w, state, coding.AsEncodingJSON)
	case json.Marshaler:
		// As it is: the general way would make two more copies of it.
		var data []byte
		if data, err = m.MarshalJSON(); err != nil {
			break
		}
		if !jsontext.Value(data).IsValid(coding.AsEncodingJSON) {
			err = fmt.Errorf("MarshalJSON of %T does not give JSON", state)
			break
		}
		// Without what may stand around it, as a reader finds it.
		_, err = w.Write(bytes.Trim(data, " \t\r\n"))
	default:
		err = coding.For(reflect.TypeFor[S]()).Write(w, state)
	}
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	return nil
}

// write puts every field on a line of its own, so that head shows a person
// what the file is. state writes the state.
func (s snapshot) write(w io.Writer, state func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(b, "{\n\"format\": %d,\n\"epoch\": %q,\n\"seq\": %d,\n\"chain\": %d,\n\"savedAt\": %q,\n\"state\": ",
		snapshotFormat, s.Epoch, s.Seq, s.Chain, s.SavedAt.UTC().Format(time.RFC3339Nano))
	sum := &summing{to: b}
	if err := state(sum); err != nil {
		return err
	}
	fmt.Fprintf(b, ",\n\"sum\": %d", sum.crc)
	for i, c := range s.Changes {
		line, err := json.Marshal(c, coding.AsEncodingJSON)
		if err != nil {
			return err
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
	return b.Flush()
}

// writeWhole writes a snapshot whose state is encoded already.
func (s snapshot) writeWhole(w io.Writer) error {
	return s.write(w, func(w io.Writer) error {
		_, err := w.Write(s.State)
		return err
	})
}

// summing passes on what is written and keeps its checksum. It refuses what is
// nested so deep that it could not be read.
type summing struct {
	to      io.Writer
	crc     uint32
	nesting nesting
}

func (s *summing) Write(b []byte) (int, error) {
	if s.nesting.pass(b); s.nesting.deepest > maxNesting {
		return 0, tooDeep("state")
	}
	s.crc = crc32.Update(s.crc, castagnoli, b)
	return s.to.Write(b)
}

// intact tells whether the state is, to the byte, what was written.
func (s snapshot) intact() bool {
	return s.Sum == nil || *s.Sum == crc32.Checksum(s.State, castagnoli)
}

var errSnapshotSum = errors.New("the state does not match its checksum")

// decodeSnapshot reads the frame of a snapshot, not yet its state.
func decodeSnapshot(data []byte) (s snapshot, epoch epochID, err error) {
	if err := json.Unmarshal(data, &s, coding.AsEncodingJSON); err != nil {
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
	if s.Seq >= maxSeq {
		return s, epoch, fmt.Errorf("it is of change %d, which there cannot be", s.Seq)
	}
	return s, epoch, nil
}

var errSnapshotFormat = errors.New("format")

// loadState decodes the state of a snapshot.
func loadState[S any](data []byte) (state S, err error) {
	if err := coding.For(reflect.TypeFor[S]()).Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("decode the state: %w", err)
	}
	if v := reflect.ValueOf(state); v.Kind() == reflect.Pointer && v.IsNil() {
		return state, errors.New("the state is null")
	}
	return state, nil
}
