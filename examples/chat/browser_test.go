package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	pagedomain "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser starts Chromium, or skips the test where there is none; CI must have
// one.
func browser(t *testing.T) context.Context {
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
		chromedp.WindowSize(1280, 900),
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

// tab is the window of one person.
type tab struct {
	t   *testing.T
	who string
	ctx context.Context

	mu     sync.Mutex // guards faults
	faults []string   // scripts that threw, and dialogs that opened
}

// newTab opens the chat in a window with a storage of its own.
func newTab(t *testing.T, browser context.Context, who, url string) *tab {
	t.Helper()
	tb := &tab{t: t, who: who}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(ev any) {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		switch ev := ev.(type) {
		case *pagedomain.EventJavascriptDialogOpening:
			tb.faults = append(tb.faults, "dialog: "+ev.Message)
		case *runtime.EventExceptionThrown:
			tb.faults = append(tb.faults, fmt.Sprint("exception: ", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception))
		}
	}))
	t.Cleanup(cancel)
	tb.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	tb.do("open the chat", chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("#lines")))
	return tb
}

func (tb *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatalf("%s: %s: %v\nthe page says:\n%s", tb.who, what, err, tb.text())
	}
}

// until waits for a JavaScript expression to become true.
func (tb *tab) until(what, expression string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0))); err != nil {
		tb.t.Fatalf("%s: never saw %s: %v\nthe page says:\n%s", tb.who, what, err, tb.text())
	}
}

func (tb *tab) text() string {
	text, _ := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

func (tb *tab) join() {
	tb.t.Helper()
	tb.do("choose a name",
		chromedp.WaitVisible(chromedp.CSS("#name")),
		chromedp.SendKeys(chromedp.CSS("#name"), tb.who+"\r"),
		chromedp.WaitVisible(chromedp.CSS("#text")))
}

func (tb *tab) write(text string) {
	tb.t.Helper()
	tb.do("write",
		chromedp.SendKeys(chromedp.CSS("#text"), text),
		chromedp.Func(enter))
}

// enter presses that key alone: chromedp's "\r" comes with a line break that no
// page can prevent.
func enter(ctx context.Context, target *chromedp.Target) error {
	_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13,
	})
	return err
}

// choose opens the conversation with somebody.
func (tb *tab) choose(name string) {
	tb.t.Helper()
	tb.until("a conversation with "+name, fmt.Sprintf(`(() => {
		const b = [...document.querySelectorAll(".talk")].find((b) => b.querySelector(".name").textContent === %q);
		b?.click();
		return b !== undefined;
	})()`, name))
}

// reads waits until these are the lines of the conversation that is open.
func (tb *tab) reads(texts ...string) {
	tb.t.Helper()
	want, err := json.Marshal(texts)
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.until(string(want), fmt.Sprintf(`JSON.stringify([...document.querySelectorAll("#lines .line .text")].map((e) => e.textContent)) === JSON.stringify(%s)`, want))
}

// screenshot keeps what a visitor sees on a large and on a small screen, for
// go test -artifacts.
func (tb *tab) screenshot(name string) {
	tb.t.Helper()
	for _, width := range []int64{390, 1280} {
		tb.do("resize", chromedp.EmulateViewport(width, map[int64]int64{390: 844, 1280: 860}[width]))
		png, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.WriteFile(filepath.Join(tb.t.ArtifactDir(), fmt.Sprintf("%s-%d.png", name, width)), png, 0o644)
		}
		if err != nil {
			tb.t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTwoPages is a talk in a real browser, with the server killed in the
// middle and a page that is loaded anew.
func TestTwoPages(t *testing.T) {
	chromium := browser(t)
	dir := t.TempDir()
	cmd, url := start(t, "127.0.0.1:0", dir)
	ada := newTab(t, chromium, "Ada", url)
	ada.until("that it is live", `document.querySelector("#state").textContent === "Live"`)
	ada.screenshot("empty")
	ben := newTab(t, chromium, "Ben", url)
	ada.join()
	ada.until("a reader", `document.querySelector("#readers").textContent === "One more is reading."`)
	ben.join()
	ada.until("that Ben is here", `document.querySelector("[data-user]:not([data-user='']) .here") !== null`)

	const xss = `<img src=x onerror=alert(1)>`
	ada.write("Good evening")
	ben.reads("Good evening")
	ben.write("Hello Ada. " + xss)
	ada.reads("Good evening", "Hello Ada. "+xss)
	ada.until("that no message has become an element", `document.querySelector("#lines img") === null`)

	// A direct message waits, with its count, until it is opened.
	ada.choose("Ben")
	ada.until("to whom it goes", `document.querySelector("#to").textContent === "To Ben, and nobody else"`)
	ada.write("Between us")
	ada.reads("Between us")
	ben.until("that one is unread", `document.querySelector(".unread")?.firstChild.textContent === "1"`)
	ben.screenshot("unread")
	ben.choose("Ada")
	ben.reads("Between us")
	ben.until("that none is unread", `document.querySelector(".unread") === null`)
	ben.choose("Everyone")
	ada.choose("Everyone")

	// The server is killed: what is written waits, also through a page that is
	// loaded anew, and is said once.
	cmd.Process.Kill()
	cmd.Wait()
	ada.until("that the connection is lost", `/Reconnecting/.test(document.querySelector("#state").textContent)`)
	ada.write("Is anybody there?")
	ada.until("that it waits", `document.querySelector("#unsent .sending")?.textContent === "Is anybody there?sending…"`)
	ada.screenshot("offline")
	ben.write("I am")
	ben.until("that it waits", `document.querySelector("#unsent .sending")?.textContent === "I amsending…"`)
	ben.do("leave the page", chromedp.Navigate("about:blank"))
	start(t, strings.TrimPrefix(url, "http://"), dir)
	all := []string{"Good evening", "Hello Ada. " + xss, "Is anybody there?"}
	ada.do("look again", chromedp.Evaluate[chromedp.Void](`document.querySelector("#retry").click()`))
	ada.reads(all...)
	ada.until("that nothing waits", `document.querySelector("#unsent li") === null`)

	// Ben's next page in the same window has all of it, direct messages too.
	ben.do("come back", chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("#text")))
	all = append(all, "I am")
	for _, tb := range []*tab{ada, ben} {
		tb.reads(all...)
	}
	ben.until("that nothing waits", `document.querySelector("#unsent li") === null`)
	ben.choose("Ada")
	ben.reads("Between us")
	ben.screenshot("direct")
	ada.do("leave", chromedp.Navigate("about:blank"))
	ben.until("that Ada is away", `document.querySelector(".talk .away") !== null && /away/.test(document.querySelector("#to").textContent)`)

	for _, tb := range []*tab{ada, ben} {
		tb.mu.Lock()
		for _, fault := range tb.faults {
			t.Errorf("%s: %s", tb.who, fault)
		}
		tb.mu.Unlock()
	}
}
