package web_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/cmd/contestd/web"
	"github.com/contestkit/contestkit/contest"
)

const hostile = `</script><img src=x onerror=alert(1)>`

var contestTime = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)

func load(t *testing.T) *web.Pages {
	t.Helper()
	pages, err := web.Load(false)
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func render(t *testing.T, p *web.Pages, name string, data any) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Render(&b, name, data); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func publicView() contest.Snapshot {
	entry := contest.PublicEntry{
		ID: "aaaaaaaaaaaaaaaa", Number: 7, Category: "best", Caption: hostile, ImageURL: "/uploads/a.jpg",
		Width: 800, Height: 1000, Artist: "Anonymous Artist", CreatedAt: 1795543200000,
	}
	return contest.Snapshot{
		Categories:       []contest.PublicCategory{{ID: "best", Name: `Best <b>"Tattoo"</b>`}, {ID: "worst", Name: "Worst"}},
		Feed:             map[contest.CategoryID][]contest.PublicEntry{"best": {entry}, "worst": {}},
		Winners:          map[contest.CategoryID][]contest.PublicWinner{"best": {{ID: entry.ID, Caption: hostile, ImageURL: entry.ImageURL}}},
		WinnersAvailable: true,
	}
}

func staffView() contest.StaffView {
	return contest.StaffView{
		Categories: []contest.StaffCategory{{ID: "best", Name: "Best", Winners: 2}},
		Submissions: map[contest.CategoryID][]contest.StaffEntry{"best": {{
			ID: "aaaaaaaaaaaaaaaa", Number: 7, Category: "best", Caption: hostile, Name: hostile, Phone: "555", ImageURL: "/uploads/a.jpg",
		}}},
		Winners: map[contest.CategoryID][]contest.EntryID{"best": {}},
	}
}

// everyPage renders each page with hostile texts, and with nothing.
func everyPage(t *testing.T, p *web.Pages) map[string]string {
	none := contest.Snapshot{}
	return map[string]string{
		"feed":          render(t, p, "feed", web.FeedPage("6f1d02c3884e90ab", 412, publicView())),
		"feed empty":    render(t, p, "feed", web.FeedPage("6f1d02c3884e90ab", 0, none)),
		"winners":       render(t, p, "winners", web.WinnersPage("6f1d02c3884e90ab", 412, publicView())),
		"winners empty": render(t, p, "winners", web.WinnersPage("6f1d02c3884e90ab", 0, none)),
		"login":         render(t, p, "login", web.LoginPage()),
		"admin":         render(t, p, "admin", web.AdminPage("6f1d02c3884e90ab", 412, hostile, staffView())),
	}
}

func TestTextsOfVisitorsStayTexts(t *testing.T) {
	for name, page := range everyPage(t, load(t)) {
		if strings.Contains(page, "<img src=x") {
			t.Errorf("%s: the caption became a tag", name)
		}
	}
	feed := render(t, load(t), "feed", web.FeedPage("e", 1, publicView()))
	if want := `&lt;img src=x onerror=alert(1)&gt;</h2>`; !strings.Contains(feed, want) {
		t.Errorf("the feed does not show the caption as text, want %s", want)
	}
}

// The content policy of contestd would block anything inline.
func TestNothingIsInline(t *testing.T) {
	script := regexp.MustCompile(`(?i)<script\b[^>]*>`)
	inline := regexp.MustCompile(`(?i)<style|<[^>]*\s(style|on[a-z]+)\s*=|javascript:|https?://`)
	for name, page := range everyPage(t, load(t)) {
		for _, tag := range script.FindAllString(page, -1) {
			if !strings.Contains(tag, " src=") && !strings.Contains(tag, `type="application/json"`) {
				t.Errorf("%s: inline script %s", name, tag)
			}
		}
		// What people typed is not markup; it is looked at in the test above.
		page = strings.ReplaceAll(page, "&lt;img src=x onerror=alert(1)&gt;", "")
		if found := inline.FindString(page); found != "" {
			t.Errorf("%s: inline or foreign: %s", name, found)
		}
	}
}

func TestPagesCarryTheirPosition(t *testing.T) {
	pages := load(t)
	for name, page := range map[string]string{
		"feed":    render(t, pages, "feed", web.FeedPage("6f1d02c3884e90ab", 412, publicView())),
		"winners": render(t, pages, "winners", web.WinnersPage("6f1d02c3884e90ab", 412, publicView())),
		"admin":   render(t, pages, "admin", web.AdminPage("6f1d02c3884e90ab", 412, "admin", staffView())),
	} {
		if want := `{"epoch":"6f1d02c3884e90ab","seq":412,"view":{`; !strings.Contains(page, want) {
			t.Errorf("%s: no %s", name, want)
		}
	}
}

// The views that public pages are given hold no name and no phone; this keeps
// the pages' own code from adding some.
func TestPublicPagesShowNobodysNameOrPhone(t *testing.T) {
	state := contest.NewState()
	events, err := state.Submit(contest.Submit{
		Meta: contest.Meta{By: "visitor", At: contestTime, Request: "r1"}, ID: "aaaaaaaaaaaaaaaa", Category: "best", Fingerprint: "f",
		Caption: "Koi", Name: "Persephone Quill", Phone: "+49 555 0199", Photo: contest.Photo{ID: "p", URL: "/uploads/p", Width: 1, Height: 1, Storage: "local-primary"},
	})
	if err != nil {
		t.Fatal(err)
	}
	picked := contest.Event{WinnersPicked: &contest.WinnersPicked{
		Meta: contest.Meta{By: "admin", At: contestTime, Request: "r2"}, Winners: map[contest.CategoryID][]contest.EntryID{"best": {"aaaaaaaaaaaaaaaa"}},
	}}
	for _, event := range append(events, picked) {
		if err := contest.Apply(state, event); err != nil {
			t.Fatal(err)
		}
	}
	pages, view := load(t), contest.PublicSnapshot(state)
	for name, page := range map[string]string{
		"feed":    render(t, pages, "feed", web.FeedPage("e", 1, view)),
		"winners": render(t, pages, "winners", web.WinnersPage("e", 1, view)),
		"login":   render(t, pages, "login", web.LoginPage()),
	} {
		for _, secret := range []string{"Persephone", "Quill", "0199"} {
			if strings.Contains(page, secret) {
				t.Errorf("%s shows %q", name, secret)
			}
		}
		if name != "login" && !strings.Contains(page, "Koi") {
			t.Errorf("%s does not show the entry at all", name)
		}
	}
}

func get(t *testing.T, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

var asset = regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)

func TestEveryFileThatAPageNamesIsServedForEver(t *testing.T) {
	pages := load(t)
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	seen := map[string]bool{}
	for name, page := range everyPage(t, pages) {
		for _, found := range asset.FindAllStringSubmatch(page, -1) {
			path := found[1]
			if seen[path] {
				continue
			}
			seen[path] = true
			res := get(t, pages.Static(), path)
			ext := path[strings.LastIndexByte(path, '.'):]
			if got, want := res.Header.Get("Content-Type"), types[ext]; res.StatusCode != http.StatusOK || got != want {
				t.Errorf("%s names %s: got %d %q, want 200 %q", name, path, res.StatusCode, got, want)
			}
			if got := res.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
				t.Errorf("%s: Cache-Control %q", path, got)
			}
		}
	}
	if len(seen) < 10 {
		t.Fatalf("found only %d files", len(seen))
	}
}

// Modules are preloaded by name, so the lists in view.go must follow the
// imports: a missing one costs a round trip over a bad network.
func TestPagesPreloadWhatTheirScriptsImport(t *testing.T) {
	pages := load(t)
	imports := regexp.MustCompile(`(?m)^import .* from "\./([a-z-]+\.js)";`)
	for name, page := range everyPage(t, pages) {
		named := map[string]bool{}
		var queue []string
		for _, found := range asset.FindAllStringSubmatch(page, -1) {
			file := found[1][strings.LastIndexByte(found[1], '/')+1:]
			named[file] = true
			if strings.HasSuffix(file, ".js") {
				queue = append(queue, file)
			}
		}
		for _, file := range queue {
			body, _ := io.ReadAll(get(t, pages.Static(), "/static/"+file).Body)
			for _, found := range imports.FindAllStringSubmatch(string(body), -1) {
				if !named[found[1]] {
					t.Errorf("%s: %s imports %s, which the page does not preload", name, file, found[1])
				}
			}
		}
	}
}

func TestStaticFilesAreAskedForOnce(t *testing.T) {
	h := load(t).Static()
	for _, test := range []struct {
		path, encoding string
		status         int
		cache          string
	}{
		{"/static/style.css", "", 200, "no-cache"},
		{"/static/style.css", "br, gzip;q=0.8", 200, "no-cache"},
		{"/static/gone/style.css", "", 200, "no-cache"}, // a page from before a deploy
		{"/static/nothing.css", "", 404, ""},
		{"/static/", "", 404, ""},
		{"/static/../web.go", "", 404, ""},
		{"/static/a/b/style.css", "", 404, ""},
	} {
		res := get(t, h, test.path, "Accept-Encoding", test.encoding)
		if res.StatusCode != test.status || test.status == 200 && res.Header.Get("Cache-Control") != test.cache {
			t.Errorf("%s: got %d, Cache-Control %q", test.path, res.StatusCode, res.Header.Get("Cache-Control"))
			continue
		}
		if test.status != 200 {
			continue
		}
		if got, want := res.Header.Get("Content-Encoding") == "gzip", test.encoding != ""; got != want {
			t.Errorf("%s with Accept-Encoding %q: gzip %v", test.path, test.encoding, got)
		}
		again := get(t, h, test.path, "Accept-Encoding", test.encoding, "If-None-Match", res.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s asked for again: got %d, want 304", test.path, again.StatusCode)
		}
	}
}

func TestDevReadsTheCheckout(t *testing.T) {
	pages, err := web.Load(true)
	if err != nil {
		t.Fatal(err)
	}
	page := render(t, pages, "login", web.LoginPage())
	found := asset.FindStringSubmatch(page)
	if found == nil {
		t.Fatal("the page names no file")
	}
	if res := get(t, pages.Static(), found[1]); res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%s: got %d, Cache-Control %q", found[1], res.StatusCode, res.Header.Get("Cache-Control"))
	}
	t.Chdir(t.TempDir())
	if _, err := web.Load(true); err == nil {
		t.Error("there is no checkout here, and Load did not say so")
	}
}

func TestPhotosComeInTheWidthThatThePhoneNeeds(t *testing.T) {
	view := publicView()
	page := render(t, load(t), "feed", web.FeedPage("e", 1, view))
	if want := `srcset="/uploads/a.jpg?w=400 400w, /uploads/a.jpg 800w" src="/uploads/a.jpg"`; !strings.Contains(page, want) {
		t.Errorf("the page has no %s", want)
	}
	if want := `data-widths="400 800 1600"`; !strings.Contains(page, want) {
		t.Errorf("the scripts have no %s", want)
	}
	view.Feed["best"][0].ImageURL = "https://res.cloudinary.com/demo/a.jpg"
	page = render(t, load(t), "feed", web.FeedPage("e", 1, view))
	if strings.Contains(page, "srcset") || !strings.Contains(page, `src="https://res.cloudinary.com/demo/a.jpg"`) {
		t.Error("a photo of the image cloud must be named as it is")
	}
}

func TestAPageThatIsNotThere(t *testing.T) {
	if err := load(t).Render(io.Discard, "nothing", nil); err == nil {
		t.Error("got no error")
	}
}
