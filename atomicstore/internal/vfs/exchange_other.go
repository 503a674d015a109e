//go:build !linux

package vfs

import "errors"

func exchange(string, string) error { return errors.ErrUnsupported }
