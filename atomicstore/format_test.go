package atomicstore

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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
	goldenSnapshot = "testdata/v1/manifest/data.json"
	goldenManifest = "testdata/v1/manifest/MANIFEST"
	goldenRestore  = "testdata/v1/restore/data.json"
)

// goldenFiles are a data.json, its MANIFEST, and a data.json with changes.
func goldenFiles(t testing.TB) map[string][]byte {
	at := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)
	snap := snapshot{Epoch: "6f1d02c3884e90ab", Seq: 0, SavedAt: at, State: jsontext.Value(`{"lines":["zero"]}`)}
	data := written(t, snap)
	m := manifest{
		seq:     2,
		present: []owned{{sum: sha256.Sum256(data), size: int64(len(data)), mtime: at.UnixNano(), seq: 0}},
		coming:  &owned{sum: sha256.Sum256(nil), size: 0, mtime: at.Add(time.Second).UnixNano(), seq: 2},
		temp:    tempPrefix + "00112233aabbccdd",
		newest:  filepath.Base(goldenSegment),
	}
	snap.Changes = []snapshotChange{{ID: "00000000000000000000000000000001", Time: at.Add(time.Second), RequestID: "r-one", Events: []jsontext.Value{jsontext.Value(`{"added":{"line":"one"}}`)}}}
	restore := written(t, snap)
	return map[string][]byte{goldenSnapshot: data, goldenManifest: m.encode(), goldenRestore: restore}
}

// written returns the file of a snapshot.
func written(t testing.TB, s snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.writeWhole(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestGoldenFilesV1 checks that the small files are written as they were.
func TestGoldenFilesV1(t *testing.T) {
	for name, want := range goldenFiles(t) {
		if *updateGolden {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is written differently: that needs a new format number and FORMAT.md", name)
		}
	}
	for name, want := range map[string][]string{"manifest": {"zero", "one", "two", "three"}, "restore": {"zero", "one"}, "sum-first": {"zero"}} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/v1/"+name)); err != nil {
			t.Fatal(err)
		}
		if name == "manifest" {
			if err := os.CopyFS(filepath.Join(dir, walName), os.DirFS(filepath.Dir(goldenSegment))); err != nil {
				t.Fatal(err)
			}
			// The coming file, which is empty, waits: it was not yet in place.
			if err := os.WriteFile(filepath.Join(dir, tempPrefix+"00112233aabbccdd"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := mustOpen(t, dir, nil)
		wantLines(t, s, want...)
		mustClose(t, s)
	}
}

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
	s := mustOpen(t, dir, nil) // of before MANIFEST and the checksum of the state
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
	for name, fence := range map[string]string{goldenSnapshot: "```json\n", goldenManifest: "```\n", goldenRestore: "```json\n"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), fence+string(content)+"```") {
			t.Errorf("FORMAT.md does not show %s:\n%s", name, content)
		}
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
