package main

import (
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/internal/browser"
)

// TestThePageMissesNoTick has the server killed under the page, and the page
// loaded anew.
func TestThePageMissesNoTick(t *testing.T) {
	const every = 500 * time.Millisecond // the ticks held reach back five minutes, which no browser takes to come back
	cmd, url := start(t, "127.0.0.1:0", every)
	ada := browser.NewTab(t, "Ada")
	ada.Open(url)
	more := func() {
		t.Helper()
		ada.Eval(`(window.had = document.querySelector("#count").textContent)`)
		ada.Until("more ticks", `parseInt(document.querySelector("#count").textContent) > (parseInt(had) || 0) + 3`)
		// The first number of each line, newest first: none twice, none left out.
		ada.Want(`[...document.querySelectorAll("#ticks li")].map((li) => parseInt(li.textContent)).every((n, i, all) => i === 0 || n === all[i - 1] - 1)`)
	}
	const live = `document.querySelector("#state").textContent === "Live."`
	ada.Until("that it is live", live)
	more()
	ada.Screenshot("live")
	cmd.Process.Kill()
	cmd.Wait()
	ada.Until("that it is not connected", `/^Not connected .* Trying again in \d+ s.$/.test(document.querySelector("#state").textContent)`)
	ada.Screenshot("not-connected")
	start(t, strings.TrimPrefix(url, "http://"), every)
	ada.Eval(`document.querySelector("#retry").click()`)
	ada.Until("that it is live again", live)
	more()
	ada.Want(`document.querySelector(".gap") === null`)
	ada.Screenshot("caught-up")
	ada.Open(url)
	ada.Until("that it is live", live)
	more()
}
