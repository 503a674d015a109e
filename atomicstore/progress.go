package atomicstore

import "time"

// progress tells how much of a directory was read.
type progress struct {
	tell        func(done, total int64) // nil when nobody wants to know
	done, total int64                   // bytes
	told        time.Time
}

// newProgress looks how much there is. What cannot be looked at is left out:
// whoever reads it says why.
func newProgress(c *directory, tell func(done, total int64)) *progress {
	p := &progress{tell: tell}
	if tell == nil {
		return p
	}
	paths := []string{c.data.path()}
	if found, err := listSegments(c.fs, c.walDir, parseSegmentName); err == nil {
		for _, s := range found.segments {
			paths = append(paths, s.path)
		}
	}
	if list, err := listBackups(c.fs, c.data.backupDir); err == nil {
		for _, b := range list {
			paths = append(paths, b.Path)
		}
	}
	for _, path := range paths {
		if id, err := c.fs.Stat(path); err == nil {
			p.total += id.Size
		}
	}
	tell(0, p.total)
	return p
}

// tellEvery is how often a person wants to see a number change.
const tellEvery = 50 * time.Millisecond

func (p *progress) add(bytes int64) {
	p.done = min(p.done+bytes, p.total) // a store that is open writes on
	if p.tell != nil && time.Since(p.told) >= tellEvery {
		p.told = time.Now()
		p.tell(p.done, p.total)
	}
}

// finish jumps over what segments have in reserve, which nobody reads.
func (p *progress) finish() {
	if p.tell != nil {
		p.tell(p.total, p.total)
	}
}
