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

// table holds every measurement.
type table struct {
	peers   []peer
	writers []int
	rates   map[cell][]float64 // commits per second, by round
	cpu     map[cell][]float64 // microseconds of processor time per commit, by round
}

type cell struct {
	peer    string
	writers int
}

func (t *table) add(peer string, writers int, r rates) {
	if t.rates == nil {
		t.rates, t.cpu = map[cell][]float64{}, map[cell][]float64{}
	}
	c := cell{peer, writers}
	t.rates[c] = append(t.rates[c], r.commits)
	t.cpu[c] = append(t.cpu[c], r.cpu)
}

func (t *table) median(peer string, writers int) float64 { return median(t.rates[cell{peer, writers}]) }

// ratio is ours to theirs: the median of the ratios of each round, since two
// measurements of one round met the same noise.
func (t *table) ratio(peer string, writers int) float64 {
	var ratios []float64
	for i, mine := range t.rates[cell{nameOurs, writers}] {
		if theirs := t.rates[cell{peer, writers}]; i < len(theirs) && theirs[i] > 0 {
			ratios = append(ratios, mine/theirs[i])
		}
	}
	return median(ratios)
}

// rows are the cells of the table: for each number of writers the median, and
// how many times as many commits atomicstore makes.
func (t *table) rows() (head []string, rows [][]string) {
	head = []string{"commits/s"}
	for _, w := range t.writers {
		head = append(head, plural(w, "writer"), "ours ÷ it")
	}
	for _, p := range t.peers {
		row := []string{p.name}
		for _, w := range t.writers {
			ratio := "–"
			if r := t.ratio(p.name, w); r > 0 && p.name != nameOurs {
				ratio = fmt.Sprintf("%.2f", r)
			}
			row = append(row, thousands(t.median(p.name, w)), ratio)
		}
		rows = append(rows, row)
	}
	return head, rows
}

// cpuRows are the cells of the second table.
func (t *table) cpuRows() (head []string, rows [][]string) {
	head = []string{"CPU µs/commit"}
	for _, w := range t.writers {
		head = append(head, plural(w, "writer"))
	}
	for _, p := range t.peers {
		row := []string{p.name}
		for _, w := range t.writers {
			row = append(row, fmt.Sprintf("%.1f", median(t.cpu[cell{p.name, w}])))
		}
		rows = append(rows, row)
	}
	return head, rows
}

func (t *table) text() string {
	var b strings.Builder
	for _, make := range []func() ([]string, [][]string){t.rows, t.cpuRows} {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		head, rows := make()
		for _, row := range append([][]string{head}, rows...) {
			fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
		}
		w.Flush()
	}
	return b.String()
}

func (t *table) markdown() string {
	var b strings.Builder
	rounds := len(t.rates[cell{t.peers[0].name, t.writers[0]}])
	fmt.Fprintf(&b, `# Durable commits per second

Made by `+"`make bench-store`"+` on %s with %s, %s/%s, GOMAXPROCS %d. Medians of %s; a ratio is the
median of the ratios within each round. Every peer starts in an empty directory, stores events of %d bytes,
and each writer waits until its commit is on disk.

What the store promises of itself (state size, reading, opening, memory, allocations) is in [numbers.txt](numbers.txt).

![plot](commits.svg)

`, time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), plural(rounds, "round"), eventBytes)
	for _, make := range []func() ([]string, [][]string){t.rows, t.cpuRows} {
		head, rows := make()
		fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("--:|", len(head)-1))
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		b.WriteString("\n")
	}
	for _, p := range t.peers {
		fmt.Fprintf(&b, "- %s: %s.\n", p.name, p.what)
	}
	return b.String()
}

// write puts the table and the plot into a folder.
func (t *table) write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(t.markdown()), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "commits.svg"), []byte(t.svg()), 0o666)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// thousands writes 134567 as 134,567.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
