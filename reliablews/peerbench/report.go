package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// median returns the median of a number over the rounds, NaN where there is none.
func (b *bench) median(c cell, key string) float64 {
	var list []float64
	for _, n := range b.results[c] {
		if v, ok := n[key]; ok {
			list = append(list, v)
		}
	}
	return median(list)
}

// ratio is the median of the ratios of each round, since two measurements of one
// round met the same noise.
func (b *bench) ratio(one, other cell, key string) float64 {
	var list []float64
	for i, n := range b.results[one] {
		if i >= len(b.results[other]) {
			break
		}
		v, ok := n[key]
		if w := b.results[other][i][key]; ok && w > 0 {
			list = append(list, v/w)
		}
	}
	return median(list)
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// table returns the rows of a metric: for each number of connections the median
// and what ours is to it. Peers that have no such number are left out.
func (b *bench) table(m metric) (head []string, rows [][]string) {
	head = []string{m.title}
	var counts []int
	for _, w := range b.work {
		if w.name == m.measure {
			counts = append(counts, w.conns)
			head = append(head, plural(w.conns, "connection"), "ours ÷ it")
		}
	}
	for _, p := range b.peers {
		row, any := []string{p.name}, false
		for _, conns := range counts {
			c := cell{m.measure, conns, p.name}
			v, ratio := b.median(c, m.key), math.NaN()
			any = any || len(b.results[c]) > 0
			if p.name != nameOurs {
				ratio = b.ratio(cell{m.measure, conns, nameOurs}, c, m.key)
			}
			row = append(row, number(v, m.digits), number(ratio, 2))
		}
		if any {
			rows = append(rows, row)
		}
	}
	return head, rows
}

func (b *bench) targetTable() (head []string, rows [][]string) {
	for _, t := range targets() {
		if slices.ContainsFunc(b.work, func(w work) bool { return w.name == t.measure && w.conns == t.conns }) {
			rows = append(rows, b.row(t))
		}
	}
	return []string{"target", "wanted", "measured", ""}, rows
}

// sideTable is what helps to judge the rest.
func (b *bench) sideTable() (head []string, rows [][]string) {
	head = []string{"saturated"}
	for _, w := range b.work {
		if w.name == "saturated" {
			head = append(head, "bytes a message, "+thousands(float64(w.conns)), "client's CPU ÷ server's")
		}
	}
	for _, p := range b.peers {
		row := []string{p.name}
		for _, w := range b.work {
			if c := (cell{w.name, w.conns, p.name}); w.name == "saturated" && len(b.results[c]) > 0 {
				row = append(row, number(b.median(c, "bytes"), 0), number(b.median(c, "clientShare"), 2))
			}
		}
		if len(row) > 1 {
			rows = append(rows, row)
		}
	}
	return head, rows
}

func (b *bench) text() string {
	var s strings.Builder
	add := func(head []string, rows [][]string) {
		if len(rows) == 0 {
			return
		}
		w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, row := range append([][]string{head}, rows...) {
			fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
		}
		w.Flush()
		s.WriteString("\n")
	}
	for _, m := range metrics {
		add(b.table(m))
	}
	add(b.targetTable())
	for _, n := range b.notes {
		fmt.Fprintln(&s, n)
	}
	return s.String()
}

func (b *bench) markdown() string {
	var s strings.Builder
	s.WriteString("# Messages to many WebSocket connections\n\n")
	if b.note != "" {
		fmt.Fprintf(&s, "**%s**\n\n", b.note)
	}
	fmt.Fprintf(&s, `Made by `+"`make bench-ws`"+` on %s with %s, %s/%s, %d cores for servers and client together, in %s.
Medians of %s; a ratio is the median of the ratios within each round. Messages are of %d bytes. Every
measurement has a server process and a client process of its own, and counts only if every connection got every
message once. [How it is measured](../README.md).

![plot](peers.svg)

`, time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		b.took.Round(time.Second), plural(b.rounds, "round"), messageBytes)
	add := func(what string, head []string, rows [][]string) {
		if len(rows) == 0 {
			return
		}
		if what != "" {
			fmt.Fprintf(&s, "%s\n\n", what)
		}
		fmt.Fprintf(&s, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("--:|", len(head)-1))
		for _, row := range rows {
			fmt.Fprintf(&s, "| %s |\n", strings.Join(row, " | "))
		}
		s.WriteString("\n")
	}
	s.WriteString("## Targets\n\n")
	head, rows := b.targetTable()
	add("", head, rows)
	s.WriteString("## All numbers\n\n")
	for _, m := range metrics {
		head, rows := b.table(m)
		add(m.what, head, rows)
	}
	head, rows = b.sideTable()
	add("How many bytes a message is on the wire, and what the client cost beside the server:", head, rows)
	if len(b.notes) > 0 {
		s.WriteString("## What went wrong\n\n")
		for _, n := range b.notes {
			fmt.Fprintf(&s, "- %s\n", n)
		}
		s.WriteString("\n")
	}
	s.WriteString("## The peers\n\n")
	for _, p := range b.peers {
		fmt.Fprintf(&s, "- %s: %s.\n", p.name, p.what)
	}
	return s.String()
}

// write puts the tables and the plot into a folder.
func (b *bench) write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(b.markdown()), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "peers.svg"), []byte(b.svg()), 0o666)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(float64(n)) + " " + thing + "s"
}

// number writes a value with so many digits behind the point, "–" for none.
func number(v float64, digits int) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case digits == 0:
		return thousands(v)
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// thousands writes 134567 as 134,567.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
