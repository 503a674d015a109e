package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/alexedwards/argon2id"
	"github.com/google/renameio/v2"
)

// hashing is OWASP's first choice for argon2id (Password Storage Cheat Sheet,
// read in November 2026): 19 MiB, two passes, one lane. About 20 ms here.
var hashing = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

func passwordPath(cfg *config) string { return filepath.Join(cfg.StateDir, "admin.hash") }

// adminPassword returns the hash to check logins against, and the password
// itself if it was made up in this call. A made-up password is kept as a hash
// beside the data, so that it stays good after a crash in the middle of an
// evening; a chosen one always comes from the configuration.
func adminPassword(cfg *config) (hash, madeUp string, err error) {
	if cfg.AdminPassword != "" {
		hash, err = argon2id.CreateHash(cfg.AdminPassword, hashing)
		return hash, "", err
	}

	path := passwordPath(cfg)
	kept, err := os.ReadFile(path)
	switch {
	case err == nil:
		hash = strings.TrimSpace(string(kept))
		if _, _, _, err := argon2id.DecodeHash(hash); err != nil {
			return "", "", fmt.Errorf("%s holds no password hash; delete it to get a new password, or set ADMIN_PASSWORD: %w", path, err)
		}
		return hash, "", nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", fmt.Errorf("read the admin password: %w", err)
	}

	// 26 letters of base 32 hold 130 bits; half of them are plenty and can be typed.
	madeUp = strings.ToLower(rand.Text()[:13])
	if hash, err = argon2id.CreateHash(madeUp, hashing); err != nil {
		return "", "", err
	}
	if err := renameio.WriteFile(path, []byte(hash+"\n"), 0o600, renameio.WithTempDir(cfg.StateDir)); err != nil {
		return "", "", fmt.Errorf("keep the admin password: %w", err)
	}
	return hash, madeUp, nil
}
