package api

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// failures remembers what failed while a report was made. A report says of what it cannot read that it is not known, and why:
// that is right for an image of another registry. Here, a store that fails is no fact about the image, and its words are for
// the log.
type failures struct {
	mu  sync.Mutex
	err error // guarded by mu: the first
}

// see looks at an error on its way into a report. That something is not here, or too large to be read, are facts.
func (f *failures) see(err error) error {
	large := new(registry.TooLargeError)
	if err == nil || isOne(err, registry.ErrUnknown) || errors.As(err, &large) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	return err
}

// seen returns the first failure, or nil.
func (f *failures) seen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// seenContent is content whose failures are seen.
type seenContent struct {
	Content
	*failures
}

// Manifest implements Content.
func (s seenContent) Manifest(ctx context.Context, repo, ref string) (ocispec.Descriptor, []byte, error) {
	d, body, err := s.Content.Manifest(ctx, repo, ref)
	return d, body, s.see(err)
}

// BlobInto implements Content. Without room a report reads no further, which is no failure.
func (s seenContent) BlobInto(ctx context.Context, repo string, d digest.Digest, most int64, room func(n int) ([]byte, error)) ([]byte, error) {
	var full error
	body, err := s.Content.BlobInto(ctx, repo, d, most, func(n int) (b []byte, err error) {
		b, full = room(n)
		return b, full
	})
	if full != nil {
		return body, full
	}
	return body, s.see(err)
}

// Measure implements Content.
func (s seenContent) Measure(ctx context.Context, repo string, d digest.Digest) (int64, []provenance.WrongSize, error) {
	size, wrong, err := s.Content.Measure(ctx, repo, d)
	return size, wrong, s.see(err)
}

// ReferrersOf implements Content.
func (s seenContent) ReferrersOf(ctx context.Context, repo string, d digest.Digest, n int) ([]ocispec.Descriptor, error) {
	found, err := s.Content.ReferrersOf(ctx, repo, d, n)
	return found, s.see(err)
}

// Fixed implements Content.
func (s seenContent) Fixed(ctx context.Context, repo, tag string) (string, error) {
	rule, err := s.Content.Fixed(ctx, repo, tag)
	return rule, s.see(err)
}

// seenRecords are records whose failures are seen.
type seenRecords struct {
	visibleRecords
	*failures
}

// Find implements image.Records.
func (s seenRecords) Find(ctx context.Context, q provenance.Query) (provenance.Page, error) {
	page, err := s.visibleRecords.Find(ctx, q)
	return page, s.see(err)
}

// Acts implements image.Records.
func (s seenRecords) Acts(ctx context.Context, q provenance.ActsOf) (provenance.Acts, error) {
	acts, err := s.visibleRecords.Acts(ctx, q)
	return acts, s.see(err)
}

// History implements image.Histories.
func (s seenRecords) History(ctx context.Context, repo, tag string, after *uint64, limit int) ([]provenance.Move, *uint64, error) {
	moves, next, err := s.visibleRecords.History(ctx, repo, tag, after, limit)
	return moves, next, s.see(err)
}

// Holds implements word.Holds.
func (s seenRecords) Holds(ctx context.Context, origin string, index uint64, payload []byte) (ours, held bool, err error) {
	ours, held, err = s.testimonies.Holds(ctx, origin, index, payload)
	return ours, held, s.see(err)
}
