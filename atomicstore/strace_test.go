package atomicstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// systemCall is one line of strace, or the two of a call that others came
// into: began and ended are their numbers.
type systemCall struct {
	name, args, result string
	began, ended       int
}

type trace []systemCall

var (
	wholeCall   = regexp.MustCompile(`^\d+ +(\w+)\((.*)\) += (.*)$`)
	callBegins  = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	callEnds    = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)\) += (.*)$`)
	descriptor  = regexp.MustCompile(`^\d+<([^>]*)>`)
	quotedPaths = regexp.MustCompile(`"([^"]*)"`)
)

// traced runs the child with a script under strace, which is given options,
// and returns what it asked of the kernel.
func traced(t *testing.T, script, dir string, options ...string) trace {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	file := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "--seccomp-bpf", "-y", "-s", "400", "-o", file, "-e", "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,linkat,unlinkat"}
	cmd := exec.CommandContext(t.Context(), strace, slices.Concat(args, options, []string{os.Args[0]})...)
	cmd.Env = append(os.Environ(), childVariable+"="+dir, childScript+"="+script, "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace does not run here: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the trace:\n%s", relevant(string(text), filepath.Dir(dir)))
		}
	}); len(text) == 0 {
		t.Fatal("the trace is empty")
	}
	return parseTrace(string(text))
}

func parseTrace(text string) (calls trace) {
	open := map[string]systemCall{} // by thread
	for i, line := range strings.Split(text, "\n") {
		if m := callBegins.FindStringSubmatch(line); m != nil {
			open[m[1]] = systemCall{name: m[2], args: m[3], began: i}
		} else if m := callEnds.FindStringSubmatch(line); m != nil {
			c := open[m[1]]
			c.args, c.result, c.ended = c.args+m[2], m[3], i
			calls = append(calls, c)
		} else if m := wholeCall.FindStringSubmatch(line); m != nil {
			calls = append(calls, systemCall{m[1], m[2], m[3], i, i})
		}
	}
	slices.SortFunc(calls, func(a, b systemCall) int { return a.began - b.began })
	return calls
}

// relevant leaves out of a trace what has nothing to do with a folder.
func relevant(text, dir string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, dir) || strings.Contains(line, "write(1<") || strings.Contains(line, "resumed>") {
			b.WriteString(line[:min(len(line), 300)])
			if len(line) > 300 {
				b.WriteString("\n")
			}
		}
	}
	return b.String()
}

func (c systemCall) failed() bool { return strings.HasPrefix(c.result, "-1") }

// file is the path of the descriptor that the call is given first.
func (c systemCall) file() string {
	if m := descriptor.FindStringSubmatch(c.args); m != nil {
		return m[1]
	}
	return ""
}

// paths are those that the call names.
func (c systemCall) paths() (list []string) {
	for _, m := range quotedPaths.FindAllStringSubmatch(c.args, -1) {
		list = append(list, m[1])
	}
	return list
}

func (c systemCall) writes(path string) bool {
	return (c.name == "write" || c.name == "pwrite64") && c.file() == path
}

func (c systemCall) syncs(path string) bool {
	return (c.name == "fsync" || c.name == "fdatasync") && c.file() == path
}

// renames tells whether the call gives a file another name, and which.
func (c systemCall) renames() (from, to string, ok bool) {
	switch c.name {
	case "rename", "renameat", "renameat2", "linkat":
		if p := c.paths(); len(p) == 2 && !c.failed() {
			return p[0], p[1], true
		}
	}
	return "", "", false
}

// says returns what the child told the world with this call.
func (c systemCall) says() (line string, ok bool) {
	if c.name != "write" || !strings.HasPrefix(c.args, "1<") {
		return "", false
	}
	_, line, _ = strings.Cut(c.args, `"`)
	line, _, _ = strings.Cut(line, `\n"`)
	return line, true
}

// synced tells whether a sync of a file or folder began after one line and
// had succeeded before another.
func (t trace) synced(path string, after, before int) bool {
	return slices.ContainsFunc(t, func(c systemCall) bool {
		return c.syncs(path) && !c.failed() && c.began > after && c.ended < before
	})
}

// writtenAndSynced tells whether all that was written into a file since it was
// made, up to a line, was synced before that line, and whether that is
// anything.
func (t trace) writtenAndSynced(path string, before int) bool {
	last := -1
	for _, c := range t {
		if c.writes(path) && c.began < before {
			last = max(last, c.ended)
		}
	}
	return last >= 0 && t.synced(path, last, before)
}

// next returns the line of the first call from a line on that is asked for,
// or of the end.
func (t trace) next(from int, wanted func(systemCall) bool) int {
	for _, c := range t {
		if c.began > from && wanted(c) {
			return c.began
		}
	}
	return t[len(t)-1].ended + 1
}
