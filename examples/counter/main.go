// Command counter counts on disk. It shows package atomicstore alone: kill it
// in any way, start it again, and no count that was printed is lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

// Counter is the whole state. It is small enough to be copied as it is.
type Counter struct {
	Count int `json:"count"`
}

// Clone gives the store a copy to change; the old one stays what it is.
func (c *Counter) Clone() *Counter { copied := *c; return &copied }

// Event is what can happen: one of these fields is set.
type Event struct {
	Counted *Counted `json:"counted,omitempty"`
	Reset   *Reset   `json:"reset,omitempty"`
}

type Counted struct {
	By int `json:"by"`
}

type Reset struct{}

// apply is the only place where the state changes.
func apply(c *Counter, e Event) error {
	switch {
	case e.Counted != nil:
		c.Count += e.Counted.By
	case e.Reset != nil:
		c.Count = 0
	}
	return nil
}

var errZero = errors.New("the counter stands at zero already")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir := flag.String("dir", "counter-state", "`folder` of the count")
	every := flag.Duration("every", time.Second, "time between counts")
	reset := flag.Bool("reset", false, "set the count to zero and exit")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "counter: what is %q? There are flags only; -help lists them.\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(ctx, os.Stdout, *dir, *every, *reset); err != nil {
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string, every time.Duration, reset bool) error {
	store, err := atomicstore.Open(dir, &Counter{}, apply, nil)
	if err != nil {
		return err
	}
	defer store.Close()

	if reset {
		_, err := store.Update(ctx, func(c *Counter) ([]Event, error) {
			if c.Count == 0 {
				return nil, errZero // a rule: nothing is written
			}
			return []Event{{Reset: &Reset{}}}, nil
		})
		return err
	}
	for {
		at, err := store.Update(ctx, func(*Counter) ([]Event, error) {
			return []Event{{Counted: &Counted{By: 1}}}, nil
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		counter, _ := store.State()
		fmt.Fprintf(out, "%d (change %d, on disk)\n", counter.Count, at.Seq)
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}
