package reliablews

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// simStep is one thing that happens, after a wait. What A and B mean is up to it.
type simStep struct {
	Wait time.Duration
	Do   string
	A, B int
}

func (s simStep) String() string { return fmt.Sprintf("%-12s %-9s %d %d", s.Wait, s.Do, s.A, s.B) }

func printed(steps []simStep) string {
	lines := make([]string, len(steps))
	for i, s := range steps {
		lines[i] = s.String()
	}
	return strings.Join(lines, "\n")
}

// simKinds are what may happen, as often as the numbers say.
var simKinds = []struct {
	do     string
	weight int
}{
	{"publish", 30}, {"advance", 4}, {"truncate", 1},
	{"break", 4}, {"cut", 10}, {"silence", 6}, {"latency", 4}, {"gate", 7}, {"lost", 2},
	{"restart", 4}, {"kick", 2}, {"client", 4}, {"retry", 2},
	{"direct", 12}, {"user", 4}, {"send", 16},
}

// simExact are waits at which something is due.
var simExact = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 25 * time.Second,
	30 * time.Second, 45 * time.Second, time.Minute, 4*time.Minute + 30*time.Second, 5 * time.Minute, 6 * time.Minute,
}

// simSchedule draws a schedule.
func simSchedule(seed uint64) []simStep {
	rng := rand.New(rand.NewPCG(seed, 100))
	total := 0
	for _, k := range simKinds {
		total += k.weight
	}
	steps := make([]simStep, 20+rng.IntN(60))
	for i := range steps {
		s := &steps[i]
		switch rng.IntN(12) {
		case 0: // in the same moment
		case 1:
			s.Wait = simExact[rng.IntN(len(simExact))] + time.Duration(rng.IntN(3)-1)
		case 2:
			s.Wait = time.Duration(rng.Int64N(int64(40 * time.Second)))
		default:
			s.Wait = time.Duration(rng.Int64N(int64(2 * time.Second)))
		}
		at := rng.IntN(total)
		for _, k := range simKinds {
			if at -= k.weight; at < 0 {
				s.Do = k.do
				break
			}
		}
		s.A, s.B = rng.IntN(1000), rng.IntN(1000)
	}
	return steps
}
