package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// svg plots the medians: writers to the right, commits per second upwards,
// both by powers.
func (t *table) svg() string {
	const width, height, left, top, right, bottom = 760, 460, 80, 40, 170, 50
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="15">Durable commits per second, events of %d bytes</text>`+"\n", left, eventBytes)

	low, high := math.Inf(1), 0.0
	for _, p := range t.peers {
		for _, w := range t.writers {
			if v := t.median(p.name, w); v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	bottomPower, topPower := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	y := func(v float64) float64 {
		return top + (topPower-math.Log10(v))/max(1, topPower-bottomPower)*(height-top-bottom)
	}
	x := func(i int) float64 {
		return left + float64(i)/float64(max(1, len(t.writers)-1))*(width-left-right)
	}
	for power := bottomPower; power <= topPower; power++ {
		v := math.Pow(10, power)
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, width-right, y(v), y(v), left-8, y(v)+4, thousands(v))
	}
	for i, w := range t.writers {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(i), height-bottom+20, plural(w, "writer"))
	}

	// Names stand at the ends of their lines, moved apart where they would meet.
	type label struct {
		name, color string
		at          float64
	}
	var labels []label
	for i, p := range t.peers {
		color := fmt.Sprintf("hsl(%d,65%%,42%%)", i*360/len(t.peers))
		thick := 1.5
		if p.name == nameOurs {
			thick = 3
		}
		var points []string
		for j, w := range t.writers {
			if v := t.median(p.name, w); v > 0 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(j), y(v)))
			}
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="%g"/>`+"\n", strings.Join(points, " "), color, thick)
		labels = append(labels, label{p.name, color, y(max(low, t.median(p.name, t.writers[len(t.writers)-1])))})
	}
	slices.SortFunc(labels, func(a, b label) int { return cmp.Compare(a.at, b.at) })
	for range labels {
		for i := 1; i < len(labels); i++ {
			if apart := labels[i].at - labels[i-1].at; apart < 14 {
				labels[i-1].at -= (14 - apart) / 2
				labels[i].at += (14 - apart) / 2
			}
		}
	}
	for _, l := range labels {
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" fill="%s">%s</text>`+"\n", width-right+8, l.at+4, l.color, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
