package atomicstore

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// Position is a place in the order of changes. The two halves belong together
// and are always moved together: a seq means nothing in another epoch.
type Position struct {
	Epoch string `json:"epoch"` // 16 hexadecimal digits, random, new when history is replaced
	Seq   uint64 `json:"seq"`   // counts changes without a hole; 0 is before the first one
}

// String returns the position as "epoch/seq".
func (p Position) String() string { return p.Epoch + "/" + strconv.FormatUint(p.Seq, 10) }

// ChangeID is random, and of one change alone.
type ChangeID [16]byte

// String returns the id as 32 hexadecimal digits, as it also stands in JSON.
func (id ChangeID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is for encoding/json.
func (id ChangeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ChangeID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(id) {
		return fmt.Errorf("atomicstore: the id %q of a change is not 32 hexadecimal digits", text)
	}
	*id = ChangeID(b)
	return nil
}

// epochID is an epoch as it stands in the log.
type epochID [8]byte

func (e epochID) String() string { return hex.EncodeToString(e[:]) }

func parseEpoch(s string) (e epochID, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(e) {
		return e, false
	}
	return epochID(b), true
}
