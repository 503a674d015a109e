package reliablews

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// past is what was read back from a topic's durable history: pages that are
// shared by all who read there, and dropped when others are needed. The topic's
// lock guards it.
type past struct {
	pages   []*page // newest last
	bytes   int
	counted int64         // of those bytes, by the hub
	wanted  uint64        // the lowest offset that somebody waits to read on from
	flight  chan struct{} // closed when the page that is being read is there
	failed  uint64        // where the latest flight began, plus one, if it failed
	idle    *time.Timer   // forgets pages that nobody reads any more
}

// page holds every message after one offset and up to another.
type page struct {
	from, to uint64
	messages []held
	bytes    int
	used     time.Time
}

const (
	pageBytes    = 256 << 10
	pageMessages = 1024
	pageTimeout  = 30 * time.Second
	pageIdle     = time.Minute
)

// page returns the one with what comes after an offset, nil if there is none.
func (p *past) page(offset uint64) *page {
	for _, page := range p.pages {
		if page.from <= offset && offset < page.to {
			page.used = time.Now()
			return page
		}
	}
	return nil
}

// oldest returns the page that was read longest ago, nil if there is none but
// one that stays.
func (p *past) oldest(stays *page) (oldest *page) {
	for _, page := range p.pages {
		if page != stays && (oldest == nil || page.used.Before(oldest.used)) {
			oldest = page
		}
	}
	return oldest
}

func (p *past) drop(page *page) {
	if i := slices.Index(p.pages, page); i >= 0 {
		p.pages = slices.Delete(p.pages, i, i+1)
		p.bytes -= page.bytes
	}
}

func (p *past) add(page *page, maxBytes int) {
	page.used = time.Now()
	p.pages = append(p.pages, page)
	p.bytes += page.bytes
	for len(p.pages) > 1 && p.bytes > maxBytes {
		p.drop(p.pages[0])
	}
}

// countPages tells the hub how many bytes of pages the topic holds. The caller
// holds the lock.
func (t *Topic) countPages() {
	t.hub.pageBytes.Add(int64(t.past.bytes) - t.past.counted)
	t.past.counted = int64(t.past.bytes)
}

// maxPageBytes bounds the pages of all topics: the histories that are held are
// for everybody, those few for one who was away for long. Some pages there must
// be, or readers of several topics would take each other's away unread.
func (h *Hub) maxPageBytes() int64 { return max(int64(h.opts.HistoryBytes)/4, 8*pageBytes) }

// trimPages lets those pages of all topics go that were read longest ago while
// they are too many, but for one that was read back just now. Whoever is at one of
// them has it read back once more.
func (h *Hub) trimPages(stays *page) {
	if h.pageBytes.Load() <= h.maxPageBytes() {
		return
	}
	h.trimming.Lock()
	defer h.trimming.Unlock()
	h.mu.Lock()
	topics := slices.Collect(maps.Values(h.topics))
	h.mu.Unlock()
	for h.pageBytes.Load() > h.maxPageBytes() {
		var of *Topic
		var oldest *page
		var used time.Time
		for _, t := range topics {
			t.mu.Lock()
			if p := t.past.oldest(stays); p != nil && (oldest == nil || p.used.Before(used)) {
				of, oldest, used = t, p, p.used
			}
			t.mu.Unlock()
		}
		if oldest == nil {
			return
		}
		of.mu.Lock()
		of.past.drop(oldest)
		of.countPages()
		of.mu.Unlock()
	}
}

// forget drops the pages that nobody has read for a while.
func (t *Topic) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past.pages = slices.DeleteFunc(t.past.pages, func(p *page) bool {
		old := time.Since(p.used) >= pageIdle
		if old {
			t.past.bytes -= p.bytes
		}
		return old
	})
	t.countPages()
	if len(t.past.pages) > 0 {
		t.past.idle.Reset(pageIdle)
	} else {
		t.past.idle = nil
	}
}

// readBack makes sure that the messages after an offset can be sent, and tells
// whether they can. One read serves all who wait; the next begins at the lowest
// offset that is wanted.
func (t *Topic) readBack(ctx context.Context, offset uint64) bool {
	for {
		t.mu.Lock()
		if offset >= t.replay.base || t.past.page(offset) != nil {
			t.mu.Unlock()
			return true
		}
		flight := t.past.flight
		if flight == nil {
			t.past.flight = make(chan struct{})
			from := offset
			if t.past.wanted != 0 {
				from = min(from, t.past.wanted-1)
			}
			t.past.wanted = 0
			done, upTo := t.past.flight, t.replay.base
			t.hub.running.Go(func() { t.read(from, upTo, done) })
			flight = done
		} else if t.past.wanted == 0 || offset+1 < t.past.wanted {
			t.past.wanted = offset + 1 // by one, so that zero is nobody
		}
		t.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return false
		}
		t.mu.Lock()
		failed := t.past.failed == offset+1 // one that began lower says nothing of this one
		there := t.past.page(offset) != nil || offset >= t.replay.base
		t.mu.Unlock()
		if failed && !there {
			return false
		}
	}
}

// read reads one page.
func (t *Topic) read(from, upTo uint64, done chan struct{}) {
	ctx, cancel := context.WithTimeout(t.hub.ctx, pageTimeout)
	defer cancel()
	var page *page
	err := t.hub.contain(func() (err error) {
		page, err = t.readPage(ctx, from, upTo)
		return err
	})
	if err != nil {
		t.hub.opts.Logger.Warn("the history could not be read; subscribers get a snapshot or a gap", "topic", t.name, "after", from, "error", err)
		t.hub.counts.historyErrors.Add(1)
	}
	t.keepPage(from, page, err)
	close(done)
	if err == nil {
		t.hub.trimPages(page)
	}
}

// keepPage notes what a read has given.
func (t *Topic) keepPage(from uint64, page *page, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past.flight = nil
	if t.past.failed = from + 1; err == nil {
		t.past.failed = 0
		t.past.add(page, t.replay.maxBytes)
		t.countPages()
		if t.past.idle == nil {
			t.past.idle = time.AfterFunc(pageIdle, t.forget)
		}
		t.hub.counts.historyReads.Add(1)
	}
}

func (t *Topic) readPage(ctx context.Context, from, upTo uint64) (*page, error) {
	r := replay{maxMessages: math.MaxInt, maxBytes: math.MaxInt, base: from}
	previous, full := from, false
	for m, err := range t.history(ctx, from, upTo) {
		if err != nil {
			return nil, err
		}
		if m.Offset <= previous || m.Offset > upTo {
			return nil, fmt.Errorf("reliablews: History of %s gave offset %d behind %d, asked up to %d", t.name, m.Offset, previous, upTo)
		}
		encoded, err := encode(m.Data)
		if err != nil {
			return nil, fmt.Errorf("reliablews: encode a message of %s: %w", t.name, err)
		}
		if len(encoded) > t.hub.opts.MaxMessageBytes {
			return nil, fmt.Errorf("%w: message %d of %s has %d bytes", ErrMessageTooLarge, m.Offset, t.name, len(encoded))
		}
		r.add(m.Offset, wireMessage(t.name, m.Offset, previous, encoded), t.hub.opts.Compression)
		previous = m.Offset
		if full = r.bytes >= pageBytes || len(r.messages) >= pageMessages; full {
			break
		}
	}
	to := upTo
	if full {
		to = previous
	}
	return &page{from: from, to: to, messages: r.messages, bytes: r.bytes}, nil
}
