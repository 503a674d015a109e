// Command photobox shows package uploads alone: a page that takes photos, and a
// cloud that they are mirrored to, which can be switched off while it runs.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/contestkit/contestkit/uploads"
	"github.com/contestkit/contestkit/uploads/cloudinarystore"
	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

//go:embed page
var page embed.FS

// shown is how many photos the page shows.
const shown = 60

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := flag.String("addr", "localhost:8080", "`address` to serve")
	dir := flag.String("dir", "photobox-state", "`folder` of the photos")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "photobox: what is %q? There are flags only; -help lists them.\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(ctx, os.Stdout, *addr, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "photobox:", err)
		os.Exit(1)
	}
}

// box is what the handlers share.
type box struct {
	photos *uploads.Dir
	syncer *uploads.Syncer
	cloud  *cloudinarytest.Server // nil when it is the real one
	off    atomic.Bool            // the cloud is switched off
}

func run(ctx context.Context, out io.Writer, addr, dir string) (err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	b := &box{}
	if b.photos, err = uploads.OpenDir(dir, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.photos.Close()) }()

	// The operator's own account, or a cloud in this very program. That one
	// forgets with it, so each run has one of another name: it gets everything.
	mux := http.NewServeMux()
	store, err := cloudinarystore.FromEnvironment(os.Getenv)
	if errors.Is(err, cloudinarystore.ErrNotConfigured) {
		name := fmt.Sprintf("run-%d", time.Now().UnixNano())
		b.cloud = cloudinarytest.New(name, "key", "secret")
		mux.Handle("/v1_1/", b.cloud)
		mux.Handle("/"+name+"/", b.cloud)
		store, err = cloudinarystore.New(b.cloud.CloudinaryURL("http://" + listener.Addr().String()))
	}
	if err != nil {
		return err
	}
	b.syncer = uploads.NewSyncer(b.photos, store, &uploads.SyncOptions{BreakFor: 3 * time.Second}) // nobody watches for long

	files, err := fs.Sub(page, "page")
	if err != nil {
		return err
	}
	mux.Handle("/", http.FileServerFS(files))
	mux.Handle("/photos/", http.StripPrefix("/photos", b.photos.Handler(nil)))
	mux.HandleFunc("POST /upload", b.upload)
	mux.HandleFunc("GET /state", b.state)
	mux.HandleFunc("POST /cloud", b.turn)
	mux.HandleFunc("DELETE /photos/{id}", b.remove)
	server := &http.Server{Handler: strict(http.NewCrossOriginProtection().Handler(mux)), ReadHeaderTimeout: 10 * time.Second}

	// The Syncer ends before the folder is closed.
	sync, stopSync := context.WithCancel(ctx)
	synced, served := make(chan error, 1), make(chan error, 1)
	go func() { synced <- b.syncer.Run(sync) }()
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "open http://%s\n", listener.Addr())
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	stopSync()
	err = errors.Join(err, <-synced)
	store.Close()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(end) != nil {
		server.Close() // a browser keeps a connection that it has not used
	}
	return err
}

// upload takes a photo: the body is nothing but that.
func (b *box) upload(w http.ResponseWriter, r *http.Request) {
	photo, err := b.photos.Accept(r.Context(), r.Body)
	var refused interface {
		HTTPStatus() int
		Sentence() string
	}
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.Sentence(), refused.HTTPStatus())
	case err != nil:
		http.Error(w, "The photo could not be stored. Try again.", http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, photo.ID)
	}
}

// item is a photo on the page.
type item struct {
	ID     uploads.PhotoID `json:"id"`
	SrcSet string          `json:"srcset"`
	Width  int             `json:"width"`
	Height int             `json:"height"`
	Place  string          `json:"place"` // in the cloud, "" while it is not there
	at     time.Time
}

// state is everything that the page shows.
func (b *box) state(w http.ResponseWriter, r *http.Request) {
	items := []item{}
	for id, err := range b.photos.Walk() {
		if err != nil {
			break
		}
		p, err := b.photos.Stat(id)
		if err != nil {
			continue // deleted just now
		}
		place, _ := b.photos.Place(id)
		items = append(items, item{id, uploads.SrcSet("/photos/"+string(id), p.Width), p.Width, p.Height, place, p.AcceptedAt})
	}
	slices.SortFunc(items, func(a, b item) int { return b.at.Compare(a.at) })
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(map[string]any{
		"photos": items[:min(len(items), shown)],
		"sync":   b.syncer.Stats(),
		"off":    b.off.Load(),
		"own":    b.cloud == nil, // it cannot be switched off
	})
}

// turn switches the cloud off or on.
func (b *box) turn(w http.ResponseWriter, r *http.Request) {
	off := r.FormValue("off") == "true"
	if b.cloud == nil {
		http.Error(w, "This cloud is not ours to switch off.", http.StatusConflict)
		return
	}
	b.cloud.Recover()
	if off {
		b.cloud.Fail(cloudinarytest.Unavailable, -1)
	}
	b.off.Store(off)
	w.WriteHeader(http.StatusNoContent)
}

func (b *box) remove(w http.ResponseWriter, r *http.Request) {
	if err := b.photos.Delete(uploads.PhotoID(r.PathValue("id"))); err != nil && !errors.Is(err, uploads.ErrUnknownPhoto) {
		http.Error(w, "The photo could not be deleted. Try again.", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// strict allows a page nothing but its own files and its own server.
func strict(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/photos/") { // which has one of its own
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "+
				"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}
