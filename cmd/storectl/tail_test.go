package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

func TestTailShowsTheLatestChanges(t *testing.T) {
	h := threeNotes(t)
	h.wantText(t, mustRun(t, "tail", "-n", "2", h.data), `
  2  TIME  added {"id":2,"text":"two"}
  3  TIME  added {"id":3,"text":"three"}
`)
	if out := mustRun(t, "tail", "-n", "0", h.data); out != "" {
		t.Errorf("tail -n 0 prints %q", out)
	}
	out := mustRun(t, "tail", "--json", "-n", "1", h.data)
	if c := decode[change](t, out); c.Seq != 3 || strings.Count(out, "\n") != 1 {
		t.Errorf("got %s", out)
	}
}

// TestTailFollowsAWriterAcrossSegmentsAndRestarts compares what tail -f prints
// with what was written, line by line.
func TestTailFollowsAWriterAcrossSegmentsAndRestarts(t *testing.T) {
	h := newHome(t)
	s := h.openNotes(t)
	write(t, s, "before it")
	ctx, stop := context.WithCancel(t.Context())
	lines, ended := start(ctx, "tail", "-f", "--json", h.data)
	seq := uint64(0)
	next := func(text string) {
		t.Helper()
		seq++
		select {
		case line := <-lines:
			if c := decode[change](t, line); c.Seq != seq || !strings.Contains(string(c.Events[0]), text) {
				t.Fatalf("got %s, want change %d, %s", line, seq, text)
			}
		case r := <-ended:
			t.Fatalf("tail ended: %+v", r)
		}
	}
	next("before it")
	var written []string
	for round := range 3 {
		for i := range 40 {
			text := fmt.Sprint("round ", round, " ", i, strings.Repeat(" long", 20))
			write(t, s, text) // while tail reads
			written = append(written, text)
		}
		checkpoint(t, s)
		closeStore(t, s)
		s = h.openNotes(t)
	}
	closeStore(t, s)
	for _, text := range written {
		next(text)
	}
	if n := len(h.segments(t)); n < 2 {
		t.Errorf("there are %d segments, the test is about several", n)
	}
	stop()
	if r := <-ended; r.code != 0 || r.err != "" {
		t.Errorf("interrupted: exit code %d, %q", r.code, r.err)
	}
}

func TestTailGoesOnAfterARestore(t *testing.T) {
	h := threeNotes(t)
	ctx, stop := context.WithCancel(t.Context())
	lines, ended := start(ctx, "tail", "-f", "-n", "1", h.data)
	if line := <-lines; !strings.Contains(line, "three") {
		t.Errorf("got %s", line)
	}
	mustRun(t, "restore", h.data, "--before", "2", "--yes")
	s := h.openNotes(t)
	at := write(t, s, "after it")
	if line := <-lines; !strings.Contains(line, "after it") || !strings.Contains(line, fmt.Sprint(at.Seq)) {
		t.Errorf("got %s", line)
	}
	closeStore(t, s)
	stop()
	if r := <-ended; r.code != 0 || !strings.Contains(r.err, "the data was replaced") {
		t.Errorf("exit code %d, %q", r.code, r.err)
	}
}

// TestASignalEndsTailCleanly sends what Ctrl-C sends to a process of its own.
func TestASignalEndsTailCleanly(t *testing.T) {
	h := threeNotes(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tail := exec.CommandContext(ctx, os.Args[0], "tail", "-f", h.data)
		tail.Env = append(os.Environ(), mainVariable+"=yes")
		var stderr strings.Builder
		tail.Stderr = &stderr
		out, err := tail.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := tail.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 3 { // until it waits, or is about to
			lines.Scan()
		}
		if err := tail.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if lines.Scan() {
			t.Errorf("after %v it prints %q", signal, lines.Text())
		}
		if err := tail.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("%v: %v, %q", signal, err, stderr.String())
		}
	}
}

func TestWhatStrangersWroteDoesNotReachTheTerminal(t *testing.T) {
	h := newHome(t)
	still(t, func(t *testing.T) {
		s := h.openNotes(t)
		defer closeStore(t, s)
		_, err := s.Update(atomicstore.WithRequestID(t.Context(), "\x1b[2J"), func(*notes) ([]noteEvent, error) {
			return []noteEvent{{Added: &note{1, "\u009b2J\u202e"}}}, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	out := mustRun(t, "tail", h.data)
	if strings.ContainsAny(out, "\x1b\u009b\u202e") || !strings.Contains(out, `\x1b[2J`) || !strings.Contains(out, `\u009b2J\u202e`) {
		t.Errorf("printed %q", out)
	}
}
