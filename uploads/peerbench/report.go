package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

type table struct {
	title string
	rows  [][]string // the first is the head
}

func (b *bench) tables() (list []table) {
	for _, way := range ways {
		list = append(list, b.table("photos/s, one after the other, "+way.name, cell{way: way.name}, "%.1f", speed, true))
	}
	side := ways[1].name
	for _, way := range ways {
		list = append(list, b.table("processor time of a photo in ms, "+way.name, cell{way: way.name}, "%.1f", func(n numbers) float64 { return n.CPU }, true))
	}
	list = append(list, b.table("kB stored of a photo, upright", cell{way: ways[0].name}, "%.0f", func(n numbers) float64 { return n.Stored }, false))
	if b.crowds == 0 {
		return list
	}
	c := cell{way: side, crowd: true}
	return append(list,
		b.table(fmt.Sprintf("peak memory in MB, %d at once, %s", crowdAtOnce, side), c, "%.0f", func(n numbers) float64 { return n.Peak }, true),
		b.table("of that before the first photo", c, "%.0f", func(n numbers) float64 { return n.Before }, false),
		b.table(fmt.Sprintf("photos/s, %d at once, %s", crowdAtOnce, side), c, "%.1f", speed, true))
}

func speed(n numbers) float64 { return n.PerSecond }

// table has a row for each peer and a column for each size, and one for ours as a
// multiple of it.
func (b *bench) table(title string, c cell, format string, of func(numbers) float64, ratios bool) table {
	head := []string{title}
	for _, s := range b.sizes {
		head = append(head, s.name+" MP")
		if ratios {
			head = append(head, "ours ÷ it")
		}
	}
	t := table{title, [][]string{head}}
	for _, p := range peers {
		row := []string{p.name}
		c.peer = p.name
		for _, s := range b.sizes {
			c.size = s.name
			row = append(row, fmt.Sprintf(format, b.median(c, of)))
			switch {
			case ratios && p.name == nameOurs:
				row = append(row, "–")
			case ratios:
				row = append(row, fmt.Sprintf("%.2f", b.ratio(c, of)))
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (b *bench) text() string {
	var s strings.Builder
	for _, t := range b.tables() {
		w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, row := range t.rows {
			fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
		}
		w.Flush()
		s.WriteString("\n")
	}
	return s.String()
}

func (b *bench) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, `# Photos beside libvips

Made by `+"`make bench-uploads`"+` on %s in %s with %s, %s, %s/%s, GOMAXPROCS %d. One after the other:
medians of %s; a ratio is the median of the ratios within each round. %d at once: %s, %d photos each.
What is measured and how, and what to make of it, is in [the README](../README.md).

`, time.Now().UTC().Format(time.DateOnly), b.took.Round(time.Second), runtime.Version(), withVips(), runtime.GOOS, runtime.GOARCH,
		runtime.GOMAXPROCS(0), plural(b.rounds, "round"), crowdAtOnce, plural(b.crowds, "round"), crowdPhotos)
	if b.note != "" {
		fmt.Fprintf(&s, "**%s**\n\n", b.note)
	}
	for _, t := range b.tables() {
		for i, row := range t.rows {
			fmt.Fprintf(&s, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(&s, "|---|%s\n", strings.Repeat("--:|", len(row)-1))
			}
		}
		s.WriteString("\n")
	}
	for _, p := range peers {
		fmt.Fprintf(&s, "- %s: %s.\n", p.name, p.what)
	}
	return s.String()
}

// write puts the tables into a folder.
func (b *bench) write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(b.markdown()), 0o666)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
