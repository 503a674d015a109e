package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/contestkit/contestkit/uploads/cloudinarytest"
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

// tab is one window of one person, with cookies of its own.
type tab struct {
	t    *testing.T
	who  string
	ctx  context.Context
	root string // the address of the server

	mu     sync.Mutex // guards faults
	faults []string   // scripts that threw, and dialogs that opened
}

const patience = 30 * time.Second // for one step; the longest wait between attempts is shorter

func newTab(t *testing.T, browser context.Context, who, root string) *tab {
	tb := &tab{t: t, who: who, root: root}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(ev any) {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		switch ev := ev.(type) {
		case *page.EventJavascriptDialogOpening:
			tb.faults = append(tb.faults, "dialog: "+ev.Message)
		case *runtime.EventExceptionThrown:
			tb.faults = append(tb.faults, "exception: "+ev.ExceptionDetails.Text)
		}
	}))
	t.Cleanup(cancel)
	tb.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return tb
}

func (tb *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		tb.t.Fatalf("%s: %s: %v\nthe page says:\n%s", tb.who, what, err, text)
	}
}

func (tb *tab) open(path string) {
	tb.t.Helper()
	tb.do("open "+path, chromedp.Navigate(tb.root+path), chromedp.WaitReady(chromedp.CSS("body")))
}

// until waits for a JavaScript expression to become true.
func (tb *tab) until(what, expression string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0))); err != nil {
		text, _ := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		tb.t.Fatalf("%s: never saw %s: %v\nthe page says:\n%s", tb.who, what, err, text)
	}
}

// captions returns the captions of the cards on the wall, from the top.
func (tb *tab) captions() []string {
	tb.t.Helper()
	list, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll("#wall > .card:not(.draft) .caption"), (c) => c.textContent)`))
	if err != nil {
		tb.t.Fatalf("%s: %v", tb.who, err)
	}
	return list
}

// enter sends an entry through the form.
func (tb *tab) enter(category, caption, photo string) {
	tb.t.Helper()
	tb.do("choose a photo",
		chromedp.Click(chromedp.CSS("#enter-open")),
		chromedp.WaitVisible(chromedp.CSS("#enter-form")),
		chromedp.SetUploadFiles(chromedp.CSS("#photo"), []string{photo}),
	)
	// A click goes to where its button was a moment ago.
	tb.until("the photo in a form that stands still", `document.querySelector("#photo-preview").naturalWidth > 0 &&
		document.querySelector("#enter").getAnimations({ subtree: true }).every((a) => a.playState !== "running")`)
	tb.do("choose a category",
		chromedp.Click(chromedp.CSS(fmt.Sprintf(`#category-choices label:has(input[value=%q])`, category))))
	tb.until("the category chosen", fmt.Sprintf(`document.querySelector('#category-choices input[value=%q]').checked`, category))
	tb.do("fill in the rest and send",
		chromedp.SetValue(chromedp.CSS("#caption"), caption),
		chromedp.SetValue(chromedp.CSS("#name"), "Ada Example"),
		chromedp.SetValue(chromedp.CSS("#phone"), "+49 170 5550100"),
		chromedp.Click(chromedp.CSS("#enter-send")),
	)
	tb.until("the own entry among the others", showsCard(caption))
}

func showsCard(caption string) string {
	return fmt.Sprintf(`Array.from(document.querySelectorAll("#wall > .card:not(.draft) .caption")).some((c) => c.textContent === %q)`, caption)
}

func saysConnection(text string) string {
	return fmt.Sprintf(`document.querySelector("#connection-text").textContent.startsWith(%q)`, text)
}

// screenshot keeps what a visitor sees, for go test -artifacts.
func (tb *tab) screenshot(name string) {
	tb.t.Helper()
	png, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(tb.t.ArtifactDir(), name+".png"), png, 0o644)
	}
	if err != nil {
		tb.t.Errorf("%s: %v", name, err)
	}
}

// TestAnEveningInTheBrowser is the contest as people live it, in a real
// browser, with the server killed in the middle.
func TestAnEveningInTheBrowser(t *testing.T) {
	chromium := browser(t)
	dir := t.TempDir()
	s := startProcess(t, dir, 0)
	root := strings.TrimSuffix(s.url("/"), "/")
	photos := t.TempDir()
	photo := func(n int) string {
		path := filepath.Join(photos, strconv.Itoa(n)+".jpg")
		if err := os.WriteFile(path, jpegPhoto(t, n), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}

	// A has the feed and the winners open. The mark is gone if a page reloads.
	anna := newTab(t, chromium, "A", root)
	anna.open("/")
	anna.until("that it is live", saysConnection("Live"))
	annaWinners := newTab(t, chromium, "A on the winners page", root)
	annaWinners.open("/winners.html")
	annaWinners.until("that it is live", saysConnection("Live"))
	for _, tb := range []*tab{anna, annaWinners} {
		tb.until("the mark", `(window.mark = "the same page") !== ""`)
	}

	ben := newTab(t, chromium, "B", root)
	ben.open("/")
	const xss = `<img src=x onerror=alert(1)>`
	want := []string{}
	for n, caption := range []string{"Koi across the shoulder", xss} {
		ben.enter("worst", caption, photo(n+1))
		want = slices.Insert(want, 0, caption)
		anna.until("the card of "+caption, showsCard(caption))
	}
	anna.until("that no caption has become an element", `document.querySelector("img[src=x]") === null`)
	anna.until("the photo itself", `document.querySelector("#wall .card img").complete && document.querySelector("#wall .card img").naturalWidth > 0`)
	anna.screenshot("feed")

	// The organiser picks the first entry.
	organiser := newTab(t, chromium, "the organiser", root)
	organiser.open("/admin")
	organiser.do("log in",
		chromedp.SendKeys(chromedp.CSS("#password"), testPassword),
		chromedp.Click(chromedp.CSS("#login-send")),
		chromedp.WaitVisible(chromedp.CSS("#rows .entry")),
	)
	organiser.until("the name of the entrant", `document.querySelector("#rows .person-name").textContent === "Ada Example"`)
	organiser.do("pick a winner", chromedp.Click(chromedp.CSS(`#rows .entry:last-child [data-place="1"]`)))
	organiser.until("that it is saved", `document.querySelector("#saved").textContent === "Saved"`)
	organiser.screenshot("admin")
	annaWinners.until("the winner", `Array.from(document.querySelectorAll(".winner .caption")).some((c) => c.textContent === "Koi across the shoulder")`)
	annaWinners.screenshot("winners")

	// The server is killed, and comes back.
	s.left(syscall.SIGKILL)
	anna.until("that the connection is lost", saysConnection("Reconnecting"))
	anna.screenshot("reconnecting")
	startProcess(t, dir, s.port)
	anna.until("that it is live again, by itself", saysConnection("Live"))

	ben.enter("worst", "After the fall", photo(3))
	want = slices.Insert(want, 0, "After the fall")
	anna.until("the entry after the restart", showsCard("After the fall"))

	if got := anna.captions(); !slices.Equal(got, want) {
		t.Errorf("A sees %q, want %q", got, want)
	}
	annaWinners.until("the winner still", `document.querySelectorAll(".winner").length === 1`)
	for _, tb := range []*tab{anna, annaWinners} {
		tb.until("that it was not reloaded", `window.mark === "the same page"`)
	}
	for _, tb := range []*tab{anna, annaWinners, ben, organiser} {
		tb.mu.Lock()
		for _, fault := range tb.faults {
			t.Errorf("%s: %s", tb.who, fault)
		}
		tb.mu.Unlock()
	}
}

// TestAPageDoesNotNoticeThatTheCloudIsGone sends a browser to a cloud that has the
// photos, and goes away.
func TestAPageDoesNotNoticeThatTheCloudIsGone(t *testing.T) {
	chrome := browser(t)
	cloud := cloudinarytest.New("demo", cloudKey, cloudSecret)
	there := httptest.NewServer(cloud)
	defer there.Close()
	t.Setenv("CLOUDINARY_URL", cloud.CloudinaryURL(there.URL))
	t.Setenv("PHOTOS_FROM_CLOUD", "true")
	s := startServer(t, t.TempDir(), 0)
	e := newEntry("one")
	e["category"] = "worst" // which the page shows first
	s.visitor().mustSubmit(e, jpegPhoto(t, 1))
	organiser := s.organiser()
	eventually(t, "the photo in the cloud", func() bool {
		for _, method := range organiser.staffPhotos() {
			return method == storageCloud
		}
		return false
	})

	const shown = `Array.from(document.querySelectorAll("#wall img"), (i) => i.complete && i.naturalWidth > 0).join() === "true"`
	before := newTab(t, chrome, "with the cloud", s.url(""))
	before.open("/")
	before.until("the photo", shown)
	if from, err := chromedp.Run(before.ctx, chromedp.Evaluate[string](`performance.getEntriesByType("resource").map((r) => r.name).join(" ")`)); err != nil || strings.Contains(from, "from=here") {
		t.Errorf("with the cloud the page loaded %s, %v", from, err)
	}
	there.CloseClientConnections()
	there.Close()
	after := newTab(t, chrome, "without the cloud", s.url(""))
	after.open("/")
	after.until("the photo", shown)
	if from, err := chromedp.Run(after.ctx, chromedp.Evaluate[string](`document.querySelector("#wall img").currentSrc`)); err != nil || !strings.HasSuffix(from, "?from=here") {
		t.Errorf("without the cloud the photo is from %s, %v", from, err)
	}
}
