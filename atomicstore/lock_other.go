//go:build !unix

package atomicstore

import (
	"errors"
	"os"
)

var errNoLock = errors.New("a store needs flock, which this system does not have")

func lock(string) (*os.File, error) { return nil, errNoLock }
func held(string) (bool, error)     { return false, errNoLock }
