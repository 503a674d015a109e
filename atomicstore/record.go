package atomicstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// FORMAT.md describes these bytes.

const (
	segmentMagic  = "ckstore1"
	segmentHeader = 64 // bytes
	batchHeader   = 24 // bytes
	alignment     = 8  // bytes; every batch begins at a multiple of it

	maxSeq = 1 << 62 // nobody gets that far, and nothing must wrap around
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the start of a segment.
type header struct {
	epoch   epochID
	logID   [8]byte // random, of one log: batches of another one are never taken for ours
	first   uint64  // seq of the first change
	chain   uint32  // checksum of the batch before the first
	created time.Time
}

func (h header) encode() []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	copy(b[8:], h.epoch[:])
	copy(b[16:], h.logID[:])
	binary.LittleEndian.PutUint64(b[24:], h.first)
	binary.LittleEndian.PutUint32(b[32:], h.chain)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.created.UnixNano()))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

var errHeader = errors.New("the segment's header does not match its checksum")

func decodeHeader(b []byte) (h header, err error) {
	if len(b) < segmentHeader {
		return h, errors.New("the segment is shorter than its header")
	}
	if string(b[:8]) != segmentMagic {
		return h, fmt.Errorf("the segment begins with %q, not with %q", b[:8], segmentMagic)
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return h, errHeader
	}
	copy(h.epoch[:], b[8:])
	copy(h.logID[:], b[16:])
	h.first = binary.LittleEndian.Uint64(b[24:])
	h.chain = binary.LittleEndian.Uint32(b[32:])
	h.created = time.Unix(0, int64(binary.LittleEndian.Uint64(b[40:]))).UTC()
	if h.first == 0 || h.first > maxSeq {
		return h, fmt.Errorf("the segment begins with change %d, which there cannot be", h.first)
	}
	return h, nil
}

// batch is what one flush writes. Its changes are numbered from seq on.
type batch struct {
	seq     uint64
	count   uint32 // changes; 0 only confirms the batch before
	prev    uint32 // checksum of the batch before
	sum     uint32 // its own checksum
	frame   []byte // the whole of it, without the zeros that fill it up
	payload []byte // the changes
}

// time returns that of the first change, which is zero where there is none.
func (b batch) time() time.Time {
	if b.count == 0 || len(b.payload) < 24 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(b.payload[16:]))).UTC()
}

func (b batch) last() uint64 { return b.seq + uint64(b.count) - 1 } // of a batch with changes

// size returns the bytes of a batch in its segment.
func (b batch) size() int { return frameSize(len(b.payload)) }

func frameSize(payload int) int {
	return (batchHeader + payload + alignment - 1) / alignment * alignment
}

// beginBatch returns room for the frame's header; the payload is appended to it.
func beginBatch(buf []byte) []byte { return append(buf[:0], make([]byte, batchHeader)...) }

// endBatch fills in the header of a frame whose payload is complete, and pads
// it. It returns the frame and its checksum.
func endBatch(frame []byte, logID [8]byte, prev uint32, seq uint64, count uint32) ([]byte, uint32) {
	payload := len(frame) - batchHeader
	binary.LittleEndian.PutUint32(frame[0:], uint32(payload))
	binary.LittleEndian.PutUint64(frame[8:], seq)
	binary.LittleEndian.PutUint32(frame[16:], prev)
	binary.LittleEndian.PutUint32(frame[20:], count)
	sum := checksum(frame, logID)
	binary.LittleEndian.PutUint32(frame[4:], sum)
	for len(frame)%alignment != 0 {
		frame = append(frame, 0)
	}
	return frame, sum
}

// sumOf returns the checksum of a frame that is complete.
func sumOf(frame []byte) uint32 { return binary.LittleEndian.Uint32(frame[4:]) }

// checksum covers length, seq, prev, count, log id and payload. Zeros have no
// valid checksum, so preallocated space is never a batch.
func checksum(frame []byte, logID [8]byte) uint32 {
	return crc32.Update(beginChecksum(frame, logID[:]), castagnoli, frame[8:])
}

func beginChecksum(frame, logID []byte) uint32 {
	sum := crc32.Update(0, castagnoli, frame[0:4])
	return crc32.Update(sum, castagnoli, logID)
}

var (
	errEnd      = errors.New("nothing but zeros")
	errShort    = errors.New("the batch runs over the end of the segment")
	errChecksum = errors.New("the batch does not match its checksum")
	errChain    = errors.New("the batch does not follow the one before it")
)

// decodeBatch reads the batch at the start of b. It returns errEnd where a
// batch could begin but none does.
func decodeBatch(b []byte, logID [8]byte) (batch, error) {
	if len(b) < batchHeader {
		if allZero(b) {
			return batch{}, errEnd
		}
		return batch{}, errShort
	}
	length := binary.LittleEndian.Uint32(b)
	sum := binary.LittleEndian.Uint32(b[4:])
	if length == 0 && sum == 0 {
		return batch{}, errEnd
	}
	if int64(length) > int64(len(b)-batchHeader) {
		return batch{}, errShort
	}
	frame := b[:batchHeader+int(length)]
	if checksum(frame, logID) != sum {
		return batch{}, errChecksum
	}
	return batch{
		seq:     binary.LittleEndian.Uint64(b[8:]),
		prev:    binary.LittleEndian.Uint32(b[16:]),
		count:   binary.LittleEndian.Uint32(b[20:]),
		sum:     sum,
		frame:   frame,
		payload: frame[batchHeader:],
	}, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// record is one change with its events as they are encoded.
type record struct {
	seq       uint64
	id        [16]byte
	time      time.Time
	requestID string
	events    [][]byte // JSON
}

func (r *record) append(b []byte) []byte {
	b = appendChange(b, r.id, r.time, r.requestID, len(r.events))
	for _, e := range r.events {
		b = appendChunk(b, e)
	}
	return b
}

// appendChange begins a change; its events follow as chunks.
func appendChange(b []byte, id [16]byte, at time.Time, requestID string, events int) []byte {
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = appendChunk(b, requestID)
	return binary.AppendUvarint(b, uint64(events))
}

// appendChunk adds a length and that many bytes.
func appendChunk[T string | []byte](b []byte, data T) []byte {
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

var errRecord = errors.New("the batch matches its checksum and does not hold what it says")

// records calls each with the changes of a batch, in order.
func (b batch) records(each func(record) error) error {
	rest := b.payload
	for i := range uint64(b.count) {
		r := record{seq: b.seq + i}
		if len(rest) < 24 {
			return errRecord
		}
		copy(r.id[:], rest)
		r.time = time.Unix(0, int64(binary.LittleEndian.Uint64(rest[16:]))).UTC()
		rest = rest[24:]
		request, more, ok := chunk(rest)
		if !ok {
			return errRecord
		}
		r.requestID, rest = string(request), more
		events, n := binary.Uvarint(rest)
		if n <= 0 || events > uint64(len(rest)) { // each event takes a byte at least
			return errRecord
		}
		rest = rest[n:]
		for range events {
			event, more, ok := chunk(rest)
			if !ok {
				return errRecord
			}
			r.events, rest = append(r.events, event), more
		}
		if err := each(r); err != nil {
			return err
		}
	}
	if len(rest) != 0 {
		return errRecord
	}
	return nil
}

// chunk takes a length and that many bytes off b.
func chunk(b []byte) (data, rest []byte, ok bool) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > math.MaxInt32 || length > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(length)], b[n+int(length):], true
}
