package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	crowdAtOnce = 16
	crowdPhotos = 24
)

// task is what a process of its own does with one peer.
type task struct {
	Peer   string
	Photos []string      // paths
	AtOnce int           // 1: one of them again and again; otherwise each once
	Length time.Duration // of 1 at once, and at least one photo
	Dir    string        // what is stored goes here
}

// numbers is what it found.
type numbers struct {
	PerSecond float64 // photos
	CPU       float64 // milliseconds of processor time for each photo
	Stored    float64 // kB of each
	Before    float64 // MB: the most memory before the first photo
	Peak      float64 // MB: the most memory
}

const childVerb = "take"

// measureOnce does a task in a fresh process, so that nobody has the memory or
// the garbage of another.
func measureOnce(ctx context.Context, t task) (n numbers, err error) {
	self, err := os.Executable()
	if err != nil {
		return n, err
	}
	if t.Dir, err = os.MkdirTemp("", "peerbench-"); err != nil {
		return n, err
	}
	defer os.RemoveAll(t.Dir) // here: the process may be killed
	in, err := json.Marshal(t)
	if err != nil {
		return n, err
	}
	cmd := exec.CommandContext(ctx, self, childVerb)
	cmd.Stdin = strings.NewReader(string(in))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return n, ctx.Err()
	case err != nil:
		return n, fmt.Errorf("%s: %w: %s", t.Peer, err, strings.TrimSpace(said.String()))
	}
	return n, json.Unmarshal(out, &n)
}

// child reads a task and writes its numbers.
func child(stdin io.Reader, stdout io.Writer) error {
	var t task
	if err := json.NewDecoder(stdin).Decode(&t); err != nil {
		return err
	}
	n, err := t.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(n)
}

func (t task) run() (n numbers, err error) {
	p, err := peerNamed(t.Peer)
	if err != nil {
		return n, err
	}
	s, err := p.open(t.Dir)
	if err != nil {
		return n, err
	}
	defer s.Close()
	if n.Before, err = mostMemory(); err != nil {
		return n, err
	}
	if t.AtOnce == 1 {
		return t.inTurn(s, n)
	}
	return t.crowd(s, n)
}

// inTurn takes one photo after the other. The first does not count: it meets
// cold caches. Neither does forgetting, so that each is stored anew.
func (t task) inTurn(s store, n numbers) (numbers, error) {
	var took, used time.Duration
	for photos := -1; photos < 1 || took < t.Length; {
		start, spent := time.Now(), cpu()
		path, err := s.take(context.Background(), t.Photos[0])
		if err != nil {
			return n, err
		}
		if photos++; photos > 0 {
			took, used = took+time.Since(start), used+cpu()-spent
			n.PerSecond = float64(photos) / took.Seconds()
			n.CPU = float64(used.Microseconds()) / 1000 / float64(photos)
		}
		stored, err := os.Stat(path)
		if err != nil {
			return n, err
		}
		n.Stored = float64(stored.Size()) / 1000
		if err := s.forget(path); err != nil {
			return n, err
		}
	}
	var err error
	n.Peak, err = mostMemory()
	return n, err
}

// crowd takes many photos at once, from the first on.
func (t task) crowd(s store, n numbers) (numbers, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make([]error, t.AtOnce)
	paths := make([]string, len(t.Photos))
	start, spent := time.Now(), cpu()
	for i := range t.AtOnce {
		wg.Go(func() {
			for failed[i] == nil {
				n := int(next.Add(1)) - 1
				if n >= len(t.Photos) {
					return
				}
				paths[n], failed[i] = s.take(context.Background(), t.Photos[n])
			}
		})
	}
	wg.Wait()
	took, used := time.Since(start), cpu()-spent
	n.PerSecond = float64(len(t.Photos)) / took.Seconds()
	n.CPU = float64(used.Microseconds()) / 1000 / float64(len(t.Photos))
	if err := errors.Join(failed...); err != nil {
		return n, err
	}
	// Two that are one would be less work on the disk.
	slices.Sort(paths)
	if stored := len(slices.Compact(paths)); stored != len(t.Photos) {
		return n, fmt.Errorf("%d photos were stored as %d", len(t.Photos), stored)
	}
	var err error
	n.Peak, err = mostMemory()
	return n, err
}

// mostMemory returns the most memory that this process had, in MB, pages of
// libraries included.
func mostMemory() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	if _, err := fmt.Sscan(peak, &kb); err != nil {
		return 0, fmt.Errorf("VmHWM in /proc/self/status: %w", err)
	}
	return kb * 1024 / 1e6, nil
}

// cpu returns the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
