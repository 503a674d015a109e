package browser

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"os"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// reach is what a person needs before they can do something to an element: it
// is there, seen, enabled and not covered. Asking for that and doing it are one
// piece of JavaScript, so that nothing moves between the two.
const reach = `((selector, act) => {
	const e = document.querySelector(selector);
	if (!e) return "there is none";
	e.scrollIntoViewIfNeeded();
	const r = e.getBoundingClientRect();
	if (r.width === 0 || r.height === 0) return "it is hidden";
	const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
	if (!top || !e.contains(top)) return "it is covered by " + (top?.cloneNode(false).outerHTML ?? "nothing");
	if (e.matches(":disabled")) return "it is disabled";
	return act(e, r);
})(%s, %s)`

// Click clicks on an element, once one can.
func (tb *Tab) Click(selector string) {
	tb.T.Helper()
	tb.try("click on "+selector, fmt.Sprintf(reach, quote(selector), `(e) => { e.click(); return ""; }`))
}

// Fill writes a text into a field, in place of what is there.
func (tb *Tab) Fill(selector, text string) {
	tb.T.Helper()
	tb.try("write into "+selector, fmt.Sprintf(reach, quote(selector), fmt.Sprintf(`(e) => {
		e.focus();
		e.select();
		document.execCommand("insertText", false, %[1]s); // the page hears of it as of typing
		return e.value === %[1]s ? "" : "it says " + e.value;
	}`, quote(text))))
}

// Enter presses that key in a field.
func (tb *Tab) Enter(selector string) {
	tb.T.Helper()
	tb.focus(selector)
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		key := input.DispatchKeyEventParams{Type: kind, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13}
		if kind == input.DispatchKeyEventTypeKeyDown {
			key.Text = "\r" // or it sends no form; a page that handles the key gets no line break
		}
		tb.do("press Enter", call(input.DispatchKeyEvent, key))
	}
}

func (tb *Tab) focus(selector string) {
	tb.T.Helper()
	tb.try("put the cursor into "+selector, fmt.Sprintf(reach, quote(selector), `(e) => { e.focus(); return e === document.activeElement ? "" : "it takes none"; }`))
}

// Choose chooses files in a file input.
func (tb *Tab) Choose(selector string, files ...string) {
	tb.T.Helper()
	tb.do("choose files", chromedp.SetUploadFiles(chromedp.CSS(selector), files))
}

// DragOver holds files over an element, and Drop lets go of them there.
func (tb *Tab) DragOver(selector string, files ...string) {
	tb.T.Helper()
	tb.drag(selector, files, input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver)
}

// Drop drops files on an element.
func (tb *Tab) Drop(selector string, files ...string) {
	tb.T.Helper()
	tb.drag(selector, files, input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop)
}

func (tb *Tab) drag(selector string, files []string, kinds ...input.DispatchDragEventType) {
	tb.T.Helper()
	tb.try("reach "+selector, fmt.Sprintf(reach, quote(selector), `(e, r) => { window.dropAt = r.x + r.width / 2 + " " + (r.y + r.height / 2); return ""; }`))
	var x, y float64
	if _, err := fmt.Sscan(tb.Eval(`window.dropAt`), &x, &y); err != nil {
		tb.fail("%v", err)
	}
	for _, kind := range kinds {
		tb.do("drag", call(input.DispatchDragEvent, input.DispatchDragEventParams{
			Type: kind, X: math.Round(x), Y: math.Round(y),
			Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1},
		}))
	}
}

// PastePNG puts a picture into the clipboard, and pastes it into the page.
func (tb *Tab) PastePNG(file string) {
	tb.T.Helper()
	png, err := os.ReadFile(file)
	if err != nil {
		tb.T.Fatal(err)
	}
	tb.do("copy a picture", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		c := chromedp.FromContext(ctx)
		_, err := cdp.Call(ctx, c.Browser, browser.SetPermission, browser.SetPermissionParams{
			Permission:       &browser.PermissionDescriptor{Name: "clipboard-write"},
			Setting:          browser.PermissionSettingGranted,
			BrowserContextID: c.BrowserContextID,
		})
		return err
	}), chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`navigator.clipboard.write([new ClipboardItem({
		"image/png": new Blob([Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))], { type: "image/png" }),
	})])`, base64.StdEncoding.EncodeToString(png)), byHand, func(p *runtime.EvaluateParams) {
		yes := true
		p.AwaitPromise = &yes
	}))
	tb.do("paste it", call(input.DispatchKeyEvent, input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeRawKeyDown, Key: "v", Code: "KeyV", WindowsVirtualKeyCode: 'V', Modifiers: 2, Commands: []string{"paste"},
	}))
}
