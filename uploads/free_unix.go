//go:build linux || darwin

package uploads

import (
	"os"
	"syscall"
)

// freeBytes returns what is free for us on the file system of dir.
func freeBytes(dir *os.File) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
