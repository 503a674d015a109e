//go:build !linux

package atomicstore

import "errors"

func exchange(string, string) error { return errors.ErrUnsupported }
