package atomicstore

import (
	"encoding/hex"
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
