package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Every peer sends the same messages: a JSON string of messageBytes bytes, its
// quotes included, that says which message it is and when it was published:
//
//	"#000000042 0000000012345678901 xxxxx…"
//
// '#' is in no other byte of any peer's frames, so that it counts messages even
// where a peer puts several into one frame.
const (
	messageBytes = 128
	mark         = '#'

	sequenceDigits = 9
	clockDigits    = 19
	stampBytes     = 1 + sequenceDigits + 1 + clockDigits + 1 // what parseStamp reads
)

var padding = strings.Repeat("x", messageBytes-2-stampBytes)

// messageText returns a message without its quotes.
func messageText(sequence, now int64) string {
	return fmt.Sprintf("%c%0*d %0*d %s", mark, sequenceDigits, sequence, clockDigits, now, padding)
}

// parseStamp reads a message from its mark on.
func parseStamp(b []byte) (sequence, published int64, err error) {
	if len(b) < messageBytes-2 {
		return 0, 0, fmt.Errorf("a message of %d bytes", len(b))
	}
	if string(b[stampBytes:messageBytes-2]) != padding {
		return 0, 0, fmt.Errorf("a message that was changed: %q", b[:messageBytes-2])
	}
	if sequence, err = strconv.ParseInt(string(b[1:1+sequenceDigits]), 10, 64); err != nil {
		return 0, 0, err
	}
	published, err = strconv.ParseInt(string(b[2+sequenceDigits:2+sequenceDigits+clockDigits]), 10, 64)
	return sequence, published, err
}

// clock returns nanoseconds on the clock that all processes of this machine
// share and nobody sets, Node's process.hrtime included.
func clock() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}

// cpuTime returns the processor time of this process so far, in microseconds.
func cpuTime() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for bad arguments
	}
	return u.Utime.Nano()/1000 + u.Stime.Nano()/1000
}
