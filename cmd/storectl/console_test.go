package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestATerminalGetsColoursAndLinesThatFit(t *testing.T) {
	h := newHome(t)
	still(t, func(t *testing.T) {
		s := h.openNotes(t)
		defer closeStore(t, s)
		write(t, s, strings.Repeat("long ", 100))
	})
	var out, err bytes.Buffer
	c := &console{out: &out, err: &err, width: 60, color: true}
	if code := run(t.Context(), []string{"tail", h.data}, c); code != 0 {
		t.Fatal(err.String())
	}
	line := strings.TrimSuffix(out.String(), "\n")
	plain := strings.NewReplacer("\x1b[2m", "", "\x1b[0m", "").Replace(line)
	if plain == line || len([]rune(plain)) != 60 || !strings.HasSuffix(plain, "…") {
		t.Errorf("got %d columns: %q", len([]rune(plain)), line)
	}
	out.Reset()
	if code := run(t.Context(), []string{"diff", h.data, "0"}, c); code != 0 {
		t.Fatal(err.String())
	}
	if !strings.Contains(out.String(), "\x1b[32m+ /notes/") {
		t.Errorf("diff prints %q", out.String())
	}
	// A pipe gets all of it, and no colours.
	if whole := mustRun(t, "tail", h.data); strings.Contains(whole, "\x1b") || !strings.Contains(whole, strings.Repeat("long ", 100)) {
		t.Errorf("a pipe gets %q", whole)
	}
}

func TestLongWorkShowsHowFarItIsOnATerminalAlone(t *testing.T) {
	h := threeNotes(t)
	for _, command := range []string{"verify", "dump"} {
		var out, err bytes.Buffer
		if code := run(t.Context(), []string{command, h.data}, &console{out: &out, err: &err, bars: true}); code != 0 {
			t.Fatal(err.String())
		}
		if !strings.Contains(err.String(), command) || !strings.Contains(err.String(), "%") {
			t.Errorf("%s shows %q", command, err.String())
		}
		if last := err.String()[strings.LastIndex(err.String(), "\r")+1:]; strings.TrimSpace(last) != "" {
			t.Errorf("%s leaves %q", command, last)
		}
		if command == "verify" && !strings.Contains(err.String(), "KiB") {
			t.Errorf("the bar has another unit than the table: %q", err.String())
		}
		if strings.Contains(out.String(), "\r") {
			t.Errorf("%s prints its progress where its output goes", command)
		}
		mustRun(t, command, h.data) // which checks that nothing is on stderr
	}
}

func TestFilesAndPipesAreNoTerminals(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c := newConsole(f, f, f); c.asks || c.width != 0 || c.color || c.bars {
		t.Errorf("got %+v", c)
	}
}
