package reliablews

import (
	"context"
	"fmt"
	"time"
)

const snapshotTimeout = 30 * time.Second

// flight is one call of Snapshot, shared by those who wait for it.
type flight struct {
	done chan struct{}
	at   uint64
	wire []byte
	err  error
}

// takeSnapshot returns a snapshot as it goes over the wire and its offset. It
// is made once for all who come while it is made or before the next message:
// after a restart, or in a quiet hour, a whole hall shares one.
func (t *Topic) takeSnapshot(ctx context.Context) (wire []byte, at uint64, err error) {
	t.mu.Lock()
	if f := t.made; f != nil {
		t.mu.Unlock()
		return f.wire, f.at, nil
	}
	f := t.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		t.flight = f
		t.hub.running.Go(func() { t.fly(f) })
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.wire, f.at, f.err
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// fly makes the snapshot for all who wait. It belongs to none of them, so that
// one who leaves does not end it for the others.
func (t *Topic) fly(f *flight) {
	ctx, cancel := context.WithTimeout(t.hub.ctx, snapshotTimeout)
	defer cancel()
	defer func() {
		t.mu.Lock()
		t.flight = nil
		if f.err == nil && f.at >= t.last {
			t.made = f
		}
		t.mu.Unlock()
		if f.err != nil {
			t.hub.counts.snapshotErrors.Add(1)
		}
		close(f.done)
	}()
	p, data, err := t.snapshot(ctx)
	if err != nil {
		f.err = err
		return
	}
	t.mu.Lock()
	epoch := t.epoch
	t.mu.Unlock()
	if p.Epoch != epoch {
		f.err = fmt.Errorf("reliablews: the snapshot of %s is of epoch %s, the topic of %s", t.name, p.Epoch, epoch)
		return
	}
	encoded, err := encode(data)
	if err != nil {
		f.err = fmt.Errorf("reliablews: encode the snapshot of %s: %w", t.name, err)
		return
	}
	f.at = p.Offset
	f.wire = wireFrame(serverFrame{T: "snap", S: t.name, E: p.Epoch, O: p.Offset, D: encoded})
	t.hub.counts.snapshots.Add(1)
}
