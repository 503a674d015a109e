package atomicstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

const (
	manifestName  = "MANIFEST"
	manifestMagic = "contestkit store manifest 1"
	manifestLimit = 64 << 10 // bytes; a few hundred are usual

	maxGeneration = 1 << 30 // of the newest segment it may name
)

// digest is the SHA-256 of a file.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// owned is a data.json that the store has written.
type owned struct {
	sum   digest
	size  int64
	mtime int64 // nanoseconds since 1970; rot leaves it alone, a hand does not
	seq   uint64
}

// manifest says which data.json is the store's. It is written before data.json
// is replaced, with the coming one, and after it, without the old one; what
// matches no entry was put there by somebody else.
type manifest struct {
	seq     uint64  // the highest change ever given when it was written
	present []owned // several only after an attempt whose end is not known
	coming  *owned
	temp    string // name of the coming file until it is in place
	newest  string // name of the newest segment that was on disk when it was written; "" is not known
	closed  bool   // the log holds nothing after data.json: it may be missing
}

// generation returns that of the newest segment.
func (m *manifest) generation() int {
	generation, _, _ := parseSegmentName(m.newest)
	return generation
}

// lacks returns the damage if the newest segments of a log, which ends with the
// change last, are gone: nothing else in it tells. It is nil where the log is
// gone altogether, which has rules of its own.
func (m *manifest) lacks(found *scanned, last uint64, walDir string) error {
	if m.closed || len(found.segments) == 0 || found.generation >= m.generation() {
		return nil
	}
	return &CorruptError{Path: filepath.Join(walDir, m.newest), Seq: last + 1, Err: errNoSegment}
}

// find returns the entry of a file's contents.
func (m *manifest) find(sum digest) (owned, bool) {
	if m.coming != nil && m.coming.sum == sum {
		return *m.coming, true
	}
	for _, o := range m.present {
		if o.sum == sum {
			return o, true
		}
	}
	return owned{}, false
}

// reach returns the highest change that a data.json was made after: the log
// has held it.
func (m *manifest) reach() (seq uint64) {
	for _, o := range m.present {
		seq = max(seq, o.seq)
	}
	if m.coming != nil {
		seq = max(seq, m.coming.seq)
	}
	return seq
}

// rotten tells whether a file with other contents than the store wrote was
// last written when the store wrote it.
func (m *manifest) rotten(id vfs.FileID) bool {
	all := m.present
	if m.coming != nil {
		all = append([]owned{*m.coming}, all...)
	}
	for _, o := range all {
		if o.size == id.Size && o.mtime == id.MTime.UnixNano() {
			return true
		}
	}
	return false
}

func (o owned) line(word string) string {
	return fmt.Sprintf("%s %s %d %d %d", word, o.sum, o.size, o.mtime, o.seq)
}

func (m *manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nseq %d\n", manifestMagic, m.seq)
	for _, o := range m.present {
		fmt.Fprintln(&b, o.line("present"))
	}
	if m.coming != nil {
		fmt.Fprintln(&b, m.coming.line("coming"), m.temp)
	}
	if m.newest != "" {
		fmt.Fprintln(&b, "newest", m.newest)
	}
	if m.closed {
		fmt.Fprintln(&b, "closed")
	}
	fmt.Fprintf(&b, "crc32c %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

var errManifest = errors.New("the manifest is damaged")

// decodeManifest reads what encode wrote, to the byte.
func decodeManifest(data []byte) (*manifest, error) {
	if len(data) > manifestLimit {
		return nil, fmt.Errorf("%w: %d bytes", errManifest, len(data))
	}
	m := new(manifest)
	for i, line := range strings.Split(string(data), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case i == 0:
			if line != manifestMagic {
				return nil, fmt.Errorf("%w: it begins with %.40q", errManifest, line)
			}
		case word == "seq":
			m.seq, _ = strconv.ParseUint(rest, 10, 64)
		case word == "present":
			m.present = append(m.present, parseOwned(strings.Fields(rest)))
		case word == "coming":
			fields := strings.Fields(rest)
			if len(fields) == 5 && isTempName(fields[4]) {
				o := parseOwned(fields)
				m.coming, m.temp = &o, fields[4]
			}
		case word == "newest":
			if generation, first, ok := parseSegmentName(rest); ok && generation < maxGeneration && rest == segmentName(generation, first) {
				m.newest = rest
			}
		case word == "closed":
			m.closed = true
		}
	}
	// What was misread does not come out as it went in.
	if !bytes.Equal(m.encode(), data) || max(m.seq, m.reach()) >= maxSeq {
		return nil, errManifest
	}
	return m, nil
}

func parseOwned(fields []string) (o owned) {
	if len(fields) < 4 {
		return o
	}
	sum, _ := hex.DecodeString(fields[0])
	copy(o.sum[:], sum)
	o.size, _ = strconv.ParseInt(fields[1], 10, 64)
	o.mtime, _ = strconv.ParseInt(fields[2], 10, 64)
	o.seq, _ = strconv.ParseUint(fields[3], 10, 64)
	return o
}

// isTempName tells whether a name is one that a coming data.json may have. It
// is exact: an editor may have its own files beside data.json.
func isTempName(name string) bool {
	digits, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || len(digits) != 16 {
		return false
	}
	_, err := hex.DecodeString(digits)
	return err == nil
}

// isLeftOver tells the same of what may be left of one.
func isLeftOver(name string) bool {
	name, _, _ = strings.Cut(name, ".out")
	return isTempName(name)
}
