package main

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"os"
	"sync"

	"github.com/contestkit/contestkit/reliablews"
)

// durable is a file of what was published, which the hub reads back from. The
// operating system may hold it in memory, as it would that of a real log that
// was written a moment ago.
type durable struct {
	file *os.File

	mu   sync.Mutex
	ends []int64 // of each message in the file, by offset
}

func newDurable() (*durable, error) {
	f, err := os.CreateTemp("", "peerbench-*")
	if err != nil {
		return nil, err
	}
	return &durable{file: f, ends: []int64{0}}, os.Remove(f.Name()) // it is gone with the process
}

func (d *durable) add(message string) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.ends[len(d.ends)-1]
	d.ends = append(d.ends, at+int64(len(b)))
	_, err = d.file.WriteAt(b, at)
	return err
}

func (d *durable) read(_ context.Context, after, upTo uint64) iter.Seq2[reliablews.HistoryMessage, error] {
	return func(yield func(reliablews.HistoryMessage, error) bool) {
		d.mu.Lock()
		ends := d.ends[after : upTo+1]
		d.mu.Unlock()
		all := make([]byte, ends[len(ends)-1]-ends[0])
		if _, err := d.file.ReadAt(all, ends[0]); err != nil && err != io.EOF {
			yield(reliablews.HistoryMessage{}, err)
			return
		}
		for i, end := range ends[1:] {
			data := json.RawMessage(all[ends[i]-ends[0] : end-ends[0]])
			if !yield(reliablews.HistoryMessage{Offset: after + uint64(i) + 1, Data: data}, nil) {
				return
			}
		}
	}
}
