// Command chat shows packages reliablews and atomicstore together: a room in
// which nothing that was said is lost or said twice, through lost connections
// and restarts of the server, with presence and direct messages.
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := flag.String("addr", "localhost:8080", "`address` to serve")
	dir := flag.String("dir", "chat-state", "`folder` of the room")
	grace := flag.Duration("grace", 5*time.Second, "how long somebody may be without a connection and still be here")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "chat: what is %q? There are flags only; -help lists them.\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(ctx, os.Stdout, *addr, *dir, *grace); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, addr, dir string, grace time.Duration) (err error) {
	c, err := openChat(dir, grace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.store.Close()) }()

	files, err := fs.Sub(page, "page")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", strict(http.FileServerFS(files)))
	mux.Handle("/reliablews.js", reliablews.ScriptHandler())
	mux.Handle("/ws", c.hub)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	following, unfollow := context.WithCancel(context.Background())
	followed, served := make(chan error, 1), make(chan error, 1)
	go func() { followed <- c.follow(following) }()
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "open http://%s\n", listener.Addr())

	defer unfollow()
	select {
	case err = <-served:
	case err = <-followed:
		followed <- err // for below
	case <-ctx.Done():
	}
	// The pages are told to come back; then the server ends, and at last the
	// room that it shows.
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = errors.Join(err, c.hub.Shutdown(end), server.Shutdown(end))
	unfollow()
	<-followed
	return err
}

// strict allows a page nothing but its own files and its own server.
func strict(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
			"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		h.ServeHTTP(w, r)
	})
}
