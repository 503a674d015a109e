// Command peerbench measures what uploads.Accept would gain from libvips:
// photos per second and peak memory of this package, of h2non/bimg and of
// libvips itself, interleaved in one run. It prints tables and writes them as
// Markdown. README.md says what is measured and how. Linux only.
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
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == childVerb {
		err = child(os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("peerbench", flag.ExitOnError)
	rounds := flags.Int("rounds", 3, "how often each peer takes photos one after the other")
	crowds := flags.Int("crowds", 1, fmt.Sprintf("how often each peer takes %d photos, %d at once", crowdPhotos, crowdAtOnce))
	length := flags.Duration("time", 300*time.Millisecond, "length of each measurement, and at least one photo")
	only := flags.String("megapixels", "", "measure only these sizes, separated by commas: "+strings.Join(sizeNames(), ", "))
	out := flags.String("out", "", "folder for the tables (default: none written)")
	note := flags.String("note", "", "a sentence to put above the results, such as that they are provisional")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	}
	if *rounds < 1 || *crowds < 0 || *length < 0 {
		return errors.New("-rounds is 1 or more, -crowds and -time 0 or more")
	}
	if errNoVips != nil {
		return errNoVips
	}
	b := &bench{rounds: *rounds, crowds: *crowds, length: *length, note: *note, stderr: stderr, results: map[cell][]numbers{}}
	for _, s := range sizes {
		if *only == "" || slices.Contains(strings.Split(*only, ","), s.name) {
			b.sizes = append(b.sizes, s)
		}
	}
	if len(b.sizes) == 0 {
		return fmt.Errorf("-megapixels: %q is none of %s", *only, strings.Join(sizeNames(), ", "))
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
