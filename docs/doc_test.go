// Package docs_test keeps what the documents say true: the floors of the
// architecture, and the code in the README.
package docs_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/contestkit/contestkit"

// goList runs go list in the checkout and returns its lines.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
