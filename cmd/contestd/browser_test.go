package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/contestkit/contestkit/internal/browser"
	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

// window is one window of one person at the contest.
type window struct {
	*browser.Tab
	root string // the address of the server
}

func newWindow(t *testing.T, who, root, path string) window {
	t.Helper()
	w := window{browser.NewTab(t, who), root}
	w.Open(root + path)
	return w
}

// enter sends an entry through the form.
func (w window) enter(category, caption, photo string) {
	w.T.Helper()
	w.Click("#enter-open")
	w.Until("the form", `document.querySelector("#enter-form").checkVisibility()`)
	w.Choose("#photo", photo)
	w.Until("the photo", `document.querySelector("#photo-preview").naturalWidth > 0`)
	choice := fmt.Sprintf(`#category-choices label:has(input[value=%q])`, category)
	w.Click(choice)
	w.Until("the category chosen", fmt.Sprintf(`document.querySelector(%q).control.checked`, choice))
	w.Fill("#caption", caption)
	w.Fill("#name", "Ada Example")
	w.Fill("#phone", "+49 170 5550100")
	w.Click("#enter-send")
	w.Until("the own entry among the others", showsCard(caption))
}

func showsCard(caption string) string {
	return fmt.Sprintf(`Array.from(document.querySelectorAll("#wall > .card:not(.draft) .caption")).some((c) => c.textContent === %q)`, caption)
}

func saysConnection(text string) string {
	return fmt.Sprintf(`document.querySelector("#connection-text").textContent.startsWith(%q)`, text)
}

// TestAnEveningInTheBrowser is the contest as people live it, in a real
// browser, with the server killed in the middle.
func TestAnEveningInTheBrowser(t *testing.T) {
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
	anna := newWindow(t, "A", root, "/")
	anna.Until("that it is live", saysConnection("Live"))
	annaWinners := newWindow(t, "A on the winners page", root, "/winners.html")
	annaWinners.Until("that it is live", saysConnection("Live"))
	for _, w := range []window{anna, annaWinners} {
		w.Eval(`(window.mark = "the same page")`)
	}

	ben := newWindow(t, "B", root, "/")
	const xss = `<img src=x onerror=alert(1)>`
	want := []string{}
	for n, caption := range []string{"Koi across the shoulder", xss} {
		ben.enter("worst", caption, photo(n+1))
		want = slices.Insert(want, 0, caption)
		anna.Until("the card of "+caption, showsCard(caption))
	}
	anna.Until("that no caption has become an element", `document.querySelector("img[src=x]") === null`)
	anna.Until("the photo itself", `document.querySelector("#wall .card img").complete && document.querySelector("#wall .card img").naturalWidth > 0`)
	anna.Screenshot("feed")

	// The organiser picks the first entry.
	organiser := newWindow(t, "the organiser", root, "/admin")
	organiser.Fill("#password", testPassword)
	organiser.Click("#login-send")
	organiser.Until("the name of the entrant", `document.querySelector("#rows .person-name")?.textContent === "Ada Example"`)
	organiser.Click(`#rows .entry:last-child [data-place="1"]`)
	organiser.Until("that it is saved", `document.querySelector("#saved").textContent === "Saved"`)
	organiser.Screenshot("admin")
	annaWinners.Until("the winner", `Array.from(document.querySelectorAll(".winner .caption")).some((c) => c.textContent === "Koi across the shoulder")`)
	annaWinners.Screenshot("winners")

	// The server is killed, and comes back.
	s.left(syscall.SIGKILL)
	anna.Until("that the connection is lost", saysConnection("Reconnecting"))
	anna.Screenshot("reconnecting")
	startProcess(t, dir, s.port)
	anna.Until("that it is live again, by itself", saysConnection("Live"))

	ben.enter("worst", "After the fall", photo(3))
	want = slices.Insert(want, 0, "After the fall")
	anna.Until("the entry after the restart", showsCard("After the fall"))

	list, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	anna.Want(fmt.Sprintf(`JSON.stringify(Array.from(document.querySelectorAll("#wall > .card:not(.draft) .caption"), (c) => c.textContent)) === JSON.stringify(%s)`, list))
	annaWinners.Until("the winner still", `document.querySelectorAll(".winner").length === 1`)
	for _, w := range []window{anna, annaWinners} {
		w.Want(`window.mark === "the same page"`) // it was not loaded again
	}
}

// TestAPageDoesNotNoticeThatTheCloudIsGone sends a browser to a cloud that has the
// photos, and goes away.
func TestAPageDoesNotNoticeThatTheCloudIsGone(t *testing.T) {
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
	root := strings.TrimSuffix(s.url("/"), "/")
	before := newWindow(t, "with the cloud", root, "/")
	before.Until("the photo", shown)
	before.Want(`!performance.getEntriesByType("resource").some((r) => r.name.includes("from=here"))`)
	there.CloseClientConnections()
	there.Close()
	after := newWindow(t, "without the cloud", root, "/")
	after.Until("the photo", shown)
	after.Want(`document.querySelector("#wall img").currentSrc.endsWith("?from=here")`)
}
