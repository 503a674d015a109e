package browsertest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// startChromium starts the browser, or skips the test where there is none; CI
// must have one.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	found := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			found = path
			break
		}
	}
	if found == "" {
		const reason = "no Chromium found: make test installs it on Debian, or install the package chromium"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(found),
		chromedp.Headless,
		chromedp.NoSandbox, // root in CI has none
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		// The tests reach nothing but the server they started.
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-quic", true),
	)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		chromedp.Cancel(ctx)
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil { // without a deadline, which would end the browser
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// tab is a tab of the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

const patience = 30 * time.Second // for one step; no wait of the client's is longer here

// newTab opens a tab: with a browser's context beside the others, with a tab's
// in that one's window.
func newTab(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &tab{t, ctx}
}

func (tb *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatalf("%s: %v", what, err)
	}
}

func (tb *tab) open(url string) {
	tb.t.Helper()
	tb.do("open "+url, chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("body")))
}

// until waits for a JavaScript expression to become true. It asks again and
// again from here: a page that is hidden or frozen has no timers that would.
func (tb *tab) until(what, expression string) {
	tb.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; {
		ctx, cancel := context.WithTimeout(tb.ctx, patience)
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		if err == nil && yes {
			return
		}
	}
	tb.t.Fatalf("never saw %s; the page has seen %s", what, tb.text(`JSON.stringify(window.log)`))
}

// text evaluates an expression that is a string.
func (tb *tab) text(expression string) string {
	tb.t.Helper()
	s, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return s
}

// front makes it the tab that is seen; the others of its window are hidden.
func (tb *tab) front() {
	tb.t.Helper()
	tb.do("bring to front", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.BringToFront, cdp.Empty{})
		return err
	}))
}

func (tb *tab) lifecycle(state page.SetWebLifecycleStateState) {
	tb.t.Helper()
	tb.do(string(state), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
		return err
	}))
}

// offline takes the network away, or gives it back. told is whether the page
// hears of it.
func (tb *tab) offline(yes, told bool) {
	tb.t.Helper()
	tb.do("offline", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		c := &network.Conditions{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}
		_, err := cdp.Call(ctx, t, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{c},
		})
		if err != nil || !told {
			return err
		}
		_, err = cdp.Call(ctx, t, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1})
		return err
	}))
}

// back goes to the page before. It does not wait for one to load: a page that
// comes out of the browser's cache does not.
func (tb *tab) back() {
	tb.t.Helper()
	tb.do("back", chromedp.Evaluate[chromedp.Void]("history.back()"))
	tb.until("the page before", `location.pathname === "/page"`)
}

// byHand makes an expression something that a person did: no browser opens a
// window for less.
func byHand(p *runtime.EvaluateParams) {
	yes := true
	p.UserGesture = &yes
}
