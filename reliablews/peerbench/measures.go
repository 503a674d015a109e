package main

import (
	"fmt"
	"slices"
	"time"
)

// task is one measurement of one peer, as the load client is told it.
type task struct {
	Peer    string        `json:"peer"`
	Server  addresses     `json:"server"`
	PID     int           `json:"pid"`
	Measure string        `json:"measure"`
	Conns   int           `json:"conns"`
	Length  time.Duration `json:"length"`
}

// numbers are what a measurement gives, by the names in metrics.
type numbers map[string]float64

const (
	window      = 256 // messages that a server may be ahead of its slowest connection
	credit      = 64  // messages published at a time
	missed      = 100 // messages that those who come back have missed
	pacedPerSec = 30_000
	checkTotal  = 1000
)

// run does a task.
func (t task) run() (n numbers, err error) {
	p, err := peerNamed(t.Peer)
	if err != nil {
		return nil, err
	}
	if err := raiseLimit(uint64(t.Conns) + 64); err != nil {
		return nil, err
	}
	l, err := newLoad(p.dialect, t.Server, t.PID)
	if err != nil {
		return nil, err
	}
	defer l.close()
	n = numbers{}
	switch t.Measure {
	case "saturated":
		err = l.saturated(t, n)
	case "trigger":
		err = l.trigger(t, n)
	case "paced":
		err = l.paced(t, n)
	case "idle":
		err = l.idle(t, n)
	case "resume":
		err = l.resume(t, n)
	case "acks":
		err = l.acks(t, n)
	case "check":
		err = l.check(t)
	default:
		err = fmt.Errorf("there is no measure named %q", t.Measure)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %s, %d connections: %w", t.Measure, t.Peer, t.Conns, err)
	}
	return n, nil
}

// join connects everybody and waits until the server counts them.
func (l *load) join(conns int, whole bool) error {
	if err := l.connect(conns, whole); err != nil {
		return err
	}
	if err := l.until("connecting", func() bool { return l.ready == conns }); err != nil {
		return err
	}
	return l.counted(conns)
}

// counted waits until the server has so many subscribers.
func (l *load) counted(conns int) error {
	for end := time.Now().Add(stuck); ; time.Sleep(5 * time.Millisecond) {
		n, err := l.ask("subscribers")
		if err != nil {
			return err
		}
		if n == int64(conns) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server has %d of %d connections", n, conns)
		}
	}
}

// settle waits until every connection has everything, and looks once more: a
// message too many is as wrong as one too few.
func (l *load) settle() error {
	if err := l.until("delivering", func() bool { return l.complete*l.batch >= l.published }); err != nil {
		return err
	}
	for i, c := range l.conns {
		if c.first+c.got != l.published {
			return fmt.Errorf("connection %d has %d messages, %d were published", i, c.first+c.got, l.published)
		}
	}
	return nil
}

// spent measures what happens between two calls.
type spent struct {
	at, server, client, bytes, messages int64
}

func (l *load) now() (spent, error) {
	server, err := l.ask("cpu")
	return spent{clock(), server, cpuTime(), l.bytes, l.published}, err
}

func (l *load) report(n numbers, from spent) error {
	to, err := l.now()
	if err != nil {
		return err
	}
	deliveries := float64(to.messages-from.messages) * float64(len(l.conns))
	n["perCPU"] = deliveries / (float64(max(1, to.server-from.server)) / 1e6)
	n["perSecond"] = deliveries / (float64(to.at-from.at) / 1e9)
	n["clientShare"] = float64(to.client-from.client) / float64(max(1, to.server-from.server))
	n["bytes"] = float64(to.bytes-from.bytes) / deliveries
	return nil
}

// saturated publishes credit messages whenever no connection is more than a
// window behind. It begins with one credit, lest a slow server take a minute, and
// ends when all have all, so that what it counts is exact.
func (l *load) saturated(t task, n numbers) error {
	l.batch = 8
	if err := l.join(t.Conns, false); err != nil {
		return err
	}
	if err := l.publish(l.batch); err != nil { // buffers and heaps grow
		return err
	}
	if err := l.settle(); err != nil {
		return err
	}
	from, err := l.now()
	if err != nil {
		return err
	}
	begin, warm := time.Now(), l.published
	var failed error
	err = l.until("saturated", func() bool {
		over := time.Since(begin) >= t.Length
		done := l.complete * l.batch
		ahead := min(window, max(credit, 2*(done-warm)))
		for l.published-done+credit <= ahead && !over && failed == nil {
			failed = l.publish(credit)
		}
		return failed != nil || over && l.complete*l.batch >= l.published
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = l.settle()
	}
	if err != nil {
		return err
	}
	return l.report(n, from)
}

// trigger publishes one message when everybody has the one before.
func (l *load) trigger(t task, n numbers) error {
	if err := l.join(t.Conns, false); err != nil {
		return err
	}
	for range 20 {
		if err := l.publish(1); err != nil {
			return err
		}
		if err := l.settle(); err != nil {
			return err
		}
	}
	from, err := l.now()
	if err != nil {
		return err
	}
	for begin := time.Now(); time.Since(begin) < t.Length; {
		if err := l.publish(1); err != nil {
			return err
		}
		if err := l.until("trigger", func() bool { return l.complete >= l.published }); err != nil {
			return err
		}
	}
	if err := l.settle(); err != nil {
		return err
	}
	return l.report(n, from)
}

// paced publishes at an even pace and looks at the age of every message when it
// is read.
func (l *load) paced(t task, n numbers) error {
	if err := l.join(t.Conns, true); err != nil {
		return err
	}
	perSecond := max(1, pacedPerSec/t.Conns)
	total := int64(max(1, t.Length.Seconds()) * float64(perSecond))
	for range 10 {
		if err := l.publish(1); err != nil {
			return err
		}
		if err := l.settle(); err != nil {
			return err
		}
	}
	delays := make([]time.Duration, 0, int(total)*t.Conns)
	l.delays = &delays
	from, err := l.now()
	if err != nil {
		return err
	}
	left := total
	var failed error
	err = l.tick(time.Second/time.Duration(perSecond), func() {
		if left > 0 && failed == nil {
			left--
			failed = l.publish(1)
		}
	})
	if err != nil {
		return err
	}
	if err := l.until("paced", func() bool { return left == 0 || failed != nil }); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if err := l.settle(); err != nil {
		return err
	}
	if err := l.report(n, from); err != nil {
		return err
	}
	slices.Sort(delays)
	n["p50"] = float64(delays[len(delays)/2].Microseconds()) / 1000
	n["p99"] = float64(delays[len(delays)*99/100].Microseconds()) / 1000
	return nil
}

// idle looks at the memory of a server before and after everybody came. It is
// asked to tidy up both times: garbage of the handshakes is not what a
// connection holds.
func (l *load) idle(t task, n numbers) error {
	resident := func() (int64, error) {
		for range 2 {
			if _, err := l.ask("tidy"); err != nil {
				return 0, err
			}
			time.Sleep(300 * time.Millisecond)
		}
		return l.residentKiB()
	}
	before, err := resident()
	if err != nil {
		return err
	}
	if err := l.join(t.Conns, false); err != nil {
		return err
	}
	after, err := resident()
	if err != nil {
		return err
	}
	n["kib"] = float64(after-before) / float64(t.Conns)
	return nil
}

// resume cuts everybody off, publishes what they miss, and looks how long it
// takes from the first dial until all have it all.
func (l *load) resume(t task, n numbers) error {
	if err := l.join(t.Conns, true); err != nil {
		return err
	}
	if err := l.publish(3); err != nil { // everybody has a place
		return err
	}
	if err := l.settle(); err != nil {
		return err
	}
	l.cut()
	if err := l.counted(0); err != nil {
		return err
	}
	if err := l.publish(missed); err != nil {
		return err
	}
	if _, err := l.ask("subscribers"); err != nil { // answered behind the publishing
		return err
	}
	from, err := l.now()
	if err != nil {
		return err
	}
	l.complete, l.reached = 0, map[int64]int{}
	if err := l.connect(t.Conns, false); err != nil {
		return err
	}
	done := func() bool { return l.ready == t.Conns && l.complete*l.batch >= l.published }
	if err := l.until("resuming", done); err != nil {
		return err
	}
	to, err := l.now()
	if err != nil {
		return err
	}
	n["seconds"] = float64(to.at-from.at) / 1e9
	n["cpuSeconds"] = float64(to.server-from.server) / 1e6
	return l.settle()
}

// acks has every connection send a message when the one before was
// acknowledged.
func (l *load) acks(t task, n numbers) error {
	l.asking, l.asks = true, true
	if err := l.connect(t.Conns, true); err != nil {
		return err
	}
	if err := l.until("connecting", func() bool { return l.ready == t.Conns }); err != nil {
		return err
	}
	for _, c := range l.conns {
		if err := l.askNext(c); err != nil {
			return err
		}
	}
	begin := time.Now()
	if err := l.until("warming up", func() bool { return time.Since(begin) > t.Length/4 }); err != nil {
		return err
	}
	from, err := l.now()
	if err != nil {
		return err
	}
	acked := l.acked
	begin = time.Now()
	if err := l.until("asking", func() bool { return time.Since(begin) >= t.Length }); err != nil {
		return err
	}
	to, err := l.now()
	if err != nil {
		return err
	}
	n["perSecond"] = float64(l.acked-acked) / (float64(to.at-from.at) / 1e9)
	n["perCPU"] = float64(l.acked-acked) / (float64(max(1, to.server-from.server)) / 1e6)
	l.asks = false
	answered := func() bool {
		for _, c := range l.conns {
			if c.got != int64(c.asked) {
				return false
			}
		}
		return true
	}
	return l.until("answering the rest", answered)
}

// check wants every message of a burst, and of single ones, once, in order and
// unchanged on every connection.
func (l *load) check(t task) error {
	if err := l.join(t.Conns, true); err != nil {
		return err
	}
	for range 20 {
		if err := l.publish(1); err != nil {
			return err
		}
		if err := l.settle(); err != nil {
			return err
		}
	}
	for l.published < checkTotal {
		if err := l.publish(credit); err != nil {
			return err
		}
		if err := l.until("check", func() bool { return l.published-l.complete*l.batch <= window-credit }); err != nil {
			return err
		}
	}
	return l.settle()
}
