package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is a server in a process of its own.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer // the server ends with it
	at    addresses
}

// start runs a peer's server. ctx ends it at once.
func start(ctx context.Context, p peer, profile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "-peer", p.name, "-profile", profile)
	if p.node {
		cmd = exec.CommandContext(ctx, "node", "--expose-gc", "server.mjs")
		cmd.Dir = socketIODir
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &process{cmd: cmd, stdin: stdin}
	first, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(first, &s.at)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: it said %q: %w", p.name, first, err)
	}
	return s, nil
}

// stop ends the server and waits until its process is gone.
func (s *process) stop() {
	s.stdin.Close()
	kill := time.AfterFunc(10*time.Second, func() { s.cmd.Process.Kill() })
	s.cmd.Wait() // how it ended does not matter any more
	kill.Stop()
}

// measureOnce runs a task with a server and a client of its own.
func measureOnce(ctx context.Context, p peer, t task, profile string) (n numbers, err error) {
	server, err := start(ctx, p, profile)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t.Peer, t.Server, t.PID = p.name, server.at, server.cmd.Process.Pid
	cmd := exec.CommandContext(ctx, self, "load")
	var said strings.Builder
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe() // stays open: the client ends with it too
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(stdin).Encode(t)
	if err == nil {
		err = json.NewDecoder(stdout).Decode(&n)
	}
	stdin.Close()
	cmd.Wait() // a client that has given its numbers may end as it likes
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errors.New(strings.TrimSpace(strings.TrimPrefix(said.String(), "peerbench: ")))
	}
	return n, nil
}

// loadTask is the client's process: a task on stdin, its numbers on stdout. It
// ends with stdin.
func loadTask(stdin io.Reader, stdout io.Writer) error {
	var t task
	if err := json.NewDecoder(stdin).Decode(&t); err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, stdin)
		os.Exit(1)
	}()
	n, err := t.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(n)
}

const socketIODir = "socketio"

// needSocketIO makes the Socket.IO peer ready, or says why it cannot be.
func needSocketIO(ctx context.Context, stderr io.Writer) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
	}
	if _, err := os.Stat(socketIODir + "/server.mjs"); err != nil {
		return fmt.Errorf("run the bench in its own folder: %w", err)
	}
	if _, err := os.Stat(socketIODir + "/node_modules/socket.io"); err == nil {
		return nil
	}
	fmt.Fprintln(stderr, "npm fetches socket.io into", socketIODir)
	cmd := exec.CommandContext(ctx, "npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = socketIODir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, out)
	}
	return nil
}
