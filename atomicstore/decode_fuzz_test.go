package atomicstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
)

func FuzzManifest(f *testing.F) {
	f.Add(goldenFiles(f)[goldenManifest])
	f.Add((&manifest{}).encode())
	f.Add([]byte("present \ncoming a b c d .data.json.x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m *manifest
		var err error
		frugal(t, allocated(func() { m, err = decodeManifest(data) }), len(data), 100)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), data) {
			t.Errorf("read and written again, %q is %q", data, m.encode())
		}
		if m.coming != nil && filepath.Base(m.temp) != m.temp {
			t.Errorf("the temporary name %q leads elsewhere", m.temp)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	f.Add(goldenFiles(f)[goldenSnapshot])
	f.Add(goldenFiles(f)[goldenRestore])
	f.Add([]byte(`{"lines":["a"]}`))
	s := &ledgerStore{opts: (*Options)(nil).withDefaults(), apply: applyEntry, codec: newCodec[entry](nil)}
	f.Fuzz(func(t *testing.T, data []byte) {
		if snap, _, err := decodeSnapshot(data); err == nil && json.Valid(snap.State) {
			var again bytes.Buffer
			if err := snap.writeWhole(&again); err != nil {
				return // a change of no valid time
			}
			if s, _, err := decodeSnapshot(again.Bytes()); err != nil || !s.intact() {
				t.Errorf("written again it does not read: %v", err)
			}
		}
		var state *ledger
		var err error
		frugal(t, allocated(func() { state, _, err = s.readForeign(data) }), len(data), 100)
		if err == nil && state == nil {
			t.Error("no error and no state")
		}
		if err != nil && errors.Is(err, errUnreadable) && state != nil && len(state.Lines) > len(data) {
			t.Error("more lines than bytes")
		}
	})
}

// FuzzNames reads names of files, which anyone may give. What is taken for one
// of the store's has a name that leads to the same again.
func FuzzNames(f *testing.F) {
	f.Add("backup-412-20261124T180000.000Z.json")
	f.Add("backup-18446744073709551615-00000101T000000.000Z.json")
	f.Add("set-aside-20261124T180000.000Z-data.json")
	f.Add("0000000001-00000000000000000001.wal")
	f.Add(".data.json.0123456789abcdef.outx")
	f.Fuzz(func(t *testing.T, name string) {
		if b, ok := parseBackupName(name); ok {
			if again, ok := parseBackupName(backupName(b.Seq, b.Time)); !ok || again != b {
				t.Errorf("%q is %+v and then %+v", name, b, again)
			}
		}
		if what, when, ok := parseAsideName(name); ok {
			if again, then, ok := parseAsideName(asideName(what, when)); !ok || again != what || !then.Equal(when) {
				t.Errorf("%q is %q of %s and then %q of %s", name, what, when, again, then)
			}
		}
		if generation, first, ok := parseSegmentName(name); ok {
			if g, again, ok := parseSegmentName(segmentName(generation, first)); !ok || g != generation || again != first {
				t.Errorf("%q is segment %d from %d on and then %d from %d on", name, generation, first, g, again)
			}
		}
		if isTempName(name) && !isLeftOver(name) {
			t.Errorf("%q is a coming file, and would not be swept", name)
		}
	})
}
