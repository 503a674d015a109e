//go:build cgo && vips

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// quality of the JPEGs that are stored, as uploads has it.
const quality = 90

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
