package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/go-json-experiment/json"
)

// ideal is the least that a durable typed store can do: a loop that takes all
// that wait, encodes and decodes each event as JSON, sets one key of a map,
// and makes the batch durable with one write and one fdatasync in a file of
// zeros. It has no checksums, no readers, no recovery, no checkpoints, and
// begins again at the start of its file when it reaches the end.
type ideal struct {
	file  *os.File
	state map[string]*put

	mu      sync.Mutex // guards waiting and closed
	waiting []*idealPut
	closed  bool
	wake    chan struct{} // holds one signal
	ended   chan struct{}
	puts    [maxWriters]idealPut
}

type idealPut struct {
	event event
	done  chan error
}

const idealBytes = 64 << 20

func openIdeal(dir string) (store, error) {
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	_, err = file.Write(make([]byte, idealBytes))
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := &ideal{file: file, state: map[string]*put{}, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	for i := range s.puts {
		s.puts[i].done = make(chan error, 1)
	}
	go s.loop()
	return s, nil
}

func (s *ideal) put(w int, e event) error {
	p := &s.puts[w]
	p.event = e
	s.mu.Lock()
	s.waiting = append(s.waiting, p)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return <-p.done
}

func (s *ideal) loop() {
	defer close(s.ended)
	var batch []*idealPut
	var frame []byte
	offset := 0
	for range s.wake {
		s.mu.Lock()
		batch, s.waiting = s.waiting, batch[:0]
		s.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		frame = frame[:0]
		for _, p := range batch {
			data, err := json.Marshal(p.event)
			if err != nil {
				panic(err)
			}
			var again event
			if err := json.Unmarshal(data, &again); err != nil {
				panic(err)
			}
			s.state[again.Put.Key] = again.Put
			frame = binary.LittleEndian.AppendUint32(frame, uint32(len(data)))
			frame = append(frame, data...)
		}
		if offset+len(frame) > idealBytes {
			offset = 0
		}
		_, err := s.file.WriteAt(frame, int64(offset))
		if err == nil {
			err = syscall.Fdatasync(int(s.file.Fd()))
		}
		offset += len(frame)
		for _, p := range batch {
			p.done <- err
		}
	}
}

func (s *ideal) Close() error {
	close(s.wake)
	<-s.ended
	return s.file.Close()
}
