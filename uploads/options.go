package uploads

import (
	"log/slog"
)

// Options changes what is taken and how. The zero value is good; OpenDir copies
// it.
type Options struct {
	// Logger hears of what was repaired at opening and of smaller copies that
	// could not be made. Default: silent.
	Logger *slog.Logger

	// MaxBytes bounds a photo as it is sent. Default: 10 MiB.
	MaxBytes int64

	// MaxPixels bounds width times height. Default: 50,000,000.
	MaxPixels int64

	// MaxSide bounds width and height, in pixels. Default: 12,000.
	MaxSide int

	// DecodeBytes is how much memory the pictures being decoded may hold
	// together. Others wait. A picture that needs more by itself is refused with
	// ErrTooHeavy. Default: 192 MiB, which is 50 megapixels of a plain JPEG,
	// turned or not, or of an 8-bit PNG; 26 megapixels of a usual progressive
	// JPEG.
	DecodeBytes int64

	// ReserveBytes of the disk stay free: Accept refuses with ErrDiskFull
	// before. Keep it above what else must go on being written on the same disk.
	// Default: 128 MiB.
	ReserveBytes int64

	step func(name string) error       // the crash tests stop here, before each step on the disk
	free func() (bytes int64, _ error) // and fill the disk here
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 10 << 20
	}
	if c.MaxPixels <= 0 {
		c.MaxPixels = 50_000_000
	}
	if c.MaxSide <= 0 {
		c.MaxSide = 12_000
	}
	if c.DecodeBytes <= 0 {
		c.DecodeBytes = 192 << 20
	}
	if c.ReserveBytes <= 0 {
		c.ReserveBytes = 128 << 20
	}
	if c.step == nil {
		c.step = func(string) error { return nil }
	}
	return c
}
