// Command contestd runs a live photo contest: visitors send photos from their
// phones, every open page shows them at once, judges pick the winners.
//
// Without any configuration it serves http://localhost:3000 and keeps its
// state under ./state. contestd --help lists what can be changed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default comes back, so that a second one ends
	// the process at once. Nothing acknowledged is lost by that.
	context.AfterFunc(ctx, stop)

	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "contestd:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends and then shuts down in order. What a person at a
// terminal wants to read goes to stdout, the log to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout, stderr)
	if err != nil || cfg == nil {
		return err
	}
	log := newLogger(cfg, stderr)

	a, err := openApp(ctx, cfg, log)
	if err != nil {
		return err
	}
	ln, err := a.listen(ctx)
	if err != nil {
		return errors.Join(err, a.close(context.WithoutCancel(ctx)))
	}
	printAddresses(stdout, cfg, ln.Addr(), a.madeUpPassword)
	return a.serve(ctx, ln)
}
