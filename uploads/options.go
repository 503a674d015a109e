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
	// together. Others wait. A picture that needs up to half more is decoded while
	// no other is; one that needs more than that is refused with ErrTooHeavy.
	//
	// Default: 192 MiB, which takes all of MaxPixels of an ordinary JPEG, turned or
	// not, or of a PNG with 8 bits. The others are taken up to, in megapixels, 40
	// of a usual progressive JPEG (20 of one with 4:4:4), 37 of a JPEG in CMYK, of
	// a PNG with 16 bits, or of one with 8 that is interlaced or to be turned (18
	// of one with 16 bits that is), 20 of a lossless WebP.
	DecodeBytes int64

	// ReserveBytes of the disk stay free: Accept refuses with ErrDiskFull
	// before. Keep it above what else must go on being written on the same disk.
	// Default: 128 MiB.
	ReserveBytes int64

	step func(name string) error       // the crash tests stop here, before each step on the disk
	free func() (bytes int64, _ error) // and fill the disk here
}

// heaviest is the most that one picture may cost.
func (o *Options) heaviest() int64 { return o.DecodeBytes + o.DecodeBytes/2 }

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
