package atomicstore_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/contestkit/contestkit/atomicstore"
)

const (
	ext4Shutdown   = 0x8004587D // FS_IOC_SHUTDOWN, include/uapi/linux/fs.h
	withoutFlush   = 2          // what is not on the disk is gone, the journal's tail too
	powerCutRounds = "ATOMICSTORE_POWERCUTS"
)

// TestPowerCutForReal takes a real ext4 off a store at work, as a power cut
// does, and looks for every change that was acknowledged before. `make
// test-long` does it more often.
func TestPowerCutForReal(t *testing.T) {
	rounds := 2
	if n, err := strconv.Atoi(os.Getenv(powerCutRounds)); err == nil {
		rounds = n
	}
	total := 0
	for round := range rounds {
		t.Run(fmt.Sprintf("round=%d", round), func(t *testing.T) { total += cutPower(t, round, newLoopDisk(t, "64M")) })
		if t.Failed() {
			return
		}
	}
	if rounds > 2 {
		t.Logf("%d power cuts; %d acknowledged words were all there", rounds, total)
	}
}

// cutPower returns how many words had been acknowledged.
func cutPower(t *testing.T, round int, d *loopDisk) int {
	dir := filepath.Join(d.path, "data")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[uint64]string{}
	lines := bufio.NewScanner(out)
	for len(acknowledged) < 100+round*137%2000 && lines.Scan() {
		var seq uint64
		var word string
		if n, _ := fmt.Sscanf(lines.Text(), "ack %d %s", &seq, &word); n == 2 {
			acknowledged[seq] = word
		}
	}
	root, err := os.Open(d.path)
	if err != nil {
		t.Fatal(err)
	}
	err = unix.IoctlSetPointerInt(int(root.Fd()), ext4Shutdown, withoutFlush)
	root.Close()
	cmd.Process.Kill()
	for lines.Scan() {
	}
	cmd.Wait()
	if err != nil {
		t.Skipf("this file system cannot be shut down: %v", err)
	}
	d.umount()
	d.mount()

	if _, err := atomicstore.Verify(t.Context(), dir, &atomicstore.VerifyOptions{BackupDir: childOptions(dir).BackupDir}); err != nil {
		t.Errorf("round %d: Verify: %v", round, err)
	}
	store, err := atomicstore.Open(dir, &words{}, say, childOptions(dir))
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer store.Close()
	state, at := store.State()
	for seq, word := range acknowledged {
		if seq > uint64(len(state.List)) || state.List[seq-1] != word {
			t.Fatalf("round %d: change %d was acknowledged as %q and is not there", round, seq, word)
		}
	}
	if at.Seq != uint64(len(state.List)) {
		t.Fatalf("round %d: %d words at position %d", round, len(state.List), at.Seq)
	}
	return len(acknowledged)
}
