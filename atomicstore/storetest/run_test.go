package storetest_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/atomicstore/internal/crashfs"
	"github.com/contestkit/contestkit/atomicstore/storetest"
)

// marked is a state whose Clone writes to its origin.
type marked struct {
	Words  []string
	cloned int
}

func (m *marked) Clone() *marked {
	m.cloned++
	return &marked{Words: append([]string{}, m.Words...)}
}

const childVariable = "STORETEST_TEST_CHILD"

// TestInChild is what runs in a process that is there to fail.
func TestInChild(t *testing.T) {
	what := os.Getenv(childVariable)
	if run := mistakes[what]; run != nil {
		run(t)
		return
	}
	switch what {
	case "":
		t.Skip("for the tests that start it")
	case "race":
		storetest.Run(t, *wordsOf(func() *marked { return &marked{Words: []string{}} },
			func(m *marked, word string) error { m.Words = append(m.Words, word); return nil }))
	case "options":
		storetest.Run(t, *listMachine(func(m *lists) { m.Options = &atomicstore.Options{BackupDir: "backups"} }))
	case "nothing":
		storetest.Run(t, storetest.Machine[*list, string]{New: newList, Apply: addWord})
	}
}

// child runs TestInChild and returns what it prints; it must fail.
func child(t *testing.T, what string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInChild$", "-test.v")
	cmd.Env = append(append(os.Environ(), childVariable+"="+what), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("it ends with %v:\n%s", err, out)
	}
	return string(out)
}

func TestRunSaysWhatIsWrongAndHowToSeeItAgain(t *testing.T) {
	out := child(t, "clone")
	for _, want := range []string{
		"--- FAIL: TestInChild/clone", "Changing a clone changes its origin.",
		"--- PASS: TestInChild/decide", "rule: a state and its clones are independent",
		"--- SKIP: TestInChild/crashes", `tried once the machine has the property "clone"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not print %q:\n%s", want, out)
		}
	}
	again := regexp.MustCompile(`To see it again: STORETEST_SEED=(\d+) go test -run '\^TestInChild\$/\^clone\$'`).FindStringSubmatch(out)
	if again == nil {
		t.Fatalf("it does not say how to see it again:\n%s", out)
	}
	message := regexp.MustCompile(`(?s)Changing a clone.*?To see it again[^\n]*`)
	if got, want := message.FindString(child(t, "clone", "STORETEST_SEED="+again[1])), message.FindString(out); got != want {
		t.Errorf("with the seed it prints\n%s\nand without\n%s", got, want)
	}
	if out := child(t, "clone", "STORETEST_SEED=one"); !strings.Contains(out, "STORETEST_SEED: ") {
		t.Errorf("a seed that is no number gives\n%s", out)
	}
}

// mistakes are made by one machine each, and would be seen by several
// properties.
var mistakes = map[string]func(t *testing.T){
	"clone": func(t *testing.T) {
		storetest.Run(t, *wordsOf(func() *sharedMap { return &sharedMap{map[string]int{}} },
			func(s *sharedMap, word string) error { s.Count[word]++; return nil }))
	},
	"panic": func(t *testing.T) {
		storetest.Run(t, *wordsOf(func() *cloneless { return &cloneless{} }, func(*cloneless, string) error { return nil }))
	},
	"encode": func(t *testing.T) {
		storetest.Run(t, *eventMachine(func(*rand.Rand) event { return event{Value: math.NaN()} }, func(e event) string { return e.Word }))
	},
	"new panics": func(t *testing.T) {
		storetest.Run(t, *listMachine(func(m *lists) { m.New = func() *list { panic("no state yet") } }))
	},
	"new is nil": func(t *testing.T) {
		storetest.Run(t, *listMachine(func(m *lists) { m.New = func() *list { return nil } }))
	},
	"step changes the state": func(t *testing.T) {
		storetest.Run(t, *listMachine(func(m *lists) {
			m.Step = func(r *rand.Rand, l *list) ([]string, error) {
				l.Words = append(l.Words, "decided")
				return someWord(r, l)
			}
		}))
	},
	"JSON forgets what Equal sees": func(t *testing.T) {
		storetest.Run(t, *listMachine(func(m *lists) {
			m.New = func() *list { return &list{[]string{}, 1} }
			m.Apply = func(l *list, word string) error { *l = list{append(l.Words, word), 1}; return nil }
			m.Equal = func(a, b *list) bool { return a.hidden == b.hidden }
		}))
	},
	"apply is random": func(t *testing.T) {
		storetest.Run(t, *listMachine(func(m *lists) {
			m.Apply = func(l *list, word string) error { return addWord(l, fmt.Sprint(word, rand.Uint64())) }
		}))
	},
	"idle": func(t *testing.T) {
		storetest.Run(t, *listMachine(func(m *lists) {
			m.Step = func(*rand.Rand, *list) ([]string, error) { return nil, errors.New("no") }
		}))
	},
}

// TestOneMistakeMakesOneReport that names the rule: the other properties would
// only say it in other words.
func TestOneMistakeMakesOneReport(t *testing.T) {
	wants := map[string][]string{
		"clone":                        {"FAIL: TestInChild/clone", "Changing a clone changes its origin.", "rule: a state and its clones are independent", "step 1: "},
		"panic":                        {"FAIL: TestInChild/decide", "Clone panics.", "rule: nothing panics", "step 1: stops here:"},
		"encode":                       {"FAIL: TestInChild/decide", "An event cannot be encoded as JSON.", "rule: a state and its events can be written as JSON", "step 1: stops here:"},
		"new panics":                   {"FAIL: TestInChild/decide", "New panics.", "rule: nothing panics"},
		"new is nil":                   {"FAIL: TestInChild/decide", "New gives a nil state.", "rule: New makes a new state"},
		"step changes the state":       {"FAIL: TestInChild/decide", "A decision has changed the state.", "rule: deciding leaves the state alone", "step 1: "},
		"JSON forgets what Equal sees": {"FAIL: TestInChild/snapshot", "A new state is another after JSON."},
		"apply is random":              {"FAIL: TestInChild/determinism", "Apply made two different states", "rule: the same events make the same state", "step 1: "},
		"idle":                         {"FAIL: TestInChild/decide", "Step has changed nothing in any history", "rule: Step returns events"},
	}
	for name := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := child(t, name)
			for _, want := range wants[name] {
				if !strings.Contains(out, want) {
					t.Errorf("it does not print %q", want)
				}
			}
			if reports := strings.Count(out, "    rule: "); reports != 1 {
				t.Errorf("there are %d reports", reports)
			}
			if name != "idle" && !strings.Contains(out, "To see it again: STORETEST_SEED=") {
				t.Error("it does not say how to see it again")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func TestRunNeedsTheFunctions(t *testing.T) {
	if out := child(t, "nothing"); !strings.Contains(out, "a Machine needs New, Apply and Step") {
		t.Errorf("it prints\n%s", out)
	}
	if out := child(t, "options"); !strings.Contains(out, "Machine.Options.BackupDir cannot be tried") {
		t.Errorf("it prints\n%s", out)
	}
}

func TestTheRaceDetectorSeesACloneThatWrites(t *testing.T) {
	if !raceDetector {
		t.Skip("needs -race")
	}
	out := child(t, "race")
	if !strings.Contains(out, "--- FAIL: TestInChild/readers") || !strings.Contains(out, "DATA RACE") {
		t.Errorf("it prints\n%s", out)
	}
	if strings.Contains(out, "--- FAIL: TestInChild/clone") {
		t.Errorf("without other goroutines there is nothing wrong:\n%s", out)
	}
}

func TestAHistoryIsShortened(t *testing.T) {
	m := listMachine(func(m *lists) {
		m.Seed = 4
		m.Apply = func(l *list, word string) error {
			n := 0
			for _, w := range l.Words {
				if w == "w1" {
					n++
				}
			}
			if n == 3 && word == "w2" {
				panic("three w1 and a w2")
			}
			return addWord(l, word)
		}
	})
	report := storetest.Try(t, *m, "events")
	if report == "" {
		t.Fatal("it is not caught")
	}
	want := `Apply panics.
    rule: nothing panics: not New, Clone, Apply, Step, Equal, nor the JSON of a state or an event
    step 1: "w1"
    step 2: "w1"
    step 3: "w1"
    step 4: "w2"
    panic: three w1 and a w2
`
	if !strings.HasPrefix(report, want) {
		t.Errorf("got\n%s\nwant\n%s", report, want)
	}
	if again := storetest.Try(t, *m, "events"); again != report {
		t.Errorf("another time it says\n%s\nnot\n%s", again, report)
	}
}

// TestLostDataIsCaught looks whether crashes compares anything: here the disk
// loses what it must not lose.
func TestLostDataIsCaught(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*crashfs.Disk)
		want  string
	}{
		{"everything is lost", func(d *crashfs.Disk) { clear(d.Entries) }, "After an accident the store holds something else than it acknowledged."},
		{"the log is damaged", func(d *crashfs.Disk) {
			for path, f := range d.Entries {
				if strings.HasSuffix(path, ".wal") {
					f.Data[0] ^= 1
				}
			}
		}, "The store does not open after an accident."},
		{"somebody writes data.json", func(d *crashfs.Disk) {
			for path := range d.Entries {
				if strings.HasSuffix(path, "/data.json") {
					d.Put(path, true, `{"words": ["mine"]}`)
				}
			}
		}, "After an accident the store holds something else than it acknowledged."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := listMachine(func(m *lists) { m.Seed = 1 })
			report := storetest.TrySpoilt(t, *m, "crashes", test.spoil)
			for _, part := range []string{test.want, "accident: power cut after Close", "fault of atomicstore"} {
				if !strings.Contains(report, part) {
					t.Errorf("the message lacks %q:\n%s", part, report)
				}
			}
		})
	}
}
