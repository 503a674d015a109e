package uploads

import (
	"bufio"
	"encoding/binary"
	"io"
)

// maxScans of a JPEG. Encoders make about ten, and about twenty when they search
// for the smallest file. A scan of nothing takes 60 bytes, and the decoder goes
// over every pixel for it: 10 MB of them on 40 megapixels took the decoder, and
// with it all the memory for decoding, for hours (0.2 s each, November 2026).
const maxScans = 64

// scansOf counts the scans of a JPEG up to its end, in the way in which
// image/jpeg comes from one to the next. Of a file that breaks off it counts
// what is there: that it is damaged the decoder finds.
func scansOf(file io.Reader) int {
	r := bufio.NewReader(file)
	r.Discard(2) // start of image: sniff saw it
	scans := 0
	for {
		marker, err := nextMarker(r) // over the pixels as well: there is no marker in them
		switch {
		case err != nil, marker == 0xd9: // end of image
			return scans
		case marker >= 0xd0 && marker <= 0xd7:
			continue // restart markers have no length
		case marker == 0xda:
			scans++
		}
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return scans
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint16(length[:])) - 2); err != nil {
			return scans
		}
	}
}
