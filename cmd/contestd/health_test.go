package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/reliablews"
)

func TestWhatDoesNotDoItsWorkIsNamed(t *testing.T) {
	for _, test := range []struct {
		stats        atomicstore.Stats
		hub          error
		part, reason string
	}{
		{atomicstore.Stats{}, nil, "", ""},
		{atomicstore.Stats{DiskFull: true}, nil, "disk", "until there is room"},
		{atomicstore.Stats{Failed: true}, nil, "store", "until a restart"},
		{atomicstore.Stats{Failed: true, DiskFull: true}, nil, "store", "until a restart"}, // room does not help
		{atomicstore.Stats{Failed: true, Replaced: true}, nil, "store", "takes it over"},
		{atomicstore.Stats{}, reliablews.ErrSnapshot, "live", "a snapshot can be made"},
		{atomicstore.Stats{Failed: true}, reliablews.ErrSnapshot, "store", "until a restart"},
	} {
		part, reason := degraded(test.stats, test.hub)
		if part != test.part || !strings.Contains(reason, test.reason) {
			t.Errorf("%+v, %v is %q, %q; want %q and %q", test.stats, test.hub, part, reason, test.part, test.reason)
		}
	}
}

// TestAFullDiskIsDegradedUntilThereIsRoom runs on a small disk of its own.
func TestAFullDiskIsDegradedUntilThereIsRoom(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("needs root on Linux, to mount a small disk")
	}
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", mount).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &config{StateDir: filepath.Join(mount, "state"), AdminUser: "admin", AdminPassword: testPassword}
	a, err := openApp(t.Context(), cfg, newLogger(cfg, new(safeBuffer)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close(t.Context())
	if w := ask(a, "GET", "/ready"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"degraded":["disk"]`) || !strings.Contains(w.Body.String(), `"ready":true`) {
		t.Errorf("/ready answers %d: %s", w.Code, w.Body)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(20 * time.Second)
	for strings.Contains(ask(a, "GET", "/ready").Body.String(), "degraded") {
		select {
		case <-deadline:
			t.Fatal("there is room, and the server is still degraded")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
