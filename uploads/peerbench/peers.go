package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/contestkit/contestkit/uploads"
	"github.com/google/renameio/v2"
)

// quality of the JPEGs that are stored, as uploads has it.
const quality = 90

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

// plain stores what a function makes of a photo as uploads does: under its
// SHA-256, file and folder synced.
type plain struct {
	dir   string
	clean func(photo []byte) ([]byte, error)
}

func (p plain) take(_ context.Context, file string) (string, error) {
	photo, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if photo, err = p.clean(photo); err != nil {
		return "", err
	}
	hash := sha256.Sum256(photo)
	path := filepath.Join(p.dir, hex.EncodeToString(hash[:])+".jpg")
	if err := renameio.WriteFile(path, photo, 0o600); err != nil {
		return "", err
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return "", err
	}
	return path, errors.Join(dir.Sync(), dir.Close())
}

func (p plain) forget(path string) error { return os.Remove(path) }
func (p plain) Close() error             { return nil }
