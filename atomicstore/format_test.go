package atomicstore

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var updateGolden = flag.Bool("update", false, "write testdata/v1 anew; only for a new format")

// goldenLog is the log of FORMAT.md: two changes in one batch, one in another,
// and the batch that confirms it.
func goldenLog() []byte {
	at := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)
	h := header{
		epoch:   epochID{0x6f, 0x1d, 0x02, 0xc3, 0x88, 0x4e, 0x90, 0xab},
		logID:   [8]byte{1, 2, 3, 4, 5, 6, 7, 8},
		first:   1,
		created: at,
	}
	data := make([]byte, 1024)
	offset := copy(data, h.encode())
	sum, seq := h.chain, h.first
	for _, lines := range [][]string{{"one", "two"}, {"three"}, {}} {
		frame := beginBatch(nil)
		for i, line := range lines {
			r := record{
				seq:       seq + uint64(i),
				id:        [16]byte{15: byte(seq) + byte(i)},
				time:      at.Add(time.Duration(seq) * time.Second),
				requestID: "r-" + line,
				events:    [][]byte{[]byte(`{"added":{"line":"` + line + `"}}`)},
			}
			frame = r.append(frame)
		}
		frame, sum = endBatch(frame, h.logID, sum, seq, uint32(len(lines)))
		offset += copy(data[offset:], frame)
		seq += uint64(len(lines))
	}
	return data
}

const (
	goldenSegment  = "testdata/v1/wal/0000000001-00000000000000000001.wal"
	goldenSnapshot = "testdata/v1/data.json"
)

// TestGoldenV1 opens the directory that was once written and checks that the
// same bytes are still written.
func TestGoldenV1(t *testing.T) {
	if *updateGolden {
		if err := os.MkdirAll(filepath.Dir(goldenSegment), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenSegment, goldenLog(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenSegment)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden, goldenLog()) {
		t.Error("the log is written differently from testdata/v1: that needs a new format number and FORMAT.md")
	}

	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir, nil)
	defer mustClose(t, s)
	wantLines(t, s, "zero", "one", "two", "three")
	if _, at := s.State(); at.String() != "6f1d02c3884e90ab/3" {
		t.Errorf("the store is at %s", at)
	}
	changes := follow(t, s, Position{"6f1d02c3884e90ab", 1}, 2)
	if c := changes[1]; c.RequestID != "r-three" || c.ID[15] != 3 || !c.Time.Equal(time.Date(2026, 11, 24, 18, 0, 3, 0, time.UTC)) {
		t.Errorf("change 3 is %+v", c)
	}
}

// TestFormatShowsTheGoldenBytes keeps FORMAT.md true to testdata/v1.
func TestFormatShowsTheGoldenBytes(t *testing.T) {
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(goldenSegment)
	if err != nil {
		t.Fatal(err)
	}
	starts := frames(t, log)
	if want := dump(log[:starts[1]]); !strings.Contains(string(doc), want) {
		t.Errorf("FORMAT.md does not show the beginning of the golden log:\n%s", want)
	}
	snapshot, err := os.ReadFile(goldenSnapshot)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "```json\n"+string(snapshot)+"```") {
		t.Errorf("FORMAT.md does not show the golden snapshot:\n%s", snapshot)
	}
}

func dump(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); i += 16 {
		line := b[i:min(len(b), i+16)]
		text := bytes.Clone(line)
		for i, c := range text {
			if c < ' ' || c > '~' {
				text[i] = '.'
			}
		}
		fmt.Fprintf(&s, "%04x  % -48x  %s\n", i, line, text)
	}
	return s.String()
}
