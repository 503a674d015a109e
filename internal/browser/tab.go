package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// Tab is a page and the person in front of it. A script that throws in it, or a
// dialog that opens, fails the test at its end.
type Tab struct {
	T *testing.T // that opened it

	// Tells is an expression for what a failure says about the page. The
	// default is the text that one reads there.
	Tells string

	who string
	ctx context.Context

	mu     sync.Mutex // guards faults
	faults []string
}

// NewTab opens a window of somebody with cookies and storage of their own. It
// starts the browser if there is none, and skips the test where none is installed.
func NewTab(t *testing.T, who string) *Tab {
	t.Helper()
	return newTab(t, who, chromium.start(t), chromedp.WithNewBrowserContext())
}

// NewTab opens another tab in the same window, which hides this one.
func (tb *Tab) NewTab() *Tab {
	tb.T.Helper()
	b := newTab(tb.T, tb.who, tb.ctx, chromedp.WithNewWindow(false))
	b.Front()
	return b
}

// NewWindow opens another window of the same person.
func (tb *Tab) NewWindow() *Tab {
	tb.T.Helper()
	return newTab(tb.T, tb.who, tb.ctx, chromedp.WithNewWindow(true))
}

// Duplicate opens the page in another window, with a copy of its
// sessionStorage, as a browser does that duplicates a tab.
func (tb *Tab) Duplicate() *Tab {
	tb.T.Helper()
	opened := chromedp.WaitNewTarget(tb.ctx, func(*target.Info) bool { return true })
	tb.Eval(`window.open(location.href)`)
	select {
	case id := <-opened:
		return newTab(tb.T, tb.who, tb.ctx, chromedp.WithTargetID(id))
	case <-time.After(Patience):
		tb.fail("no window opens")
		return nil
	}
}

func newTab(t *testing.T, who string, parent context.Context, options ...chromedp.ContextOption) *Tab {
	t.Helper()
	tb := &Tab{Tells: "document.body.innerText", T: t, who: who}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(tb.listen))...)
	t.Cleanup(func() {
		tb.mu.Lock()
		for _, fault := range tb.faults {
			t.Errorf("%s: %s", who, fault)
		}
		tb.mu.Unlock()
		cancel()
	})
	tb.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // without a deadline, which would end the tab
		t.Fatalf("%s: open a tab: %v", who, err)
	}
	return tb
}

func (tb *Tab) listen(event any) {
	fault := ""
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		fault = "dialog: " + e.Message
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			fault += " " + x.Description
		}
	default:
		return
	}
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.faults = append(tb.faults, fault)
}

// Open loads a page.
func (tb *Tab) Open(url string) {
	tb.T.Helper()
	tb.do("open "+url, chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("body")))
}

// Back goes to the page before, and waits for its path. It does not wait for one
// to load: a page that comes out of the browser's cache does not.
func (tb *Tab) Back(path string) {
	tb.T.Helper()
	tb.Eval("history.back()")
	tb.Until("the page before", fmt.Sprintf("location.pathname === %s", quote(path)))
}

// Until waits for a JavaScript expression to become true. It asks again and
// again from here: a page that is hidden or frozen has no timers that would.
func (tb *Tab) Until(what, expression string) {
	tb.T.Helper()
	tb.try("see "+what, fmt.Sprintf(`(%s) ? "" : "not yet"`, expression))
}

// Want fails the test if a JavaScript expression is not true now.
func (tb *Tab) Want(expression string) {
	tb.T.Helper()
	if is := tb.Eval(fmt.Sprintf("String(!!(%s))", expression)); is != "true" {
		tb.T.Errorf("%s: it is not true that %s; the page tells:\n%s", tb.who, expression, tb.tells())
	}
}

// Eval evaluates a JavaScript expression, as something that the person did:
// browsers open no window for less. It returns the value as a string if it is
// one, and "" if not.
func (tb *Tab) Eval(expression string) string {
	tb.T.Helper()
	value, err := tb.eval(expression)
	if err != nil {
		tb.fail("%s: %v", expression, err)
	}
	return value
}

func (tb *Tab) eval(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(tb.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`((v) => typeof v === "string" ? v : "")(%s)`, expression), byHand))
}

func byHand(p *runtime.EvaluateParams) {
	yes := true
	p.UserGesture = &yes
}

// try evaluates an expression until it is "". What it is before says why not.
func (tb *Tab) try(what, expression string) {
	tb.T.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.Now().Add(Patience)
	for {
		ctx, cancel := context.WithDeadline(tb.ctx, end)
		not, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, byHand))
		cancel()
		if err == nil && not == "" {
			return
		}
		if time.Now().After(end) {
			tb.fail("could not %s: %s, %v", what, not, err)
		}
		<-again.C // an error may be that of a page that is just being left
	}
}

// do does steps that wait by themselves.
func (tb *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	tb.T.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.fail("could not %s: %v", what, err)
	}
}

// fail ends the test, with what the page says and a picture of it.
func (tb *Tab) fail(format string, args ...any) {
	tb.T.Helper()
	tb.capture("failed-"+tb.who, 10*time.Second) // it may be frozen
	tb.T.Fatalf("%s: %s\nthe page tells:\n%s", tb.who, fmt.Sprintf(format, args...), tb.tells())
}

func (tb *Tab) tells() string {
	ctx, cancel := context.WithTimeout(tb.ctx, 10*time.Second) // it may be frozen
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](tb.Tells))
	if err != nil {
		return fmt.Sprintf("nothing (%v)", err)
	}
	return text
}

// call is a step that is one command of the browser's.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// quote returns a string as JavaScript writes it.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // there is no such string
	}
	return string(b)
}
