package atomicstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

// words is a state for tests from outside.
type words struct{ List []string }

func (w *words) Clone() *words { return &words{w.List[:len(w.List):len(w.List)]} }

func say(w *words, word string) error {
	w.List = append(w.List, word)
	return nil
}

const (
	childVariable = "ATOMICSTORE_TEST_CHILD"  // its folder
	childScript   = "ATOMICSTORE_TEST_SCRIPT" // what it does: to write until it is killed, "order" or "order again"
)

// childMain runs instead of the tests in a process of its own: one that is
// there to be killed, which writes from several goroutines and prints each word
// once it is acknowledged, or orderedChild.
func childMain() bool {
	dir := os.Getenv(childVariable)
	switch {
	case dir == "":
		return false
	case os.Getenv(childScript) == "order":
		orderedChild(dir, 0)
		return true
	case os.Getenv(childScript) == "order again":
		orderedChild(dir, 30)
		return true
	}
	store, err := atomicstore.Open(dir, &words{}, say, childOptions(dir))
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	fmt.Println("open")
	_, start := store.State()
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				word := fmt.Sprintf("%d.%d.%d", start.Seq, worker, i)
				at, err := store.Update(context.Background(), func(*words) ([]string, error) { return []string{word}, nil })
				if err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Printf("ack %d %s\n", at.Seq, word) // one write each, whole lines
			}
		}()
	}
	for {
		if err := store.Checkpoint(context.Background()); err != nil {
			fmt.Println("error", err)
			select {} // it is killed
		}
	}
}

func childOptions(dir string) *atomicstore.Options {
	return &atomicstore.Options{SegmentBytes: 8 << 10, BackupDir: dir + "-backups"}
}

// killRounds is the variable that says how often TestKill kills.
const killRounds = "ATOMICSTORE_KILLS"

// TestKill kills a writing process again and again and looks for every word it
// acknowledged, each at its position. `make test-long` does it more often, and
// begins another store now and then, so that rounds do not take ever longer.
func TestKill(t *testing.T) {
	rounds, total, began := 10, 0, time.Now()
	if n, err := strconv.Atoi(os.Getenv(killRounds)); err == nil {
		rounds = n
	}
	for done := 0; done < rounds; {
		n := min(10, rounds-done)
		total += killAgainAndAgain(t, n)
		done += n
		if rounds > 10 {
			t.Logf("%d of %d kills, %.1f/s; %d acknowledged words were all there", done, rounds, float64(done)/time.Since(began).Seconds(), total)
		}
	}
}

// killAgainAndAgain does that to one store, and returns how many words it had
// acknowledged.
func killAgainAndAgain(t *testing.T, rounds int) int {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	acknowledged := map[uint64]string{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for count := 0; lines.Scan(); {
			var seq uint64
			var word string
			if strings.HasPrefix(lines.Text(), "error") {
				t.Error(lines.Text())
			}
			if n, _ := fmt.Sscanf(lines.Text(), "ack %d %s", &seq, &word); n == 2 {
				acknowledged[seq] = word
				if count++; count == 50+37*round {
					cmd.Process.Kill()
				}
			}
		}
		cmd.Wait()

		store, err := atomicstore.Open(dir, &words{}, say, childOptions(dir))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		state, at := store.State()
		for seq, word := range acknowledged {
			if seq > uint64(len(state.List)) || state.List[seq-1] != word {
				t.Fatalf("round %d: change %d was acknowledged as %q and is not there", round, seq, word)
			}
		}
		if at.Seq != uint64(len(state.List)) || len(slices.Compact(slices.Sorted(slices.Values(state.List)))) != len(state.List) {
			t.Fatalf("round %d: %d words at position %d, or one twice", round, len(state.List), at.Seq)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) < 50*rounds {
		t.Errorf("only %d words were acknowledged in %d rounds", len(acknowledged), rounds)
	}
	if _, err := os.Stat(filepath.Join(dir, "data.json")); err != nil {
		t.Error(err)
	}
	return len(acknowledged)
}
