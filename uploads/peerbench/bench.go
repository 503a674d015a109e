package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// bench is one run.
type bench struct {
	rounds, crowds int
	length         time.Duration
	sizes          []size
	note           string
	stderr         io.Writer

	results map[cell][]numbers // by round
	took    time.Duration
}

// cell is where a result stands in the tables.
type cell struct {
	peer, size, way string
	crowd           bool
}

// run measures everything once a round: what is compared is close in time, and
// nobody is always first.
func (b *bench) run(ctx context.Context) error {
	start := time.Now()
	dir, err := os.MkdirTemp("", "peerbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	photos, err := writePhotos(dir, b.sizes, crowdPhotos)
	if err != nil {
		return err
	}
	for round := range b.rounds {
		for _, s := range b.sizes {
			for _, way := range ways {
				t := task{Photos: photos[s.name+way.name], AtOnce: 1, Length: b.length}
				if err := b.turns(ctx, round, cell{size: s.name, way: way.name}, t); err != nil {
					return err
				}
			}
		}
	}
	// On its side is what needs most memory.
	side := ways[1].name
	for round := range b.crowds {
		for _, s := range b.sizes {
			t := task{Photos: photos[s.name+side], AtOnce: crowdAtOnce}
			if err := b.turns(ctx, round, cell{size: s.name, way: side, crowd: true}, t); err != nil {
				return err
			}
		}
	}
	b.took = time.Since(start)
	return nil
}

// turns measures each peer once.
func (b *bench) turns(ctx context.Context, round int, c cell, t task) error {
	for i := range peers {
		p := peers[(i+round)%len(peers)]
		c.peer, t.Peer = p.name, p.name
		n, err := measureOnce(ctx, t)
		if err != nil {
			return err
		}
		b.results[c] = append(b.results[c], n)
		fmt.Fprintf(b.stderr, "round %d  %3s megapixels %-11s  %2d at once  %-8s %7.1f photos/s %6.0f MB\n",
			round+1, c.size, c.way, t.AtOnce, p.name, n.PerSecond, n.Peak)
	}
	return nil
}

// median returns the median over the rounds.
func (b *bench) median(c cell, of func(numbers) float64) float64 {
	var list []float64
	for _, n := range b.results[c] {
		list = append(list, of(n))
	}
	return median(list)
}

// ratio is a number of ours to theirs: the median of the ratios of each round,
// since two measurements of one round met the same noise.
func (b *bench) ratio(c cell, of func(numbers) float64) float64 {
	mine := c
	mine.peer = nameOurs
	var list []float64
	for i, n := range b.results[c] {
		if m := b.results[mine]; i < len(m) && of(n) > 0 {
			list = append(list, of(m[i])/of(n))
		}
	}
	return median(list)
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
