package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary be the processes that the bench starts.
func TestMain(m *testing.M) {
	peers = append(peers, peer{name: nameLossy, start: startLossy, dialect: plain})
	err := child(os.Args[1:])
	if errors.Is(err, errNoChild) {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A server that loses is worth no number: each must deliver every message once,
// in order and unchanged.
func TestEveryPeerDeliversEverythingInOrder(t *testing.T) {
	for _, p := range peers {
		if p.name == nameLossy || p.name == nameDurable {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			needs(t, p)
			if _, err := measureOnce(t.Context(), p, task{Measure: "check", Conns: 20}, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// Every measure runs end to end on every peer that has it.
func TestEveryMeasureGivesItsNumbers(t *testing.T) {
	for _, m := range measures {
		for _, p := range peers {
			if p.name == nameLossy || !m.does(p) {
				continue
			}
			t.Run(m.name+"/"+p.name, func(t *testing.T) {
				needs(t, p)
				n, err := measureOnce(t.Context(), p, task{Measure: m.name, Conns: 12, Length: 20_000_000}, "")
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range metrics {
					if v, ok := n[want.key]; want.measure == m.name && (!ok || v <= 0 && want.key != "kib") {
						t.Errorf("%s is %g", want.key, v)
					}
				}
			})
		}
	}
}

func TestLostMessageIsFound(t *testing.T) {
	lossy, err := peerNamed(nameLossy)
	if err != nil {
		t.Fatal(err)
	}
	_, err = measureOnce(t.Context(), lossy, task{Measure: "check", Conns: 3}, "")
	if err == nil || !strings.Contains(err.Error(), "message 31 came where 30 was due") {
		t.Errorf("got %v, want the 30th message missed", err)
	}
}

func TestStoppedServerLeavesNoProcess(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			needs(t, p)
			s, err := start(context.Background(), p, "")
			if err != nil {
				t.Fatal(err)
			}
			s.stop()
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", s.cmd.Process.Pid)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("process %d is still there: %v", s.cmd.Process.Pid, err)
			}
			if !s.cmd.ProcessState.Success() {
				t.Errorf("it had to be killed: %v", s.cmd.ProcessState)
			}
		})
	}
}

func needs(t *testing.T, p peer) {
	t.Helper()
	if !p.node {
		return
	}
	if err := needSocketIO(t.Context(), os.Stderr); err != nil {
		t.Skip(err)
	}
}

// lossy drops a message, which a bench must not reward.
type lossy struct{ *naive }

const nameLossy = "lossy"

func startLossy() (server, error) { return &lossy{&naive{}}, nil }

func (s *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.naive.ServeHTTP(w, r) }

func (s *lossy) publish(messages []string) {
	for _, m := range messages {
		if sequence, _, _ := parseStamp([]byte(m)); sequence != 30 { // in the middle of a batch
			s.naive.publish([]string{m})
		}
	}
}
