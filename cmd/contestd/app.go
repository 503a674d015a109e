package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/cmd/contestd/web"
	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/reliablews"
	"github.com/contestkit/contestkit/uploads"
)

// The budgets of a shutdown. Fly sends SIGKILL after 30 s, and every phase
// before that must leave time for the next.
const (
	goodbyeBudget = 5 * time.Second  // pages are told to come back
	writesBudget  = 10 * time.Second // submissions in flight
	closeBudget   = 5 * time.Second  // the last HTTP answers
)

// app is the running contest: the four packages and what joins them.
type app struct {
	cfg     *config
	log     *slog.Logger
	started time.Time

	store  *atomicstore.Store[*contest.State, contest.Event]
	photos *uploads.Dir
	cloud  *cloud // nil when the operator has none
	hub    *reliablews.Hub
	feed   *feed
	pages  *web.Pages

	sessions *sessions
	throttle *throttle
	password string // argon2id hash of the organiser's password
	requests requestCounts

	background    sync.WaitGroup // the mirror and the sweep
	endBackground context.CancelFunc

	writes   gate        // open while changes are taken
	draining atomic.Bool // set first thing at shutdown

	madeUpPassword string // shown once by main; empty when the operator chose one or it was shown before
}

// openApp opens the parts from the bottom up. When one does not open, those
// before it are closed again.
func openApp(ctx context.Context, cfg *config, log *slog.Logger) (_ *app, err error) {
	a := &app{cfg: cfg, log: log, started: time.Now(), throttle: newThrottle()}
	defer func() {
		if err != nil {
			a.closeParts()
		}
	}()

	for _, dir := range []string{cfg.dataDir(), cfg.backupDir()} {
		// Names and phone numbers are in there: for the operator alone.
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the state folder (set STATE_DIR to a writable place): %w", err)
		}
	}
	if a.pages, err = web.Load(cfg.Dev); err != nil {
		return nil, err
	}
	if a.store, err = atomicstore.Open(cfg.dataDir(), contest.NewState(), contest.Apply, &atomicstore.Options{
		Logger:    log,
		BackupDir: cfg.backupDir(),
		// The feed publishes these again after a restart, and may lag as far.
		KeepModifications: 2 * refill,
	}); err != nil {
		if errors.Is(err, atomicstore.ErrLocked) {
			return nil, fmt.Errorf("%s is in use by another contestd: stop it, or set STATE_DIR and PORT to run a second contest: %w", cfg.StateDir, err)
		}
		return nil, err
	}
	// After the store: its lock also keeps a second process away from the photos.
	if a.photos, err = uploads.OpenDir(filepath.Join(cfg.StateDir, "uploads"), &uploads.Options{Logger: log}); err != nil {
		return nil, err
	}
	if a.password, a.madeUpPassword, err = adminPassword(cfg); err != nil {
		return nil, err
	}
	a.sessions = newSessions(cfg)
	a.hub = reliablews.NewHub(&reliablews.HubOptions{Authorize: a.authorize, Address: a.clientAddress, Logger: log})
	if a.feed, err = openFeed(ctx, a.store, a.hub, log); err != nil {
		return nil, err
	}
	if a.cloud, err = a.openCloud(); err != nil {
		return nil, err
	}
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	a.endBackground = end
	a.background.Go(func() { a.sweeping(background) })
	if a.cloud != nil {
		a.background.Go(func() { a.mirror(background) })
	}
	return a, nil
}

func (a *app) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(a.cfg.Port)))
	if err != nil {
		return nil, fmt.Errorf("listen on port %d (set PORT to use another): %w", a.cfg.Port, err)
	}
	return ln, nil
}

// serve answers requests until ctx ends or the listener fails, and shuts down.
func (a *app) serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()

	select {
	case <-ctx.Done():
		return a.shutdown(context.WithoutCancel(ctx), server)
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), a.close(context.WithoutCancel(ctx)))
	}
}

// shutdown ends the contest so that nothing acknowledged is lost and every
// page comes back by itself: not ready, sockets closed with a delay to return
// after, writes in flight finished, state saved, HTTP closed.
func (a *app) shutdown(ctx context.Context, server *http.Server) error {
	a.draining.Store(true)
	closed := a.close(ctx)

	ctx, cancel := context.WithTimeout(ctx, closeBudget)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		// A visitor whose download is too slow for the budget does not hold up the rest.
		a.log.Warn("ending HTTP connections that are still busy", "error", err)
		server.Close()
	}
	a.log.Info("HTTP server closed")
	if closed == nil {
		a.log.Info("Application shutdown complete")
	}
	return closed
}

// close takes the contest down to its state on disk.
func (a *app) close(ctx context.Context) error {
	a.log.Info("Real-time service shutting down...")
	goodbye, cancel := context.WithTimeout(ctx, goodbyeBudget)
	if err := a.hub.Shutdown(goodbye); err != nil {
		a.log.Warn("some pages were cut off without a goodbye; they reconnect by themselves", "error", err)
	}
	cancel()

	inFlight, cancel := context.WithTimeout(ctx, writesBudget)
	if err := a.writes.close(inFlight); err != nil {
		a.log.Warn("submissions still in flight get no answer; their senders try again", "error", err)
	}
	cancel()

	a.stopBackground() // a photo on its way to the cloud goes there after the next start
	a.log.Info("Saving final game state...")
	return a.closeParts()
}

// stopBackground returns when neither the mirror nor the sweep does anything any
// more. It may be called again.
func (a *app) stopBackground() {
	if a.endBackground != nil {
		a.endBackground()
		a.background.Wait()
	}
}

// closeParts closes whatever has been opened, in reverse.
func (a *app) closeParts() error {
	a.stopBackground()
	var errs []error
	if a.feed != nil {
		a.feed.close()
	}
	if a.photos != nil {
		errs = append(errs, a.photos.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}
