package atomicstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/atomicstore"
)

// TestADiskThatTurnsReadOnlyForReal lets ext4 find an error in itself and go
// read-only, as it does on a bad disk, under a store at work.
func TestADiskThatTurnsReadOnlyForReal(t *testing.T) {
	d := newLoopDisk(t, "64M", "errors=remount-ro")
	device, _ := d.device()
	trigger := filepath.Join("/sys/fs/ext4", device, "trigger_fs_error")
	if _, err := os.Stat(trigger); err != nil {
		t.Skipf("cannot let the disk fail: %v", err)
	}
	dir := filepath.Join(d.path, "data")
	o := childOptions(dir)
	store, err := atomicstore.Open(dir, &words{}, say, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { store.Close() }()

	var mu sync.Mutex
	acknowledged := map[uint64]string{}
	var unknown []string // under way when it failed
	var count atomic.Int64
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				word := fmt.Sprintf("%d.%d", worker, i)
				at, err := store.Update(t.Context(), func(*words) ([]string, error) { return []string{word}, nil })
				mu.Lock()
				if err == nil {
					acknowledged[at.Seq] = word
				} else {
					unknown = append(unknown, word)
				}
				mu.Unlock()
				if err != nil {
					if !errors.Is(err, atomicstore.ErrFailed) || !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EIO) {
						t.Errorf("got %v, want ErrFailed and the cause", err)
					}
					return
				}
				if count.Add(1) == 500 {
					close(enough)
				}
			}
		})
	}
	<-enough
	if err := os.WriteFile(trigger, []byte("a bad disk"), 0); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, options := d.device(); !slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "ro" || o == "emergency_ro" }) {
		t.Errorf("the disk is mounted with %s", options)
	}

	// Reading goes on, from memory and from the log.
	wantWords(t, store, acknowledged, nil)
	var read uint64
	ctx, cancel := context.WithCancel(t.Context())
	_, end := store.State()
	for c, err := range store.Changes(ctx, atomicstore.Position{Epoch: end.Epoch, Seq: store.Stats().First - 1}) {
		if err != nil {
			break
		}
		if read = c.Seq; read == end.Seq {
			cancel()
		}
	}
	cancel()
	if read != end.Seq {
		t.Errorf("Changes ends with %d, the store is at %d", read, end.Seq)
	}
	first := store.Err()
	if st := store.Stats(); !st.Failed || st.LastError != fmt.Sprint(first) || st.Changes != end.Seq {
		t.Errorf("the numbers are %+v", st)
	}
	if _, err := store.Update(t.Context(), func(*words) ([]string, error) { return []string{"later"}, nil }); !errors.Is(err, atomicstore.ErrFailed) || err.Error() != first.Error() {
		t.Errorf("a later update gives %v, want %v", err, first)
	}
	store.Close() // what it cannot do is no news
	if _, err := atomicstore.Open(dir, &words{}, say, o); err == nil {
		t.Fatal("the store opens on a disk that is read-only")
	}

	d.umount()
	d.check()
	d.mount()
	if _, err := atomicstore.Verify(t.Context(), dir, &atomicstore.VerifyOptions{BackupDir: o.BackupDir}); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if store, err = atomicstore.Open(dir, &words{}, say, o); err != nil {
		t.Fatal(err)
	}
	wantWords(t, store, acknowledged, unknown)
	if _, err := store.Update(t.Context(), func(*words) ([]string, error) { return []string{"after"}, nil }); err != nil {
		t.Error(err)
	}
}

// wantWords wants every word that was acknowledged at its position, and besides
// only some of those whose outcome is unknown.
func wantWords(t *testing.T, store *atomicstore.Store[*words, string], acknowledged map[uint64]string, unknown []string) {
	t.Helper()
	state, at := store.State()
	if at.Seq != uint64(len(state.List)) {
		t.Fatalf("%d words at position %d", len(state.List), at.Seq)
	}
	for i, word := range state.List {
		if want, ok := acknowledged[uint64(i+1)]; ok && want != word || !ok && !slices.Contains(unknown, word) {
			t.Errorf("word %d is %q, acknowledged was %q", i+1, word, want)
		}
	}
	for seq, word := range acknowledged {
		if seq > at.Seq {
			t.Errorf("change %d was acknowledged as %q and is not there", seq, word)
		}
	}
}
