// Command ticker shows package reliablews alone: a page on which a clock ticks,
// once each tick and in order, through lost connections and restarts of the
// server.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/contestkit/contestkit/reliablews"
)

//go:embed page
var page embed.FS

// held is how many ticks back a page can come and miss none.
const held = 600

// Tick is the message.
type Tick struct {
	Number uint64 `json:"number"` // since 1970
	At     int64  `json:"at"`     // milliseconds since 1970
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := flag.String("addr", "localhost:8080", "`address` to serve")
	every := flag.Duration("every", time.Second, "time between ticks")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "ticker: what is %q? There are flags only; -help lists them.\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(ctx, os.Stdout, *addr, *every); err != nil {
		fmt.Fprintln(os.Stderr, "ticker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, addr string, every time.Duration) error {
	hub := reliablews.NewHub(&reliablews.HubOptions{GoodbyeSpread: time.Second}) // few visitors
	// Ticks are numbered since 1970, so every run of the program numbers them
	// alike, as a program does that publishes from a log. The numbering is the
	// epoch: with another -every, positions from before mean nothing.
	now := uint64(time.Now().UnixNano() / int64(every))
	begin := reliablews.Position{Epoch: every.String(), Offset: now - held}
	ticks, err := hub.Topic("ticks", begin, &reliablews.TopicOptions{HistoryMessages: held})
	if err != nil {
		return err
	}
	// Before the server listens, the topic gets what it had before, read again
	// from where it is durable. Here that is the clock.
	if err := publish(ticks, every); err != nil {
		return err
	}

	files, err := fs.Sub(page, "page")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", strict(http.FileServerFS(files)))
	mux.Handle("/reliablews.js", reliablews.ScriptHandler())
	mux.Handle("/ws", hub)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "open http://%s\n", listener.Addr())

	clock := time.NewTicker(every)
	defer clock.Stop()
	for err == nil {
		select {
		case <-clock.C:
			err = publish(ticks, every)
		case err = <-served:
		case <-ctx.Done():
			// The pages are told to come back; then the server ends.
			end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return errors.Join(hub.Shutdown(end), server.Shutdown(end))
		}
	}
	return errors.Join(err, server.Close())
}

// publish brings the topic up to the present. A clock that was set back says
// nothing new until it has passed where it was.
func publish(ticks *reliablews.Topic, every time.Duration) error {
	now := uint64(time.Now().UnixNano() / int64(every))
	for n := ticks.Position().Offset + 1; n <= now; n++ {
		at := time.Unix(0, int64(n)*int64(every))
		if err := ticks.Publish(n, Tick{n, at.UnixMilli()}); err != nil {
			return err
		}
	}
	return nil
}

// strict allows a page nothing but its own files and its own server.
func strict(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
			"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}
