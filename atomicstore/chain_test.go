package atomicstore

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
)

// TestWhoeverReadsTheLogFollowsItsChecksums, within a segment and into the next
// one: batches that are whole, and of another history, are damage.
func TestWhoeverReadsTheLogFollowsItsChecksums(t *testing.T) {
	golden := goldenLog() // changes 1 and 2, 3, and a batch that confirms
	starts := frames(t, golden)
	h, err := decodeHeader(golden)
	if err != nil {
		t.Fatal(err)
	}
	batchAt := func(i int) batch {
		b, err := decodeBatch(golden[starts[i]:], h.logID)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	third, confirms := batchAt(1), batchAt(2)
	for name, test := range map[string]struct {
		prev  uint32 // of the batch with change 3
		chain uint32 // of the second segment
		bad   int    // the segment with the damage; 0 for none
		seq   uint64 // the change that is damaged
	}{
		"one history":                   {third.prev, third.sum, 0, 0},
		"one history, confirmed":        {third.prev, confirms.sum, 0, 0},
		"another batch":                 {third.prev + 1, third.sum, 1, 3},
		"another segment":               {third.prev, third.sum + 1, 2, 4},
		"a segment before the last one": {third.prev, third.prev, 2, 4},
	} {
		d, dir := crashfs.New(), t.TempDir()
		data := slices.Clone(golden)
		frame, _ := endBatch(slices.Clone(data[starts[1]:starts[1]+len(third.frame)]), h.logID, test.prev, 3, 1)
		copy(data[starts[1]:], frame)
		next := header{epoch: h.epoch, logID: h.logID, first: 4, chain: test.chain, created: h.created}
		added := record{seq: 4, time: h.created, events: [][]byte{[]byte(`{"cleared":{}}`)}}
		fourth, _ := endBatch(added.append(beginBatch(nil)), h.logID, test.chain, 4, 1)
		w := &wal{fs: d, logID: h.logID}
		for i, content := range [][]byte{data, append(next.encode(), fourth...)} {
			s := segment{header: []header{h, next}[i], path: filepath.Join(dir, segmentName(i+1, uint64(1+3*i))), generation: i + 1}
			d.Put(s.path, true, string(content))
			w.segments = append(w.segments, s)
		}
		var got []uint64
		err := w.read(0, 4, func(r record) error {
			got = append(got, r.seq)
			return nil
		})
		if test.bad == 0 {
			if want := []uint64{1, 2, 3, 4}; err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got the changes %d, %v, want %d", name, got, err, want)
			}
			continue
		}
		var damage *CorruptError
		if !errors.As(err, &damage) || !errors.Is(err, errChain) || damage.Path != w.segments[test.bad-1].path || damage.Seq != test.seq || uint64(len(got)) != test.seq-1 {
			t.Errorf("%s: got the changes %d, %v, want damage of change %d", name, got, err, test.seq)
		}
	}
}
