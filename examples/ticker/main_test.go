package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/internal/browser"
	"github.com/contestkit/contestkit/reliablews"
)

const (
	childAddr  = "TICKER_TEST_ADDR"
	childEvery = "TICKER_TEST_EVERY"
	every      = 200 * time.Millisecond // the ticks held reach back two minutes
)

// TestMain is the program itself when the test starts it as a child to kill.
func TestMain(m *testing.M) {
	if addr := os.Getenv(childAddr); addr != "" {
		os.Args = []string{"ticker", "-addr", addr, "-every", os.Getenv(childEvery)}
		main()
		return
	}
	os.Exit(browser.Main{M: m}.Run())
}

// start runs the program and returns its address.
func start(t *testing.T, addr string, every time.Duration) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childAddr+"="+addr, childEvery+"="+every.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "open ")
	if err != nil || !found {
		t.Fatalf("it says %q, %v", line, err)
	}
	return cmd, url
}

// TestTicksComeOnceAndInOrder kills the program twice under a client, and ends
// it in peace once.
func TestTicksComeOnceAndInOrder(t *testing.T) {
	cmd, url := start(t, "127.0.0.1:0", every)
	addr := strings.TrimPrefix(url, "http://")

	ticks := make(chan reliablews.Message)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	client := reliablews.NewClient("ws://"+addr+"/ws", &reliablews.ClientOptions{
		Topics: map[string]reliablews.Position{"ticks": {}},
		OnMessage: func(m reliablews.Message) {
			select {
			case ticks <- m:
			case <-ctx.Done():
			}
		},
		OnGap: func(g reliablews.Gap) { t.Errorf("told of a gap: %+v", g) },
	})
	go func() { ended <- client.Run(ctx) }()

	last := uint64(0)
	// follow reads up to a tick.
	follow := func(to uint64) {
		t.Helper()
		for last < to {
			select {
			case m := <-ticks:
				var tick Tick
				if err := json.Unmarshal(m.Data, &tick); err != nil || tick.Number != m.Position.Offset {
					t.Fatalf("got %s at %s, %v", m.Data, m.Position, err)
				}
				if last != 0 && tick.Number != last+1 {
					t.Fatalf("after %d came %d", last, tick.Number)
				}
				last = tick.Number
			case <-time.After(2 * time.Minute):
				t.Fatal("no tick")
			}
		}
	}
	now := func() uint64 { return uint64(time.Now().UnixNano() / int64(every)) }
	follow(now() + 5)
	for _, end := range []os.Signal{os.Kill, os.Interrupt, os.Kill} {
		cmd.Process.Signal(end)
		if err := cmd.Wait(); end == os.Interrupt && err != nil {
			t.Errorf("interrupted, it ends with %v", err)
		}
		cmd, _ = start(t, addr, every)
		client.RetryNow() // the wait is the package's to test
		follow(now() + 5)
	}
	stop()
	<-ended
}

func TestPage(t *testing.T) {
	_, url := start(t, "127.0.0.1:0", every)
	get := func(path string) (body string, h http.Header) {
		t.Helper()
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		return string(b), resp.Header
	}
	html, h := get("/")
	if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'") {
		t.Errorf("the page's policy is %q", h.Get("Content-Security-Policy"))
	}
	if regexp.MustCompile(`<script[^>]*>[^<]|<style| style=| on[a-z]+=`).MatchString(html) {
		t.Error("the page has scripts or styles inside, which its policy forbids")
	}
	for path, kind := range map[string]string{"/page.js": "text/javascript", "/style.css": "text/css", "/reliablews.js": "text/javascript"} {
		if _, h := get(path); !strings.HasPrefix(h.Get("Content-Type"), kind) || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
	}
}
