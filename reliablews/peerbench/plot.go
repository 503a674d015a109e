package main

import (
	"fmt"
	"math"
	"strings"
)

// panel is one group of bars in the plot.
type panel struct {
	measure string
	key     string
	title   string
	digits  int
}

var panels = []panel{
	{"saturated", "perCPU", "saturated, deliveries per CPU-second", 0},
	{"trigger", "perCPU", "one at a time, deliveries per CPU-second", 0},
	{"paced", "p99", "paced, p99 in ms (less is better)", 2},
	{"idle", "kib", "KiB per idle connection (less is better)", 1},
	{"resume", "seconds", "seconds to resume (less is better)", 3},
	{"acks", "perSecond", "acknowledged messages per second", 0},
}

// The colours stand on a background of the plot's own, one for each theme.
const plotStyle = `<style>
.bg{fill:#fff}text{fill:#1f2328}.head{font-weight:bold}.bar{fill:#9aa4b2}.ours{fill:#0969da}.limit{fill:#57606a}.line{stroke:#d0d7de}
@media(prefers-color-scheme:dark){.bg{fill:#0d1117}text{fill:#e6edf3}.bar{fill:#6e7681}.ours{fill:#4493f8}.limit{fill:#b1bac4}.line{stroke:#30363d}}
</style>
`

// svg plots the medians as bars, a panel for each measure and number of
// connections, two beside each other.
func (b *bench) svg() string {
	const columnWidth, name, barWidth, rowHeight = 480, 130, 230, 17
	type placed struct {
		title string
		rows  []string
	}
	var drawn []placed
	for _, p := range panels {
		for _, w := range b.work {
			if w.name != p.measure {
				continue
			}
			most := 0.0
			for _, peer := range b.peers {
				if v := b.median(cell{p.measure, w.conns, peer.name}, p.key); !math.IsNaN(v) {
					most = max(most, v)
				}
			}
			d := placed{title: fmt.Sprintf("%s: %s", plural(w.conns, "connection"), p.title)}
			for _, peer := range b.peers {
				v := b.median(cell{p.measure, w.conns, peer.name}, p.key)
				if math.IsNaN(v) || most == 0 {
					continue
				}
				class := "bar"
				switch peer.name {
				case nameOurs, nameDurable:
					class = "ours"
				case nameRaw:
					class = "limit"
				}
				d.rows = append(d.rows, fmt.Sprintf(`<text x="%d" y="%%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%%d" width="%.1f" height="11"/><text x="%.1f" y="%%d">%s</text>`,
					name-8, peer.name, class, name, v/most*barWidth, name+v/most*barWidth+6, number(v, p.digits)))
			}
			drawn = append(drawn, d)
		}
	}
	var body strings.Builder
	y := 54
	for i := 0; i < len(drawn); i += 2 {
		rows := 0
		for column, d := range drawn[i:min(i+2, len(drawn))] {
			fmt.Fprintf(&body, `<g transform="translate(%d,0)"><text class="head" x="12" y="%d">%s</text>`+"\n", column*columnWidth, y, d.title)
			for j, row := range d.rows {
				at := y + 22 + j*rowHeight
				fmt.Fprintf(&body, row+"\n", at, at-10, at)
			}
			body.WriteString("</g>\n")
			rows = max(rows, len(d.rows))
		}
		y += 22 + rows*rowHeight + 24
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n%s"+
		`<rect class="bg" width="100%%" height="100%%"/>`+"\n"+
		`<text x="12" y="24" font-size="15">Messages of %d bytes to many WebSocket connections, medians</text>`+"\n%s</svg>\n",
		2*columnWidth, y-12, plotStyle, messageBytes, body.String())
}
