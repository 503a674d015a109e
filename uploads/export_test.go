package uploads

import (
	"bytes"
	"context"
	"time"
)

// OnStep calls f before each step on the disk; an error of f fails the step.
func (o *Options) OnStep(f func(name string) error) { o.step = f }

// WithFree says how much is free on the disk.
func (o *Options) WithFree(f func() int64) {
	o.free = func() (int64, error) { return f(), nil }
}

// WithSettle sets when a call that failed cannot be carried out any more.
func (o *SyncOptions) WithSettle(d time.Duration) { o.settle = d }

// Cost returns what decoding is expected to hold.
func Cost(photo []byte) (int64, error) {
	o := (&Options{DecodeBytes: 1 << 40}).withDefaults()
	p, err := examine(bytes.NewReader(photo), int64(len(photo)), &o)
	if err != nil {
		return 0, err
	}
	return p.cost, nil
}

// Decode decodes, flattens and turns a photo.
func Decode(photo []byte) error {
	o := (&Options{DecodeBytes: 1 << 40}).withDefaults()
	p, err := examine(bytes.NewReader(photo), int64(len(photo)), &o)
	if err == nil {
		_, err = p.decode(context.Background())
	}
	return err
}

// Budget is the semaphore of decoding.
type Budget struct{ b budget }

func NewBudget(size int64) *Budget                        { return &Budget{budget{size: size}} }
func (b *Budget) Take(ctx context.Context, n int64) error { return b.b.take(ctx, n) }
func (b *Budget) Give(n int64)                            { b.b.give(n) }
func (b *Budget) Load() (used int64, waiting int)         { return b.b.load() }
