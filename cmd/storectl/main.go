// Command storectl looks into the directory of an atomicstore, checks it, and
// goes back to an earlier state. It knows nothing of the types that a program
// keeps there, so it works on any store; all but restore work beside a program
// that has the store open, and on a directory that nobody may write.
//
//	storectl stat state/data
//	storectl --help
//
// It exits with 0, with 1 when something failed or is damaged, and with 2 when
// the command line makes no sense.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default comes back, so that a second one ends
	// the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], newConsole(os.Stdin, os.Stdout, os.Stderr)))
}

// run carries out one command and returns the exit code.
func run(ctx context.Context, args []string, c *console) int {
	command, err := parse(args, c)
	if err == nil && command != nil {
		err = command.Run(ctx, c)
	}
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "storectl: %v\nTry storectl %s--help.\n", err, usage.command)
		return 2
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		fmt.Fprintln(c.err, "storectl: interrupted")
		return 1
	default:
		fmt.Fprintln(c.err, "storectl:", printable(err.Error()))
		return 1
	}
}
