//go:build !linux

package atomicstore

import "os"

func datasync(f *os.File) error { return f.Sync() }
