//go:build !unix

package vfs

import "os"

func deviceOf(os.FileInfo) uint64 { return 0 }

func inodeOf(os.FileInfo) uint64 { return 0 }
