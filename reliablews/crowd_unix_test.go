//go:build unix

package reliablews

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const crowdVar = "RELIABLEWS_CROWD" // the address for a process of clients

// TestFiveThousandConnections has real ones on the loopback: everyone gets every
// message, also the 1,000 who are cut off at once and come back. The clients are
// in processes of their own: all in one have more descriptors than a process
// may, and more goroutines than the race detector takes.
func TestFiveThousandConnections(t *testing.T) {
	if url := os.Getenv(crowdVar); url != "" {
		beCrowd(t, url)
		return
	}
	if testing.Short() {
		t.Skip("5,000 real connections take seconds")
	}
	const processes, patience = 4, time.Minute
	want := 5000
	if underRace {
		t.Log("only 500 connections under the race detector, which takes ten times as long; make test-go has all 5,000 without it")
		want = 500
	}
	var limit syscall.Rlimit // the Go runtime has raised it as far as it may
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if most := int(min(limit.Cur, 1<<20)) - 200; want > most {
		t.Logf("ONLY %d CONNECTIONS, not %d: a process may have %d open files here", most, want, limit.Cur)
		want = most
	}
	want -= want % processes

	h := NewHub(nil) // as it comes: a hall is behind one address
	feed := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
	l := &loopback{t: t}
	l.serve(h)
	stop := sync.OnceFunc(func() {
		l.stop()
		h.Shutdown(context.Background())
	})
	defer stop()

	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var crowds [processes]*crowd
	for i := range crowds {
		crowds[i] = startCrowd(t, ctx, l.url(), want/processes)
	}
	all := func(what string, args ...any) {
		t.Helper()
		for _, c := range crowds {
			c.tell(what, args...)
		}
		for _, c := range crowds {
			c.answer("done")
		}
		t.Logf("%s: after %s", fmt.Sprintf(what, args...), time.Since(began).Round(time.Millisecond))
	}
	all("connect")
	s := h.Stats()
	if s.Connections != want || s.Accepted != uint64(want) {
		t.Errorf("%d connections of %d accepted, want %d", s.Connections, s.Accepted, want)
	}
	published := uint64(0)
	publish := func(n int) {
		for range n {
			published++
			mustPublish(t, feed, published)
		}
	}
	publish(5)
	all("hear %d", published)

	publish(5) // some are on their way when the connections break
	l.mu.Lock()
	broken := l.conns[:want/5]
	for _, c := range broken {
		c.Close()
	}
	l.mu.Unlock()
	publish(10)
	all("hear %d", published)
	all("check %d", published)
	if s := h.Stats(); s.Connections != want || s.Accepted != uint64(want+len(broken)) || s.Resumed < uint64(len(broken)) || s.Gaps != 0 {
		t.Errorf("after the cut: %+v", s)
	}
	for _, c := range crowds {
		c.end()
	}
}

// crowd is a process of clients.
type crowd struct {
	t     *testing.T
	in    io.WriteCloser
	lines *bufio.Scanner
	end   func()
}

func startCrowd(t *testing.T, ctx context.Context, url string, clients int) *crowd {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestFiveThousandConnections$")
	cmd.Env = append(os.Environ(), crowdVar+"="+url+" "+strconv.Itoa(clients))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, in: in, lines: bufio.NewScanner(out)}
	c.end = sync.OnceFunc(func() {
		in.Close()
		for c.lines.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("a process of clients: %v", err)
		}
	})
	t.Cleanup(c.end)
	return c
}

func (c *crowd) tell(format string, args ...any) {
	fmt.Fprintf(c.in, format+"\n", args...) // who does not hear it does not answer
}

func (c *crowd) answer(want string) {
	c.t.Helper()
	if !c.lines.Scan() || c.lines.Text() != want {
		c.t.Fatalf("a process of clients says %q, want %q", c.lines.Text(), want)
	}
}

// member is one client. It hears 1, 2, 3 and so on, or something is wrong.
type member struct {
	client *Client
	last   uint64
	wrong  atomic.Pointer[string]
	stop   func() error
}

// beCrowd is a process of clients, which does what it is told line by line.
func beCrowd(t *testing.T, address string) {
	url, number, _ := strings.Cut(address, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards have
	have := map[uint64]int{}
	more := sync.NewCond(&mu)
	heard := func(offset uint64) {
		mu.Lock()
		have[offset]++
		mu.Unlock()
		more.Broadcast()
	}
	members := make([]*member, n)
	defer func() {
		var wg sync.WaitGroup
		for _, m := range members {
			if m != nil {
				wg.Go(func() { m.stop() })
			}
		}
		wg.Wait()
	}()
	connect := func() {
		turn := make(chan struct{}, 20) // at once; the queue of a listener is short
		live := make(chan struct{}, n)
		for i := range members {
			turn <- struct{}{}
			m := &member{}
			members[i] = m
			first := sync.OnceFunc(func() { <-turn; live <- struct{}{} })
			fault := func(format string, args ...any) {
				what := fmt.Sprintf(format, args...)
				m.wrong.CompareAndSwap(nil, &what)
			}
			m.client = NewClient(url, &ClientOptions{
				Topics:        map[string]Position{"feed": {"e1", 0}},
				WebSocketOnly: true,
				OnMessage: func(msg Message) {
					if msg.Position != (Position{"e1", m.last + 1}) || string(msg.Data) != strconv.FormatUint(m.last+1, 10) {
						fault("%s with %s after %d", msg.Position, msg.Data, m.last)
					}
					m.last = msg.Position.Offset
					heard(m.last)
				},
				OnGap: func(g Gap) { fault("gap up to %s", g.Position) },
				OnState: func(s State) {
					if s.Status == Live {
						first()
					}
				},
			})
			m.stop = runClient(m.client)
		}
		for range members {
			<-live
		}
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		what, number, _ := strings.Cut(in.Text(), " ")
		upTo, _ := strconv.ParseUint(number, 10, 64)
		answer := "done"
		switch what {
		case "connect":
			connect()
		case "hear": // wait until all have
			mu.Lock()
			for have[upTo] < n {
				more.Wait()
			}
			mu.Unlock()
		case "check":
			for i, m := range members {
				if w := m.wrong.Load(); w != nil {
					answer = fmt.Sprintf("client %d: %s", i, *w)
				}
			}
			mu.Lock()
			for offset := uint64(1); offset <= upTo; offset++ {
				if have[offset] != n {
					answer = fmt.Sprintf("message %d came %d times to %d clients", offset, have[offset], n)
				}
			}
			mu.Unlock()
		}
		fmt.Println(answer)
	}
}
