package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/contestkit/contestkit/uploads"
)

// peer is one of those that are measured.
type peer struct {
	name string
	what string // a sentence for the results
	open func(dir string) (store, error)
}

// store takes photos into a folder. It is used by many goroutines at once.
type store interface {
	// take makes a clean photo of a file and returns when that is on disk, and
	// under which path.
	take(ctx context.Context, file string) (path string, err error)
	forget(path string) error
	Close() error
}

func peerNamed(name string) (peer, error) {
	for _, p := range peers {
		if p.name == name {
			return p, nil
		}
	}
	return peer{}, fmt.Errorf("no peer is called %q", name)
}

const nameOurs = "uploads"

var ours = peer{nameOurs, "`Accept` with default options, in pure Go", func(dir string) (store, error) {
	d, err := uploads.OpenDir(dir, nil)
	return accepting{d, dir}, err
}}

type accepting struct {
	*uploads.Dir
	path string
}

func (a accepting) take(ctx context.Context, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	p, err := a.Accept(ctx, f)
	return filepath.Join(a.path, string(p.ID)+".jpg"), err
}

func (a accepting) forget(path string) error {
	name := filepath.Base(path)
	return a.Delete(uploads.PhotoID(name[:len(name)-len(".jpg")]))
}
