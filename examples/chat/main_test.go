package main

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/atomicstore/storetest"
	"github.com/contestkit/contestkit/internal/browser"
)

const (
	childAddr = "CHAT_TEST_ADDR"
	childDir  = "CHAT_TEST_DIR"
)

// TestMain is the program itself when a test starts it as a child to kill.
func TestMain(m *testing.M) {
	if addr := os.Getenv(childAddr); addr != "" {
		os.Args = []string{"chat", "-addr", addr, "-dir", os.Getenv(childDir), "-grace", "500ms"}
		main()
		return
	}
	os.Exit(browser.Main{M: m}.Run())
}

// start runs the program and returns its address.
func start(t *testing.T, addr, dir string) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childAddr+"="+addr, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "open ")
	if err != nil || !found {
		t.Fatalf("it says %q, %v", line, err)
	}
	return cmd, url
}

// TestTheRoomKeepsWhatAStoreAsks is what every program can have for its state:
// random histories, power cuts included.
func TestTheRoomKeepsWhatAStoreAsks(t *testing.T) {
	storetest.Run(t, storetest.Machine[*Room, Event]{
		New:   func() *Room { return &Room{} },
		Apply: apply,
		Step: func(r *rand.Rand, room *Room) ([]Event, error) {
			user := strconv.Itoa(r.IntN(5))
			if r.IntN(3) == 0 {
				return room.rename(Person{user, "name " + strconv.Itoa(r.IntN(8))})
			}
			return room.say(Said{ID: strconv.Itoa(r.IntN(20)), By: user, Text: "hello"})
		},
	})
}

func TestNames(t *testing.T) {
	room := &Room{People: []Person{{"1", "Ada"}}}
	for _, test := range []struct{ user, name, refused string }{
		{"2", " Ben ", ""},
		{"1", "Ada", ""},
		{"1", "ada", ""}, // one's own, written otherwise
		{"2", "ADA", "taken"},
		{"2", "  ", "length"},
		{"2", strings.Repeat("x", 25), "length"},
		{"2", "A\u202eda", "characters"}, // turns the direction of what follows
	} {
		if _, err := room.rename(Person{test.user, test.name}); refusal(err) != test.refused {
			t.Errorf("%q for %s: got %v, want %q", test.name, test.user, err, test.refused)
		}
	}
}

func TestTheRoomIsBounded(t *testing.T) {
	room := &Room{}
	for i := range 2 * keptPeople {
		id := strconv.Itoa(i)
		for _, e := range []Event{{Named: &Person{id, id}}, {Said: &Said{ID: id, By: id}}} {
			if err := apply(room, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(room.People) != keptPeople || len(room.Messages) != keptMessages || room.name("1999") == "" || room.name("0") != "" {
		t.Errorf("%d people and %d messages are kept", len(room.People), len(room.Messages))
	}
}
