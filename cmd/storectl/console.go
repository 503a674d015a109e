package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// console is where a command reads and writes, and what is at the other end.
type console struct {
	in       io.Reader
	out, err io.Writer

	asks  bool // a person is at in and err, who can be asked
	width int  // columns of the terminal at out; 0 when there is none
	color bool // of out
	bars  bool // err is a terminal that shows progress bars
}

func newConsole(in, out, err *os.File) *console {
	c := &console{in: in, out: out, err: err}
	c.asks = isTerminal(in) && isTerminal(err)
	if isTerminal(out) {
		c.width = 80
		if width, _, err := term.GetSize(int(out.Fd())); err == nil && width > 0 {
			c.width = width
		}
		c.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" // https://no-color.org
	}
	c.bars = isTerminal(err) && os.Getenv("TERM") != "dumb"
	return c
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// The colours that there are, as SGR parameters (ECMA-48 §8.3.117).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// paint colours text for a terminal.
func (c *console) paint(color, text string) string {
	if !c.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// printable escapes what a terminal would obey: text in a store comes from
// strangers.
func printable(text string) string {
	if strings.IndexFunc(text, obeyed) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if obeyed(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func obeyed(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

// cut shortens a line to what a terminal shows in one.
func (c *console) cut(line string, used int) string {
	room := c.width - used
	if runes := []rune(line); c.width > 0 && len(runes) > max(room, 10) {
		return string(runes[:max(room, 10)-1]) + "…"
	}
	return line
}

const tellEvery = 100 * time.Millisecond // a bar that moves more often only costs time

// bar is a progress bar for long work.
type bar struct{ *progressbar.ProgressBar }

// bar begins a progress bar on stderr, if that is a terminal.
func (c *console) bar(what string, bytes bool) bar {
	if !c.bars {
		return bar{}
	}
	return bar{progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(c.err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionUseIECUnits(true), // as size does
		progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(tellEvery),
		progressbar.OptionClearOnFinish(),
	)}
}

// set says how far the work is.
func (b bar) set(done, total int64) {
	if b.ProgressBar == nil || total <= 0 || done >= total {
		return // at the end it is cleared by clear, not by what is left of it
	}
	b.ChangeMax64(total)
	b.Set64(done)
}

// clear takes the bar away before anything else is printed.
func (b bar) clear() {
	if b.ProgressBar != nil {
		b.Clear()
		b.Exit()
	}
}
