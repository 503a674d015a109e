//go:build unix

package atomicstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lookedAt is how long a lock that somebody else holds is asked for, at least:
// whoever only looks whether the store is open holds it for an instant, which
// must not keep a program from starting.
const lookedAt = 100 * time.Millisecond

// lock takes the directory for this process. The lock is on a file of its own
// that is never renamed or removed, and ends with the process however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	const pause = 5 * time.Millisecond
	for range lookedAt / pause {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		time.Sleep(pause)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, path)
		}
		return nil, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return f, nil
}

// held tells whether somebody holds the lock. It asks for the lock shared, so
// that those who look do not see each other, and lets it go at once. There is
// no way to ask without: F_GETLK knows nothing of flock, and /proc/locks lacks
// what other containers hold and gives other devices on btrfs.
func held(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return false, nil
}
