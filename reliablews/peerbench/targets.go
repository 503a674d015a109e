package main

import (
	"fmt"
	"math"
)

// metric is a table: one number of a measure for every peer.
type metric struct {
	measure string
	key     string // in numbers
	title   string
	lower   bool // is better
	digits  int
	what    string // how to read it
}

var metrics = []metric{
	{"saturated", "perCPU", "Saturated: deliveries per CPU-second of the server", false, 0,
		"Messages are published as fast as the slowest connection takes them."},
	{"saturated", "perSecond", "Saturated: deliveries per second", false, 0,
		"The same runs by the clock; client and server share the machine."},
	{"trigger", "perCPU", "One message per trigger: deliveries per CPU-second of the server", false, 0,
		"A message is published when everybody has the one before."},
	{"paced", "p50", "Paced: half of the deliveries took at most, ms", true, 2,
		"30,000 deliveries per second in total; from publishing to being read by the client."},
	{"paced", "p99", "Paced: 99 of 100 deliveries took at most, ms", true, 2, ""},
	{"paced", "perCPU", "Paced: deliveries per CPU-second of the server", false, 0, ""},
	{"idle", "kib", "Resident memory per idle connection, KiB", true, 1,
		"Of the server, after it gave back what it does not use, less what it had without connections."},
	{"resume", "seconds", "Cut and resumed: seconds until all have the 100 messages that they missed", true, 3,
		"From the first dial; handshakes included. Peers that are not here recover nothing."},
	{"acks", "perSecond", "Acknowledged messages from clients, per second", false, 0,
		"128 bytes; every connection sends the next one when the one before was acknowledged."},
	{"acks", "perCPU", "Acknowledged messages from clients, per CPU-second of the server", false, 0, ""},
}

// target is something that reliablews promises, or is only stated.
type target struct {
	text    string
	measure string
	conns   int
	key     string
	peer    string  // measured, nameOurs if ""
	against string  // the ratio of the two; "" for the number itself
	least   float64 // 0: no such bound
	most    float64 // 0: no such bound; both 0: stated
}

func targets() []target {
	return []target{
		{text: "per CPU-second ÷ raw, 100 connections", measure: "saturated", conns: 100, key: "perCPU", against: nameRaw, least: 0.75},
		{text: "per CPU-second ÷ raw, 1,000 connections", measure: "saturated", conns: 1000, key: "perCPU", against: nameRaw, least: 0.75},
		{text: "per CPU-second ÷ raw, 5,000 connections", measure: "saturated", conns: 5000, key: "perCPU", against: nameRaw, least: 0.5},
		{text: "per CPU-second ÷ centrifuge, 1,000 connections", measure: "saturated", conns: 1000, key: "perCPU", against: nameCentrifuge, least: 2},
		{text: "per CPU-second ÷ centrifuge, 5,000 connections", measure: "saturated", conns: 5000, key: "perCPU", against: nameCentrifuge, least: 5},
		{text: "per CPU-second ÷ centrifuge with delay, 1,000 connections", measure: "saturated", conns: 1000, key: "perCPU", against: nameDelay},
		{text: "per CPU-second ÷ centrifuge with delay, 5,000 connections", measure: "saturated", conns: 5000, key: "perCPU", against: nameDelay},
		{text: "one message per trigger, per CPU-second ÷ centrifuge", measure: "trigger", conns: 1000, key: "perCPU", against: nameCentrifuge, least: 1.5},
		{text: "paced, p99 ÷ centrifuge", measure: "paced", conns: 1000, key: "p99", against: nameCentrifuge, most: 1.15},
		{text: "KiB per idle connection, 5,000 connections", measure: "idle", conns: 5000, key: "kib", most: 9},
		{text: "seconds to resume 1,000 clients, from memory", measure: "resume", conns: 1000, key: "seconds", most: 0.3},
		{text: "seconds to resume 1,000 clients, from a durable history", measure: "resume", conns: 1000, key: "seconds", peer: nameDurable},
		{text: "acknowledged messages per second ÷ naive gorilla echo", measure: "acks", conns: 100, key: "perSecond", against: nameNaive, least: 0.85},
	}
}

// row says how a target was met.
func (b *bench) row(t target) []string {
	want, verdict := "stated", "–"
	switch {
	case t.least > 0:
		want = fmt.Sprintf("at least %g", t.least)
	case t.most > 0:
		want = fmt.Sprintf("at most %g", t.most)
	}
	if t.peer == "" {
		t.peer = nameOurs
	}
	got := b.median(cell{t.measure, t.conns, t.peer}, t.key)
	if t.against != "" {
		got = b.ratio(cell{t.measure, t.conns, t.peer}, cell{t.measure, t.conns, t.against}, t.key)
	}
	if math.IsNaN(got) {
		return []string{t.text, want, "–", "not measured"}
	}
	switch {
	case t.least > 0 && got < t.least:
		verdict = fmt.Sprintf("missed: %.0f %% too low", 100*(1-got/t.least))
	case t.most > 0 && got > t.most:
		verdict = fmt.Sprintf("missed: %.0f %% too high", 100*(got/t.most-1))
	case t.least > 0 || t.most > 0:
		verdict = "met"
	}
	return []string{t.text, want, fmt.Sprintf("%.2f", got), verdict}
}
