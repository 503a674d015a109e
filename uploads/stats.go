package uploads

import "sync/atomic"

// Stats are the numbers of a folder since it was opened, unless they say
// otherwise.
type Stats struct {
	Photos      int64  `json:"photos"`      // in the folder now
	Accepted    uint64 `json:"accepted"`    // Again included
	Again       uint64 `json:"again"`       // accepted, and there already
	Refused     uint64 `json:"refused"`     // the sender's reasons, and ErrDiskFull
	Failed      uint64 `json:"failed"`      // cut off, cancelled, or a fault of the disk
	Bytes       uint64 `json:"bytes"`       // written as new photos
	Deleted     uint64 `json:"deleted"`     // by Delete and Sweep
	Served      uint64 `json:"served"`      // requests answered with a photo or 304
	Redirected  uint64 `json:"redirected"`  // requests that were sent to the cloud
	Scaled      uint64 `json:"scaled"`      // photos whose narrower copies were made
	ScaleFailed uint64 `json:"scaleFailed"` // requests that got the photo because a copy could not be made
	DecodeBytes int64  `json:"decodeBytes"` // held for decoding now
	DecodeQueue int    `json:"decodeQueue"` // photos that wait for others to be decoded
	FreeBytes   int64  `json:"freeBytes"`   // of the disk, when last looked at
	DiskFull    bool   `json:"diskFull"`    // FreeBytes is below the reserve: Accept refuses
}

type counts struct {
	photos      atomic.Int64
	accepted    atomic.Uint64
	again       atomic.Uint64
	refused     atomic.Uint64
	failed      atomic.Uint64
	bytes       atomic.Uint64
	deleted     atomic.Uint64
	served      atomic.Uint64
	redirected  atomic.Uint64
	scaled      atomic.Uint64
	scaleFailed atomic.Uint64
	free        atomic.Int64
}

// Stats returns the numbers of this moment. It never waits for the disk.
func (d *Dir) Stats() Stats {
	used, waiting := d.budget.load()
	free := d.counts.free.Load()
	return Stats{
		Photos:      d.counts.photos.Load(),
		Accepted:    d.counts.accepted.Load(),
		Again:       d.counts.again.Load(),
		Refused:     d.counts.refused.Load(),
		Failed:      d.counts.failed.Load(),
		Bytes:       d.counts.bytes.Load(),
		Deleted:     d.counts.deleted.Load(),
		Served:      d.counts.served.Load(),
		Redirected:  d.counts.redirected.Load(),
		Scaled:      d.counts.scaled.Load(),
		ScaleFailed: d.counts.scaleFailed.Load(),
		DecodeBytes: used,
		DecodeQueue: waiting,
		FreeBytes:   free,
		DiskFull:    free < d.options.ReserveBytes,
	}
}
