// Command peerbench measures how much work it is to get messages to many
// WebSocket connections: reliablews, others, and a raw server as the limit,
// interleaved in one run. It prints a table and writes it as Markdown and as a
// plot. README.md says what is measured and how. Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := child(os.Args[1:])
	if errors.Is(err, errNoChild) {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
}

var errNoChild = errors.New("not one of the processes that the bench starts")

// child does what the bench starts itself for: a server, or the client.
func child(args []string) error {
	switch {
	case len(args) > 0 && args[0] == "serve":
		return serve(args[1:], os.Stdin, os.Stdout)
	case len(args) > 0 && args[0] == "load":
		return loadTask(os.Stdin, os.Stdout)
	}
	return errNoChild
}

const maxConns = 9000 // of one server: hubs take 10,000 by default

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("peerbench", flag.ExitOnError)
	rounds := flags.Int("rounds", 5, "how often each peer is measured")
	length := flags.Duration("time", time.Second, "length of each measurement; those of latency take twice as long")
	only := flags.String("peers", "", "measure only the peers whose names contain one of these, separated by commas")
	which := flags.String("measure", "", "make only the measures whose names contain one of these, separated by commas:\nsaturated, trigger, paced, idle, resume, acks")
	conns := flags.String("conns", "100,1000,5000", "numbers of connections of the saturated measure; the others use theirs,\nbut no more than the largest of these")
	out := flags.String("out", "", "folder for the table and the plot (default: none written)")
	profile := flags.String("profile", "", "folder for cpu.prof, from the first message on, and heap.prof, while idle, of the last server\n(give one peer and one measure)")
	note := flags.String("note", "", "a sentence to put above the results, such as that they are provisional")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "Usage: peerbench [flags]\n\nMeasures reliablews and other WebSocket servers, interleaved, each in its own process.\nPeers: %s.\n\n", strings.Join(names(peers), "; "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	}
	if *rounds < 1 || *rounds > 100 || *length <= 0 || *length > 20*time.Second {
		return errors.New("-rounds goes from 1 to 100, -time to 20s")
	}
	var counts []int
	for n := range strings.SplitSeq(*conns, ",") {
		c, err := strconv.Atoi(n)
		if err != nil || c < 1 || c > maxConns {
			return fmt.Errorf("%q is no number of connections from 1 to %d", n, maxConns)
		}
		counts = append(counts, c)
	}
	if err := raiseLimit(uint64(slices.Max(counts)) + 64); err != nil {
		return err
	}
	b := &bench{results: map[cell][]numbers{}, stderr: stderr, profile: *profile, note: *note, rounds: *rounds, length: *length}
	b.peers = slices.DeleteFunc(slices.Clone(peers), func(p peer) bool { return !chosen(*only, p.name) })
	for _, m := range measures {
		if !chosen(*which, m.name) {
			continue
		}
		if m.conns == 0 {
			for _, c := range counts {
				b.work = append(b.work, work{m, c})
			}
		} else {
			b.work = append(b.work, work{m, min(m.conns, slices.Max(counts))})
		}
	}
	if len(b.peers) == 0 || len(b.work) == 0 {
		return errors.New("no such peer or measure: see -help")
	}
	if slices.ContainsFunc(b.peers, func(p peer) bool { return p.node }) {
		if err := needSocketIO(ctx, stderr); err != nil {
			b.notes = append(b.notes, "Socket.IO was left out: "+err.Error()+".")
			fmt.Fprintln(stderr, b.notes[0])
			b.peers = slices.DeleteFunc(b.peers, func(p peer) bool { return p.node })
		}
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	fmt.Fprint(stdout, b.text())
	if *out == "" {
		return nil
	}
	return b.write(*out)
}

func names(list []peer) (names []string) {
	for _, p := range list {
		names = append(names, p.name)
	}
	return names
}

// chosen tells whether a name contains one of the parts of a flag.
func chosen(flag, name string) bool {
	return flag == "" || slices.ContainsFunc(strings.Split(flag, ","), func(part string) bool {
		return strings.Contains(strings.ToLower(name), strings.ToLower(strings.TrimSpace(part)))
	})
}
