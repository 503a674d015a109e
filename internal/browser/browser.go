// Package browser drives Chromium in tests: one process for a test binary, with
// as many windows as there are people in the test.
//
//	func TestMain(m *testing.M) { os.Exit(browser.Main{M: m}.Run()) }
//
//	func TestPage(t *testing.T) {
//		ada := browser.NewTab(t, "Ada")
//		ada.Open(url)
//		ada.Fill("#name", "Ada")
//		ada.Click("#join")
//		ada.Until("that she is in", `document.querySelector("#text") !== null`)
//	}
//
// Nothing here waits for a time to pass. A step is tried until it succeeds, or
// fails the test when [Patience] is over.
//
// It is the only package that imports what drives a browser, and only tests
// import it.
package browser

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Patience is how long a step may take. It is for a machine with a lot else to
// do: only a step that fails takes so long.
const Patience = 2 * time.Minute

// Main is what TestMain runs in place of its testing.M: the tests, and then the
// end of the browser that they started, if they did.
type Main struct{ *testing.M }

// Run runs the tests and returns the exit code.
func (m Main) Run() int {
	chromium.mu.Lock()
	chromium.ends = true
	chromium.mu.Unlock()
	defer chromium.stop()
	return m.M.Run()
}

// process is the browser of this test binary.
type process struct {
	mu   sync.Mutex // guards the fields below
	ends bool       // somebody will stop it
	ctx  context.Context
	err  error
	quit func()
}

var chromium process // one a test binary: it takes longer to start than most tests to run

var errNone = errors.New("no Chromium found: make test installs it on Debian, or install the package chromium")

// start returns the context of the browser, which the first call starts. It
// skips the test where there is none; CI must have one.
func (p *process) start(t *testing.T) context.Context {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ends {
		t.Fatal("TestMain has to run browser.Main, or nobody ends the browser")
	}
	if p.ctx == nil && p.err == nil {
		p.run()
	}
	if p.err == errNone && os.Getenv("CI") != "true" {
		t.Skip(p.err)
	}
	if p.err != nil {
		t.Fatalf("start the browser: %v", p.err)
	}
	return p.ctx
}

func (p *process) run() {
	path := find()
	if path == "" {
		p.err = errNone
		return
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Headless,
		chromedp.NoSandbox, // root in CI has none
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.WSURLReadTimeout(Patience),
		chromedp.WindowSize(desktop.width, desktop.height),
		// The tests reach nothing but the servers they started.
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-quic", true),
	)
	ctx, cancel := chromedp.NewContext(allocator)
	p.quit = func() {
		chromedp.Cancel(ctx)
		cancel()
		stop()
	}
	if p.err = chromedp.Do(ctx); p.err != nil { // without a deadline, which would end the browser
		p.quit()
		return
	}
	p.ctx = ctx
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (p *process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx != nil {
		p.quit()
	}
	p.ctx, p.ends = nil, false
}
