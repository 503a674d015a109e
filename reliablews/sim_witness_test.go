package reliablews

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// simFaults are the broken promises of one run.
type simFaults struct {
	mu   sync.Mutex
	list []string
}

func (f *simFaults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) < 20 {
		f.list = append(f.list, time.Now().Format("15:04:05.000000000 ")+fmt.Sprintf(format, args...))
	}
}

func (f *simFaults) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

// simEntry is a message that was published.
type simEntry struct {
	Epoch  string
	Offset uint64
	ID     uint64 // no other message has it
}

// simLog is what was published to a topic: all of it, and what is still known.
type simLog struct {
	name      string
	snapshots bool
	durable   bool // History reaches back to the beginning of the epoch
	flaky     bool // History fails now and then

	mu     sync.Mutex // guards the fields below
	epoch  int
	start  uint64     // where the epoch begins
	at     uint64     // with offsets that have no message
	log    []simEntry // of this epoch, what is known
	all    map[string][]simEntry
	lost   map[uint64]bool // by id: not known any more
	lagged bool            // after a restart the hub had less than it had shown
	topic  *Topic
	tail   []simEntry // to be published again later
}

func (l *simLog) current() string { return fmt.Sprintf("e%d", l.epoch) }

// between returns the known messages of an epoch after an offset and before
// another.
func (l *simLog) between(epoch string, after, before uint64) (found []simEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all[epoch] {
		if e.Offset > after && e.Offset < before && !l.lost[e.ID] {
			found = append(found, e)
		}
	}
	return found
}

// simPlace is what a client has been told of a topic.
type simPlace struct {
	log    *simLog
	faults *simFaults
	client string
	known  bool // false until the first event of a client that began with nothing
	at     Position
	heard  int
}

func (p *simPlace) fault(format string, args ...any) {
	p.faults.add("%s, %s at %s: %s", p.client, p.log.name, p.at, fmt.Sprintf(format, args...))
}

func (p *simPlace) message(m Message) {
	var e simEntry
	if err := json.Unmarshal(m.Data, &e); err != nil {
		p.fault("message %s: %v", m.Position, err)
		return
	}
	if e.Epoch != m.Position.Epoch || e.Offset != m.Position.Offset {
		p.fault("message %s is that of %s/%d", m.Position, e.Epoch, e.Offset)
	}
	if p.known {
		if m.Position.Epoch != p.at.Epoch {
			p.fault("message %s of another epoch", m.Position)
		} else if m.Position.Offset <= p.at.Offset {
			p.fault("message %s again", m.Position)
		} else if missed := p.log.between(p.at.Epoch, p.at.Offset, m.Position.Offset); len(missed) > 0 {
			p.fault("message %s, but nothing was heard of %v", m.Position, missed)
		}
	}
	p.known, p.at = true, m.Position
	p.heard++
}

func (p *simPlace) snapshot(s Snapshot) {
	var at Position
	if err := json.Unmarshal(s.Data, &at); err != nil || at != s.Position {
		p.fault("snapshot %s says %s", s.Position, s.Data)
	}
	p.log.mu.Lock()
	lagged := p.log.lagged
	p.log.mu.Unlock()
	// It may go back: a WebSocket that replaces a stream said hello when the
	// client had less. What comes after it is judged from there.
	again := s.Position.Offset <= p.at.Offset
	if p.known && p.at.Epoch == s.Position.Epoch && !again && p.log.durable && !p.log.flaky && !lagged {
		p.fault("snapshot %s, though the history has everything", s.Position)
	}
	p.known, p.at = true, s.Position
}

func (p *simPlace) gap(g Gap) {
	p.log.mu.Lock()
	lagged := p.log.lagged
	p.log.mu.Unlock()
	same := p.at.Epoch == g.Position.Epoch
	switch {
	case !p.known:
	case g.Reason == reasonEpoch && !same:
		if g.From != 0 {
			p.fault("gap %+v", g)
		}
	case !same:
		p.fault("gap %+v of another epoch", g)
	case g.Reason == reasonAhead:
		if !lagged || g.Position.Offset >= g.From {
			p.fault("gap %+v", g)
		}
	case g.Reason == reasonTruncated || g.Reason == reasonSlow || g.Reason == reasonEpoch:
		// The epoch's again, when it was told and a hello did not know yet.
		if p.log.durable && !p.log.flaky {
			p.fault("gap %+v, though the history has everything", g)
		}
		if g.From < p.at.Offset || g.Position.Offset <= g.From {
			p.fault("gap %+v", g)
		}
		if missed := p.log.between(p.at.Epoch, p.at.Offset, g.From+1); len(missed) > 0 {
			p.fault("gap %+v, but nothing was heard of %v", g, missed)
		}
	default:
		p.fault("gap %+v", g)
	}
	p.known, p.at = true, g.Position
}

// simDirects is what was written to the inboxes of all sessions.
type simDirects struct {
	mu   sync.Mutex
	sent map[string][]simDirect // by session
}

type simDirect struct {
	id uint64
	at time.Time
}

// simBox is what a client has been told of its inboxes.
type simBox struct {
	directs  *simDirects
	faults   *simFaults
	client   string
	at       Position
	max      int
	lifetime time.Duration
}

func (b *simBox) fault(format string, args ...any) {
	b.faults.add("%s, inbox at %s: %s", b.client, b.at, fmt.Sprintf(format, args...))
}

func (b *simBox) of(session string) []simDirect {
	b.directs.mu.Lock()
	defer b.directs.mu.Unlock()
	return b.directs.sent[session]
}

func (b *simBox) message(m Message) {
	if b.at.Epoch == "" {
		b.at.Epoch = m.Position.Epoch
	}
	if m.Position.Epoch != b.at.Epoch || m.Position.Offset != b.at.Offset+1 {
		b.fault("message %s does not follow", m.Position)
	}
	sent := b.of(m.Position.Epoch)
	if i := m.Position.Offset - 1; i >= uint64(len(sent)) || fmt.Sprint(sent[i].id) != string(m.Data) {
		b.fault("message %s says %s", m.Position, m.Data)
	}
	b.at = m.Position
}

func (b *simBox) gap(g Gap) {
	sent := b.of(g.Position.Epoch)
	last := func(o uint64) simDirect {
		if o == 0 || o > uint64(len(sent)) {
			b.fault("gap %+v reaches behind the %d that were sent", g, len(sent))
			return simDirect{}
		}
		return sent[o-1]
	}
	switch {
	case g.Reason == reasonEpoch && g.Position.Epoch != b.at.Epoch:
	case b.at.Epoch != "" && g.Position.Epoch != b.at.Epoch || g.From != b.at.Offset || g.Position.Offset <= g.From:
		b.fault("gap %+v", g)
	case g.Reason == reasonExpired:
		if age := time.Since(last(g.Position.Offset).at); age < b.lifetime {
			b.fault("gap %+v after %s", g, age)
		}
	case g.Reason == reasonFull:
		// The older of those that are gone may have expired.
		if len(sent)-int(g.Position.Offset) < b.max {
			b.fault("gap %+v, with %d sent", g, len(sent))
		}
	case g.Reason == reasonEpoch: // it was told, and a hello did not know yet
	default:
		b.fault("gap %+v", g)
	}
	b.at = g.Position
}
