package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/contestkit/contestkit/internal/browser"
)

// window is the window of one person in the chat.
type window struct {
	*browser.Tab
	name string
}

func newWindow(t *testing.T, name, url string) window {
	t.Helper()
	w := window{browser.NewTab(t, name), name}
	w.Open(url)
	return w
}

func (w window) join() {
	w.T.Helper()
	w.Fill("#name", w.name)
	w.Enter("#name")
	w.Until("where to write", `document.querySelector("#text").checkVisibility()`)
}

func (w window) write(text string) {
	w.T.Helper()
	w.Fill("#text", text)
	w.Enter("#text")
}

// choose opens the conversation with somebody.
func (w window) choose(name string) {
	w.T.Helper()
	w.Until("a conversation with "+name, fmt.Sprintf(`(() => {
		const b = [...document.querySelectorAll(".talk")].find((b) => b.querySelector(".name").textContent === %q);
		b?.click();
		return b !== undefined;
	})()`, name))
}

// reads waits until these are the lines of the conversation that is open.
func (w window) reads(texts ...string) {
	w.T.Helper()
	want, err := json.Marshal(texts)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Until(string(want), fmt.Sprintf(`JSON.stringify([...document.querySelectorAll("#lines .line .text")].map((e) => e.textContent)) === JSON.stringify(%s)`, want))
}

// TestTwoPages is a talk in a real browser, with the server killed in the
// middle and a page that is loaded anew.
func TestTwoPages(t *testing.T) {
	dir := t.TempDir()
	cmd, url := start(t, "127.0.0.1:0", dir)
	ada := newWindow(t, "Ada", url)
	ada.Until("that it is live", `document.querySelector("#state").textContent === "Live"`)
	ada.Screenshot("empty")
	ben := newWindow(t, "Ben", url)
	ada.join()
	ada.Until("a reader", `document.querySelector("#readers").textContent === "One more is reading."`)
	ben.join()
	ada.Until("that Ben is here", `document.querySelector("[data-user]:not([data-user='']) .here") !== null`)

	const xss = `<img src=x onerror=alert(1)>`
	ada.write("Good evening")
	ben.reads("Good evening")
	ben.write("Hello Ada. " + xss)
	ada.reads("Good evening", "Hello Ada. "+xss)
	ada.Until("that no message has become an element", `document.querySelector("#lines img") === null`)

	// A direct message waits, with its count, until it is opened.
	ada.choose("Ben")
	ada.Until("to whom it goes", `document.querySelector("#to").textContent === "To Ben, and nobody else"`)
	ada.write("Between us")
	ada.reads("Between us")
	ben.Until("that one is unread", `document.querySelector(".unread")?.firstChild.textContent === "1"`)
	ben.Screenshot("unread")
	ben.choose("Ada")
	ben.reads("Between us")
	ben.Until("that none is unread", `document.querySelector(".unread") === null`)
	ben.choose("Everyone")
	ada.choose("Everyone")

	// The server is killed: what is written waits, also through a page that is
	// loaded anew, and is said once.
	cmd.Process.Kill()
	cmd.Wait()
	ada.Until("that the connection is lost", `/Reconnecting/.test(document.querySelector("#state").textContent)`)
	ada.write("Is anybody there?")
	ada.Until("that it waits", `document.querySelector("#unsent .sending")?.textContent === "Is anybody there?sending…"`)
	ada.Screenshot("offline")
	ben.write("I am")
	ben.Until("that it waits", `document.querySelector("#unsent .sending")?.textContent === "I amsending…"`)
	ben.Open("about:blank")
	start(t, strings.TrimPrefix(url, "http://"), dir)
	all := []string{"Good evening", "Hello Ada. " + xss, "Is anybody there?"}
	ada.Eval(`document.querySelector("#retry").click()`) // which may be hidden: it tries by itself
	ada.reads(all...)
	ada.Until("that nothing waits", `document.querySelector("#unsent li") === null`)

	// Ben's next page in the same window has all of it, direct messages too.
	ben.Open(url)
	all = append(all, "I am")
	for _, w := range []window{ada, ben} {
		w.reads(all...)
	}
	ben.Until("that nothing waits", `document.querySelector("#unsent li") === null`)
	ben.choose("Ada")
	ben.reads("Between us")
	ben.Screenshot("direct")
	ada.Open("about:blank")
	ben.Until("that Ada is away", `document.querySelector(".talk .away") !== null && /away/.test(document.querySelector("#to").textContent)`)
}

// TestNotSent has a message that the server refuses: who it is for has been away
// for too long when it gets there. It stays, with the reason, until it is tried
// again or deleted.
func TestNotSent(t *testing.T) {
	dir := t.TempDir()
	cmd, url := start(t, "127.0.0.1:0", dir)
	ada, ben := newWindow(t, "Ada", url), newWindow(t, "Ben", url)
	ada.join()
	ben.join()
	ada.choose("Ben")
	ada.write("Are you there?")
	ada.reads("Are you there?")

	// Without a network it waits, and does not fail.
	ada.Offline(true, true)
	ada.Until("that the connection is lost", `document.querySelector("#state").textContent !== "Live"`)
	ada.write("Where are you?")
	ada.write("Never mind")
	ada.Until("that both wait", `document.querySelectorAll("#unsent .sending").length === 2`)

	// A server that was started anew has no inbox for Ben until he comes.
	ben.Open("about:blank")
	cmd.Process.Kill()
	cmd.Wait()
	start(t, strings.TrimPrefix(url, "http://"), dir)
	ada.Offline(false, true)
	const failed = `document.querySelectorAll("#unsent .failed").length`
	ada.Until("that both were refused", failed+` === 2`)
	ada.Want(`document.querySelector("#unsent .bad").textContent === "Not sent. Ben has been away for too long. Try again when Ben is here."`)
	ada.Screenshot("not-sent")

	// The page that is loaded anew has them too, and does not send them by itself.
	ada.Open(url)
	ada.choose("Ben")
	ada.Until("both, still not sent", failed+` === 2`)

	ada.Click("#unsent .failed:first-child button") // Try again
	ada.Until("that it is refused again", failed+` === 2`)
	ada.Click("#unsent .failed:last-child button:last-child") // Delete
	ada.Until("that it is gone", failed+` === 1`)
	ben.Open(url)
	ada.Until("that Ben is here", `document.querySelector("#to").textContent === "To Ben, and nobody else"`)
	ada.Click("#unsent .failed button")
	ada.reads("Are you there?", "Where are you?")
	ada.Until("that nothing waits", `document.querySelector("#unsent li") === null`)
	ben.choose("Ada")
	ben.Until("the message", `document.querySelector("#lines li:last-child .text").textContent === "Where are you?"`)
	ada.Screenshot("sent-again")
}
