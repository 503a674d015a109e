package main

import (
	"slices"
	"strings"
	"testing"
)

// A stream is counted alike however it is cut into reads.
func TestScannerCountsWhateverTheReads(t *testing.T) {
	message := func(bytes int) []byte {
		b := clientFrame(opText, strings.Repeat("x", bytes-1)+string(mark))
		if bytes < 126 { // a server does not mask
			return append([]byte{b[0], b[1] & 0x7f}, b[6:]...)
		}
		return append([]byte{b[0], b[1] & 0x7f, b[2], b[3]}, b[8:]...)
	}
	ping := []byte{0x80 | opPing, 2, 'h', 'i'}
	stream := slices.Concat(message(128), []byte{0x80 | opPing, 0}, message(300), ping, message(60), message(126))
	for _, several := range []bool{false, true} {
		for size := 1; size <= len(stream); size++ {
			s, messages, others := scanner{several: several, beat: []byte("{}")}, 0, []string{}
			for part := range slices.Chunk(stream, size) {
				n, err := s.scan(part, func(opcode byte, payload []byte) error {
					others = append(others, string(payload))
					return nil
				})
				if err != nil {
					t.Fatalf("reads of %d bytes: %v", size, err)
				}
				messages += n
			}
			if messages != 3 || len(others) != 3 || others[1] != "hi" || len(others[2]) != 60 {
				t.Fatalf("reads of %d bytes: %d messages, others %q", size, messages, others)
			}
		}
	}
}

func TestScannerFindsHeartbeatAmongMessages(t *testing.T) {
	line := strings.Repeat("x", 130) + string(mark)
	for _, payload := range []string{"{}\n" + line, line + "\n{}", line + "\n{}\n" + line} {
		b := clientFrame(opText, payload)
		s, beats := scanner{several: true, beat: []byte("{}")}, 0
		messages, err := s.scan(slices.Concat([]byte{b[0], b[1] & 0x7f, b[2], b[3]}, b[8:]), func(byte, []byte) error {
			beats++
			return nil
		})
		if err != nil || beats != 1 || messages != strings.Count(payload, string(mark)) {
			t.Errorf("%d heartbeats, %d messages, %v", beats, messages, err)
		}
	}
}
