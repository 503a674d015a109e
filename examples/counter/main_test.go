package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/storetest"
)

const childDir = "COUNTER_TEST_DIR"

// TestMain is the program itself when the test starts it as a child to kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Args = []string{"counter", "-dir", dir, "-every", "1ms"}
		main()
		return
	}
	os.Exit(m.Run())
}

// TestTheCounterKeepsWhatAStoreAsks is what every program can have for its
// state: random counts and resets, power cuts included.
func TestTheCounterKeepsWhatAStoreAsks(t *testing.T) {
	storetest.Run(t, storetest.Machine[*Counter, Event]{
		New:   func() *Counter { return &Counter{} },
		Apply: apply,
		Step: func(r *rand.Rand, c *Counter) ([]Event, error) {
			if r.IntN(5) > 0 {
				return []Event{{Counted: &Counted{By: r.IntN(10)}}}, nil
			}
			if c.Count == 0 {
				return nil, errZero
			}
			return []Event{{Reset: &Reset{}}}, nil
		},
	})
}

func TestNoPrintedCountIsLostByAKill(t *testing.T) {
	dir, last := t.TempDir(), 0
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var count, change int
			if _, err := fmt.Sscanf(lines.Text(), "%d (change %d, on disk)", &count, &change); err != nil {
				break // cut off by the kill
			}
			// One count may have reached the disk and not the terminal.
			if n == 0 && count != last+1 && count != last+2 || n > 0 && count != last+1 || change != count {
				t.Errorf("after %d came %q", last, lines.Text())
			}
			if last = count; n == 20 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	if last < 60 {
		t.Errorf("counted to %d in three runs", last)
	}
}

func TestReset(t *testing.T) {
	dir := t.TempDir()
	if err := run(t.Context(), io.Discard, dir, time.Second, true); !errors.Is(err, errZero) {
		t.Errorf("resetting zero: got %v, want %v", err, errZero)
	}
}
