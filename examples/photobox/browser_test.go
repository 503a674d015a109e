package main

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/contestkit/contestkit/internal/browser"
)

func TestMain(m *testing.M) { os.Exit(browser.Main{M: m}.Run()) }

// picture writes one that no other n has. It is large: noise does not compress.
func picture(t *testing.T, dir, name string, n uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(n, 0))
	hue := [3]uint32{r.Uint32N(200), r.Uint32N(200), r.Uint32N(200)}
	img := image.NewRGBA(image.Rect(0, 0, 400, 500))
	for y := range 500 {
		for x := range 400 {
			img.SetRGBA(x, y, color.RGBA{uint8(hue[0] + r.Uint32N(56)), uint8(hue[1] + r.Uint32N(56)), uint8(hue[2] + r.Uint32N(56)), 255})
		}
	}
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if filepath.Ext(name) == ".png" {
		err = png.Encode(f, img)
	} else {
		err = jpeg.Encode(f, img, &jpeg.Options{Quality: 95})
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func says(id, text string) string {
	return fmt.Sprintf(`document.querySelector(%q).textContent.includes(%q)`, id, text)
}

// TestTheBoxInTheBrowser sends photos in every way there is, and has the cloud
// switched off and on.
func TestTheBoxInTheBrowser(t *testing.T) {
	url, _ := start(t, filepath.Join(t.TempDir(), "photos"))
	files := t.TempDir()
	count := uint64(0)
	photo := func(name string) string {
		count++
		return picture(t, files, name, count)
	}
	ada := browser.NewTab(t, "Ada")
	ada.Open(url)
	ada.Eval(`(window.broken = [], addEventListener("error", ({ target }) => target.matches?.("#photos img") && broken.push(target.src), true))`)
	// shows waits until so many photos are there, and seen.
	shows := func(n int, places string) {
		t.Helper()
		ada.Until(fmt.Sprintf("%d photos", n), fmt.Sprintf(`(() => {
			const list = [...document.querySelectorAll("#photos li")];
			return list.length === %d && list.every((li) => li.querySelector("img").naturalWidth > 0 && /^(%s)$/.test(li.querySelector("p").textContent));
		})()`, n, places))
	}
	const here, there = "here", "here and in the cloud"
	ada.Until("that nothing waits", says("#cloud", "Everything is in the cloud."))
	ada.Screenshot("empty")

	ada.Choose("#choose", photo("koi.jpg"), photo("swallow.jpg"))
	shows(2, there)
	ada.Want(`document.querySelector("#empty").hidden`)
	dropped := photo("anchor.jpg")
	ada.DragOver("#drop", dropped)
	ada.Until("that it may be dropped", `document.querySelector("#drop").matches(".over")`)
	ada.Drop("#drop", dropped)
	shows(3, there)
	ada.Want(`!document.querySelector("#drop").matches(".over")`)
	ada.PastePNG(photo("clipboard.png"))
	shows(4, there)
	ada.Want(`document.querySelector("#camera").getAttribute("capture") === "environment"`) // the camera that looks away
	ada.Choose("#camera", photo("camera.jpg"))
	shows(5, there)

	// What is none is refused, with a reason.
	text := filepath.Join(files, "x.jpg")
	if err := os.WriteFile(text, []byte("This is no photo."), 0o644); err != nil {
		t.Fatal(err)
	}
	ada.Choose("#choose", text)
	ada.Until("a refusal", says("#sending .failed", "not a photo"))
	ada.Screenshot("refused")
	ada.Want(`document.querySelectorAll("#sending .failed button").length === 1`) // no use in trying again
	ada.Click("#sending .failed button")
	ada.Until("that it is gone", `document.querySelector("#sending li") === null`)

	// On a slow line one sees how far it is, and need not wait for it.
	ada.SlowUploads(500) // it would take minutes
	ada.Choose("#choose", photo("slow.jpg"), photo("slow too.jpg"))
	ada.Until("how much is sent", `/^slow.jpg: [1-9]\d? %$/.test(document.querySelector("#sending span").textContent) && document.querySelector("#sending progress").value > 0`)
	ada.Want(says("#sending li:last-child", "slow too.jpg: waiting"))
	ada.Screenshot("sending")
	ada.Click("#sending li:last-child button")
	ada.Click("#sending li:first-child button")
	ada.Until("that nothing is sent", `document.querySelector("#sending li") === null`)
	ada.SlowUploads(0)

	// Without a network it waits to be tried again.
	ada.Offline(true, false)
	ada.Choose("#choose", photo("rose.jpg"))
	ada.Until("that it was not sent", says("#sending .failed", "rose.jpg: The server does not answer."))
	ada.Until("that the page knows", says("#cloud", "The server does not answer."))
	ada.Screenshot("no-network")
	ada.Offline(false, false)
	ada.Click("#sending .failed button") // Try again
	shows(6, there)

	// Nothing here waits for a cloud that is off.
	ada.Click("#switch")
	ada.Until("that it is off", says("#switch", "Switch the cloud on"))
	ada.Choose("#choose", photo("off 1.jpg"), photo("off 2.jpg"))
	shows(8, here+"|"+there)
	ada.Until("that both wait", says("#cloud", "The cloud does not work. 2 photos wait for it; uploads do not."))
	ada.Screenshot("cloud-off")
	ada.Click("#photos li:first-child button") // Delete
	shows(7, here+"|"+there)
	ada.Until("what waits", says("#cloud", "1 photo and 1 deletion wait for it"))
	ada.Click("#switch")
	shows(7, there)
	ada.Until("that no photo waits", `/^(Everything|Every photo) is in the cloud/.test(document.querySelector("#cloud").textContent)`)
	ada.Screenshot("cloud-on")
	ada.Want(`broken.length === 0 && document.querySelector("#sending li") === null`)
}
