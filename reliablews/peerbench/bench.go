package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// measure is one of the things that are measured.
type measure struct {
	name  string
	conns int // 0: as the flag says
	does  func(p peer) bool
	first string // the number that the progress shows
}

func live(p peer) bool { return p.name != nameDurable }

var measures = []measure{
	{name: "saturated", does: live, first: "perCPU"},
	{name: "trigger", conns: 1000, does: live, first: "perCPU"},
	{name: "paced", conns: 1000, does: live, first: "p99"},
	{name: "idle", conns: 5000, does: live, first: "kib"},
	{name: "resume", conns: 1000, does: func(p peer) bool { return p.recover }, first: "seconds"},
	{name: "acks", conns: 100, does: func(p peer) bool {
		return live(p) && p.dialect.ask != nil && p.name != nameDelay
	}, first: "perSecond"},
}

type work struct {
	measure
	conns int
}

// cell is where a result stands in the tables.
type cell struct {
	measure string
	conns   int
	peer    string
}

// bench is one run.
type bench struct {
	peers   []peer
	work    []work
	rounds  int
	length  time.Duration
	profile string
	note    string
	notes   []string // what did not go well
	stderr  io.Writer

	results map[cell][]numbers // by round; nil where it failed
	took    time.Duration
}

// run measures everything once a round: what is compared is close in time, and
// nobody is always first.
func (b *bench) run(ctx context.Context) error {
	type job struct {
		work work
		peer peer
	}
	begin, count := time.Now(), 0
	for round := range b.rounds {
		var jobs []job
		for _, w := range b.work {
			for i := range b.peers {
				if p := b.peers[(i+round)%len(b.peers)]; w.does(p) {
					jobs = append(jobs, job{w, p})
				}
			}
		}
		for _, j := range jobs {
			t := task{Measure: j.work.name, Conns: j.work.conns, Length: b.length}
			if t.Measure == "paced" {
				t.Length *= 2
			}
			n, err := measureOnce(ctx, j.peer, t, b.profile)
			if err != nil && ctx.Err() == nil { // once more: a machine that stood still makes servers time out
				b.fault(err)
				n, err = measureOnce(ctx, j.peer, t, b.profile)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c := cell{t.Measure, t.Conns, j.peer.name}
			b.results[c] = append(b.results[c], n)
			count++
			result := fmt.Sprintf("%.4g %s", n[j.work.first], j.work.first)
			if err != nil {
				result = err.Error()
				b.fault(fmt.Errorf("no number in round %d: %w", round+1, err))
			}
			left := time.Since(begin) / time.Duration(count) * time.Duration(len(jobs)*b.rounds-count)
			fmt.Fprintf(b.stderr, "%3d/%d  round %d  %-9s %5d connections  %-18s %s  (%s left)\n",
				count, len(jobs)*b.rounds, round+1, t.Measure, t.Conns, j.peer.name, result, left.Round(time.Second))
		}
	}
	b.took = time.Since(begin)
	return nil
}

// fault notes what went wrong, for the results.
func (b *bench) fault(err error) { b.notes = append(b.notes, err.Error()) }
