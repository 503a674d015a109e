package reliablews

import "strconv"

// Position is a place in the order of a topic's messages. The two halves
// belong together: an offset means nothing in another epoch.
type Position struct {
	Epoch  string `json:"epoch"`  // changes when the numbering begins anew
	Offset uint64 `json:"offset"` // of the last message that is known; 0 is before the first
}

// String returns the position as "epoch/offset".
func (p Position) String() string { return p.Epoch + "/" + strconv.FormatUint(p.Offset, 10) }
