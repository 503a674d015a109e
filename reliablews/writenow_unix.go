//go:build unix

package reliablews

import "syscall"

// writeNow writes what a socket takes without waiting, which may be nothing. Go
// has made the socket non-blocking.
func writeNow(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), b)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
