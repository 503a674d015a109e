package atomicstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// painted is what the tests' event became in a later program: kind and version
// are the name of the field.
type painted struct {
	Added   *paintedLine `json:"added@2,omitempty"`
	Cleared *cleared     `json:"cleared,omitempty"`
}

type paintedLine struct {
	Line  string `json:"line"`
	Color string `json:"color"`
}

func applyPainted(l *ledger, e painted) error {
	if e.Added != nil {
		l.Lines = append(l.Lines, e.Added.Color+" "+e.Added.Line)
	}
	return nil
}

// upgradePainted turns version 1 into version 2.
func upgradePainted(event []byte) ([]byte, error) {
	var old struct {
		Added *added `json:"added"`
	}
	if err := json.Unmarshal(event, &old); err != nil || old.Added == nil {
		return event, err
	}
	return json.Marshal(painted{Added: &paintedLine{old.Added.Line, "gray"}})
}

func TestOldVersionsOfEventsAreUpgraded(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, &ledger{}, applyPainted, nil); !errors.Is(err, ErrUnknownKind) || !strings.Contains(err.Error(), `"added"`) {
		t.Fatalf("without Upgrade: got %v, want ErrUnknownKind and the kind", err)
	}
	refusal := errors.New("no")
	if _, err := Open(dir, &ledger{}, applyPainted, &Options{Upgrade: func([]byte) ([]byte, error) { return nil, refusal }}); !errors.Is(err, refusal) {
		t.Fatalf("got %v, want the error of Upgrade", err)
	}
	o := &Options{Upgrade: upgradePainted}
	s, err := Open(dir, &ledger{}, applyPainted, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), func(*ledger) ([]painted, error) {
		return []painted{{Added: &paintedLine{"four", "red"}}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	state, at := s.State()
	if got, want := strings.Join(state.Lines, ","), "zero,gray one,gray two,gray three,red four"; got != want {
		t.Errorf("the ledger has %q, want %q", got, want)
	}
	for c, err := range s.Changes(t.Context(), Position{Epoch: at.Epoch, Seq: 2}) {
		if err != nil || c.Events[0].Added.Color == "" {
			t.Errorf("change %+v, %v", c, err)
		}
		if c.Position == at {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, walName, "*"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("gray")) {
			t.Error("what was written was changed")
		}
	}
	// The program of before stops at what it does not know.
	if err := os.Remove(filepath.Join(dir, snapshotName)); err != nil {
		t.Fatal(err)
	}
	if _, err := openLedger(dir, nil); !errors.Is(err, ErrUnknownKind) || !strings.Contains(err.Error(), `"added@2"`) {
		t.Errorf("got %v, want ErrUnknownKind and the kind", err)
	}
}

// TestAnOlderProgramOpensWhatANewerOneClosed, since there is nothing to replay,
// and stops after a crash of it.
func TestAnOlderProgramOpensWhatANewerOneClosed(t *testing.T) {
	dir := t.TempDir()
	newer, err := Open(dir, &ledger{}, applyPainted, nil)
	if err != nil {
		t.Fatal(err)
	}
	newer.checkpoints.stop()
	if _, err := newer.Update(t.Context(), func(*ledger) ([]painted, error) {
		return []painted{{Added: &paintedLine{"one", "red"}}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	older := mustOpen(t, dir, nil)
	wantLines(t, older, "red one")
	mustClose(t, older)
	if _, err := openLedger(crashed, nil); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("after a crash: got %v, want ErrUnknownKind", err)
	}
}

// plain events have no kind, so Upgrade is given each.
func TestEventsWithoutKindsAreUpgraded(t *testing.T) {
	dir := t.TempDir()
	say := func(l *ledger, line string) error {
		l.Lines = append(l.Lines, line)
		return nil
	}
	s, err := Open(dir, &ledger{}, say, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), func(*ledger) ([]string, error) { return []string{"one"}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	upper := func(event []byte) ([]byte, error) { return bytes.ToUpper(event), nil }
	s, err = Open(dir, &ledger{}, say, &Options{Upgrade: upper})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for c, err := range s.Changes(t.Context(), Position{}) {
		if err != nil || c.Events[0] != "ONE" {
			t.Errorf("change %+v, %v", c, err)
		}
		break
	}
}

// TestAnEventOfANullKindIsUnknown: nothing would be set in it, and Apply would
// look into nil.
func TestAnEventOfANullKindIsUnknown(t *testing.T) {
	for _, event := range []string{`{"added":null}`, `{}`, `null`, `{"added":null,"cleared":null}`, `{"renamed":{}}`} {
		if _, err := newCodec[entry](nil).decode([]byte(event)); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("%s gives %v, want ErrUnknownKind", event, err)
		}
	}
	if e, err := newCodec[entry](nil).decode([]byte(`{"added":{"line":"one"},"cleared":null}`)); err != nil || e.Added.Line != "one" {
		t.Errorf("one kind beside a null one gives %+v and %v", e, err)
	}
}
