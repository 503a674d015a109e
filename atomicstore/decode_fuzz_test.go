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
		m, err := decodeManifest(data)
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
		state, _, err := s.readForeign(data)
		if err == nil && state == nil {
			t.Error("no error and no state")
		}
		if err != nil && errors.Is(err, errUnreadable) && state != nil && len(state.Lines) > len(data) {
			t.Error("more lines than bytes")
		}
	})
}
