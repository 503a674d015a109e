package main

import (
	"strings"
	"testing"
)

func TestHelpShowsEveryCommandWithExamples(t *testing.T) {
	help := mustRun(t, "--help")
	for _, command := range []string{"stat", "verify", "dump", "tail", "backups", "diff", "restore"} {
		if !strings.Contains(help, "\n  "+command+" ") {
			t.Errorf("--help does not list %s", command)
		}
		own := mustRun(t, command, "--help")
		if other := mustRun(t, "help", command); other != own {
			t.Errorf("help %s prints %s", command, other)
		}
		for _, part := range []string{"Usage: storectl " + command, "Examples:", "    storectl " + command, "--backups"} {
			if !strings.Contains(own, part) {
				t.Errorf("%s --help does not say %q", command, part)
			}
		}
	}
	if other := mustRun(t, "help"); other != help {
		t.Errorf("help prints %s", other)
	}
	if version := mustRun(t, "--version"); !strings.HasPrefix(version, "storectl ") {
		t.Errorf("--version prints %q", version)
	}
}

func TestACommandLineThatMakesNoSenseIsCode2AndNamesTheHelp(t *testing.T) {
	h := threeNotes(t)
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "Try storectl --help."},
		{[]string{"stats"}, "stats"},
		{[]string{"stat"}, "Try storectl stat --help."},
		{[]string{"stat", "--no-such-flag", h.data}, "Try storectl stat --help."},
		{[]string{"dump", h.data, "--after", "many"}, "Try storectl dump --help."},
		{[]string{"dump", h.data, "--after", "3", "--until", "2"}, "no change is after 3 and until 2"},
		{[]string{"dump", h.data, "--state", "--after", "3"}, "--state"},
		{[]string{"restore", h.data}, "name a backup, or a change with --before"},
		{[]string{"restore", h.data, "a.json", "--before", "3"}, "name one of them"},
		{[]string{"restore", h.data, "--before", "0"}, "--before 1 undoes everything"},
		{[]string{"restore", h.data, "data.json", "--yes"}, "is the present data.json"},
		{[]string{"tail", h.data, "-n", "-1"}, "0 or more"},
		{[]string{"restore", h.data, "--before", "-3"}, "--before -3: give a number, 0 or more"},
		{[]string{"dump", h.data, "--limit", "0"}, "leave it out for all"},
		{[]string{"dump", h.data, "--until", "0"}, "leave it out for all"},
		{[]string{"help", "nothing"}, "nothing"},
		{[]string{"restore", h.data, "--before", "3"}, "--yes"},
	} {
		wantFailure(t, storectl(t, test.args...), 2, test.says, "Try storectl")
	}
}
