package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/contestkit/contestkit/contest"
	"github.com/contestkit/contestkit/uploads"
	"github.com/contestkit/contestkit/uploads/cloudinarystore"
)

// storageCloud is the storage method of a photo that is in the cloud as well.
const storageCloud = "cloudinary"

// cloud mirrors the photos. Nothing that a visitor does waits for it.
type cloud struct {
	store  *cloudinarystore.Store
	syncer *uploads.Syncer
}

// openCloud returns nil without an error when the operator has no cloud.
func (a *app) openCloud() (*cloud, error) {
	store, err := a.cfg.cloudAccount()
	if store == nil || err != nil {
		return nil, err
	}
	return &cloud{
		store:  store,
		syncer: uploads.NewSyncer(a.photos, store, &uploads.SyncOptions{Logger: a.log, OnMoved: a.photoMoved}),
	}, nil
}

// cloudAccount opens the account that the operator has set, nil without one. It
// makes no request.
func (c *config) cloudAccount() (*cloudinarystore.Store, error) {
	store, err := cloudinarystore.FromEnvironment(func(name string) string {
		return map[string]string{
			"CLOUDINARY_URL":        c.CloudinaryURL,
			"CLOUDINARY_CLOUD_NAME": c.CloudinaryCloudName,
			"CLOUDINARY_API_KEY":    c.CloudinaryAPIKey,
			"CLOUDINARY_API_SECRET": c.CloudinaryAPISecret,
		}[name]
	})
	if errors.Is(err, cloudinarystore.ErrNotConfigured) {
		return nil, nil
	}
	return store, err
}

// mirrorAgainAfter is the wait after the folder of photos could not be read.
const mirrorAgainAfter = time.Minute

// mirror keeps the cloud as the folder is, until ctx ends.
func (a *app) mirror(ctx context.Context) {
	defer a.cloud.store.Close()
	a.catchUp(ctx)
	for {
		err := a.cloud.syncer.Run(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		a.log.Error("photos are not mirrored: the folder of photos cannot be read; it is tried again", "error", err, "in", mirrorAgainAfter)
		select {
		case <-ctx.Done():
			return
		case <-time.After(mirrorAgainAfter):
		}
	}
}

// catchUp notes the photos of which the mirror has told already, and the state
// does not know: an earlier state was restored.
func (a *app) catchUp(ctx context.Context) {
	state, _ := a.store.State()
	for photo := range state.Photos() {
		if photo.Mirror != "" || ctx.Err() != nil {
			continue
		}
		place, err := a.photos.Place(uploads.PhotoID(photo.ID))
		if err == nil {
			err = a.photoMoved(ctx, uploads.PhotoID(photo.ID), place)
		}
		if err != nil && !errors.Is(err, uploads.ErrUnknownPhoto) && ctx.Err() == nil {
			a.log.Warn("cannot note that a photo is in the cloud; the next start tries again", "photo", photo.ID, "error", err)
		}
	}
}

// photoMoved notes in the contest where a photo is in the cloud. It returns an
// error when no entry has the photo yet, or the store takes nothing at the
// moment: the mirror calls it again.
func (a *app) photoMoved(ctx context.Context, id uploads.PhotoID, place string) error {
	meta := contest.Meta{By: "server", At: time.Now().UTC(), Request: contest.RequestID("mirror-" + id[:16])}
	_, err := a.store.Update(ctx, func(s *contest.State) ([]contest.Event, error) {
		return s.MirrorPhoto(contest.MirrorPhoto{Meta: meta, Photo: contest.PhotoID(id), URL: place, Storage: storageCloud})
	})
	return err
}

// photoOptions says which photos are had from the cloud: none, unless the
// operator wants it; none while it does not work; and none from a place that the
// content policy of the pages does not allow.
func (a *app) photoOptions() *uploads.HandlerOptions {
	if a.cloud == nil || !a.cfg.PhotosFromCloud {
		return nil
	}
	origins := a.cloud.store.Origins()
	return &uploads.HandlerOptions{Elsewhere: func(_ uploads.PhotoID, place string, width int) string {
		if !a.cloud.syncer.Working() {
			return ""
		}
		for _, origin := range origins {
			if strings.HasPrefix(place, origin+"/") {
				return cloudinarystore.Sized(place, width)
			}
		}
		return ""
	}}
}

// cloudHealth is what everyone may know of the cloud: no account, no address, no
// text of an error. The log has those.
type cloudHealth struct {
	Working   bool    `json:"working"`
	Pending   int     `json:"pending"`   // photos and deletions that the cloud does not have yet
	Parked    int     `json:"parked"`    // refused for good
	OldestAge float64 `json:"oldestAge"` // of what is pending, in seconds
}

type cloudMetrics struct {
	cloudHealth
	Breaker     string `json:"breaker"` // closed when all is well
	Flying      int    `json:"flying"`
	Deletions   int    `json:"deletions"`
	Mirrored    uint64 `json:"mirrored"` // the last three since the start
	Deleted     uint64 `json:"deleted"`
	Failures    uint64 `json:"failures"`
	LastFailure int64  `json:"lastFailure"` // milliseconds since 1970; 0 when a call has succeeded since
}

func (c *cloud) numbers() cloudMetrics {
	s := c.syncer.Stats()
	return cloudMetrics{
		cloudHealth: cloudHealth{s.Breaker == "closed", s.Pending, s.Parked, s.Oldest.Seconds()},
		Breaker:     s.Breaker,
		Flying:      s.Flying,
		Deletions:   s.Deletions,
		Mirrored:    s.Mirrored,
		Deleted:     s.Deleted,
		Failures:    s.Failures,
		LastFailure: unixMilliseconds(s.LastAt),
	}
}

// trouble says what is wrong with the cloud and what ends that, "" when all is
// well. That photos are pending is not wrong: they are safe here.
func (h cloudHealth) trouble() string {
	switch {
	case !h.Working:
		return "the image cloud does not work; photos are kept here and go there when it does"
	case h.Parked > 0:
		return "the image cloud refuses photos for good; they are kept here, and the log says why"
	}
	return ""
}
