//go:build unix

package reliablews

import (
	"io"
	"net"
	"testing"
	"time"
)

// A message to thousands is thousands of writes: what one allocates counts.
func TestAWriteWithoutWaitingAllocatesNothing(t *testing.T) {
	if underRace {
		t.Skip("sync.Pool forgets at random under the race detector; make test runs this without it")
	}
	ours, theirs := tcpPair(t)
	go io.Copy(io.Discard, theirs)
	direct, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	l := &line{Conn: ours, timeout: time.Minute, direct: direct}
	pieces := [][]byte{[]byte("a frame")}
	if n := testing.AllocsPerRun(100, func() {
		if rest, err := l.try(pieces); rest != nil || err != nil {
			t.Fatal(rest, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func tcpPair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	theirs, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}
