//go:build !unix

package atomicstore

import (
	"errors"
	"os"
)

func lock(string) (*os.File, error) {
	return nil, errors.New("a store needs flock, which this system does not have")
}
