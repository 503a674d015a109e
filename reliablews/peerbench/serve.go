package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"sync"
)

// addresses is what a server says first, in one line of JSON.
type addresses struct {
	Web     string `json:"web"`     // where clients connect
	Control string `json:"control"` // see control
}

// serve runs one peer's server in this process until stdin ends, which it does
// when the parent has gone too.
func serve(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	name := flags.String("peer", "", "")
	profile := flags.String("profile", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := peerNamed(*name)
	if err != nil {
		return err
	}
	s, err := p.start()
	if err != nil {
		return err
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(web, s) }()
	c := &controller{server: s, profile: *profile}
	go func() { failed <- c.listen(control) }()
	if err := json.NewEncoder(stdout).Encode(addresses{web.Addr().String(), control.Addr().String()}); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, stdin)
		failed <- err
	}()
	err = <-failed
	c.stopProfile()
	return err
}

func peerNamed(name string) (peer, error) {
	for _, p := range peers {
		if p.name == name {
			return p, nil
		}
	}
	return peer{}, fmt.Errorf("there is no peer named %q", name)
}

// controller does what the load client asks for, a line each:
//
//	publish N    publishes N messages, each with its time
//	subscribers  answers how many there are
//	cpu          answers this process's processor time in microseconds
//	tidy         gives unused memory back to the system and answers 0
type controller struct {
	server  server
	profile string // folder for profiles, "" for none
	last    int64

	mu        sync.Mutex // guards profiling
	profiling *os.File
}

func (c *controller) listen(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go c.control(conn)
	}
}

func (c *controller) control(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var answer int64
		switch line := lines.Text(); line {
		case "subscribers":
			answer = int64(c.server.subscribers())
		case "cpu":
			c.startProfile()
			answer = cpuTime()
		case "tidy":
			debug.FreeOSMemory()
			c.writeHeap()
		default:
			n, err := strconv.Atoi(line[min(len(line), len("publish ")):])
			if err != nil {
				return
			}
			c.startProfile()
			messages := make([]string, n)
			now := clock()
			for i := range messages {
				c.last++
				messages[i] = messageText(c.last, now)
			}
			c.server.publish(messages)
			continue
		}
		if _, err := fmt.Fprintln(conn, answer); err != nil {
			return
		}
	}
}

// startProfile begins with the first message or measurement: connecting is not what is looked
// into.
func (c *controller) startProfile() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.profile == "" || c.profiling != nil {
		return
	}
	f, err := os.Create(filepath.Join(c.profile, "cpu.prof"))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench: no profile:", err)
		c.profile = ""
		return
	}
	c.profiling = f
}

func (c *controller) stopProfile() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.profiling != nil {
		pprof.StopCPUProfile()
		c.profiling.Close()
		if s, ok := c.server.(fmt.Stringer); ok {
			fmt.Fprintln(os.Stderr, s)
		}
	}
}

func (c *controller) writeHeap() {
	if c.profile == "" {
		return
	}
	f, err := os.Create(filepath.Join(c.profile, "heap.prof"))
	if err == nil {
		err = pprof.Lookup("heap").WriteTo(f, 0)
		f.Close()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(os.Stderr, "heap in use %d KiB, stacks %d KiB, all from the system %d KiB, %d goroutines, heap profile: %v\n",
		m.HeapInuse>>10, m.StackInuse>>10, m.Sys>>10, runtime.NumGoroutine(), err)
}
