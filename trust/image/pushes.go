package image

import (
	"context"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// An image is compared with the others of its repository: how many came lately, and how large those before it were. In a busy
// repository a report would read hundreds of records for that, so it reads some at a time, until it has seen enough.
const (
	pushStep      = 12 // records in one read
	enoughImages  = 10 // that came in trust.CadenceSpan; more are not counted
	enoughEarlier = 10 // that came before the image, whose sizes are compared
	// maxPushSteps bounds the reads: a page may be empty where records of other actions stand between.
	maxPushSteps = maxRecords / pushStep
)

// readPushes reads the newest pushes of the repository and those from before the image came, newest first.
func (s *subject) readPushes(ctx context.Context) error {
	next, err := s.someMorePushes(ctx, nil, func() bool { return len(s.lately()) >= enoughImages || s.pastCadence() })
	if err != nil || next == nil {
		return err
	}
	if came := s.arrival(); came < *next { // what came between the newest and this one says nothing
		next = &came
	}
	_, err = s.someMorePushes(ctx, next, func() bool {
		for _, p := range s.platforms {
			if len(s.sizesBefore(p)) < enoughEarlier {
				return false
			}
		}
		return true
	})
	return err
}

// someMorePushes adds pushes from behind a record on until there are enough, and returns where those begin that are left, or nil.
func (s *subject) someMorePushes(ctx context.Context, after *uint64, enough func() bool) (*uint64, error) {
	for range maxPushSteps {
		if enough() {
			break
		}
		q := provenance.Query{Repository: s.Repository, Action: provenance.Push, Descending: true, After: after, Limit: pushStep}
		page, err := s.Records.Find(ctx, q)
		if err != nil {
			return nil, err
		}
		s.pushes = append(s.pushes, page.Records...)
		if after = page.Next; after == nil {
			break
		}
	}
	return after, nil
}

// lately are the images that got a tag in the last trust.CadenceSpan.
func (s *subject) lately() map[digest.Digest]bool {
	came := map[digest.Digest]bool{}
	for _, r := range s.pushes {
		if isImagePush(r) && s.now.Sub(r.Time.Time) < trust.CadenceSpan {
			came[r.Digest] = true
		}
	}
	return came
}

// pastCadence says that the pushes that were read reach back for longer than trust.CadenceSpan.
func (s *subject) pastCadence() bool {
	n := len(s.pushes)
	return n > 0 && s.now.Sub(s.pushes[n-1].Time.Time) >= trust.CadenceSpan
}
