// Command peerbench measures durable commits per second: this store, others,
// and an ideal loop, interleaved in one run. It prints a table and writes it
// as Markdown and as a plot.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("peerbench", flag.ExitOnError)
	rounds := flags.Int("rounds", 5, "how often each peer is measured")
	length := flags.Duration("time", time.Second, "length of each measurement")
	warm := flags.Duration("warm", 300*time.Millisecond, "time before it that does not count")
	writers := flags.String("writers", "1,8,64,256", "numbers of writers")
	only := flags.String("peers", "", "measure only the peers whose names contain one of these, separated by commas")
	dir := flags.String("dir", "", "folder on the disk to measure (default: the system's for temporary files)")
	out := flags.String("out", "", "folder for the table and the plot (default: none written)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	t := &table{}
	for n := range strings.SplitSeq(*writers, ",") {
		w, err := strconv.Atoi(n)
		if err != nil || w < 1 || w > maxWriters {
			return fmt.Errorf("%q is no number of writers", n)
		}
		t.writers = append(t.writers, w)
	}
	t.peers = slices.DeleteFunc(slices.Clone(peers), func(p peer) bool {
		return *only != "" && !slices.ContainsFunc(strings.Split(*only, ","), func(part string) bool {
			return strings.Contains(strings.ToLower(p.name), strings.ToLower(part))
		})
	})

	count, total := 0, *rounds*len(t.writers)*len(t.peers)
	start := time.Now()
	for round := range *rounds {
		for _, w := range t.writers {
			for i := range t.peers {
				p := t.peers[(i+round)%len(t.peers)] // nobody is always first
				r, err := measure(p, *dir, w, *warm, *length)
				if err != nil {
					return err
				}
				t.add(p.name, w, r)
				count++
				left := time.Since(start) / time.Duration(count) * time.Duration(total-count)
				fmt.Fprintf(stderr, "%3d/%d  round %d  %3d writers  %-14s %9.0f commits/s  %s left\n",
					count, total, round+1, w, p.name, r.commits, left.Round(time.Second))
			}
		}
	}
	fmt.Fprint(stdout, t.text())
	if *out == "" {
		return nil
	}
	return t.write(*out)
}
