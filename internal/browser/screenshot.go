package browser

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"
)

type size struct{ width, height int }

var (
	phone   = size{390, 844}
	desktop = size{1280, 900}
)

// Screenshot keeps what a visitor sees on a desktop and on a phone, for
// go test -artifacts. It leaves the page at the size of a desktop.
func (tb *Tab) Screenshot(name string) {
	tb.T.Helper()
	for _, each := range []struct {
		suffix string
		size
	}{{"-phone", phone}, {"-desktop", desktop}} {
		tb.do("resize", chromedp.EmulateViewport(int64(each.width), int64(each.height)))
		if err := tb.capture(name+each.suffix, Patience); err != nil {
			tb.T.Errorf("%s: %s: %v", tb.who, name, err)
		}
	}
}

func (tb *Tab) capture(name string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tb.T.ArtifactDir(), name+".png"), png, 0o644)
}
