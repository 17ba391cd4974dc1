package policy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
)

// Lists show the grades of reports that are kept. Pulls keep those that rules read. Those that people read are made for what
// each of them may see, so one that holds for everybody is made in the background, by one worker, when no pull needs its slot.

// The bounds of what is kept because somebody read a report.
const (
	maxWanted = 64        // images that wait for the worker; more are dropped, and wanted again when somebody asks again
	maxTried  = 1024      // images of which it is remembered that a report was made
	tryAgain  = time.Hour // where nothing of the image has changed, and no report is kept for all that
)

// wanted are images of which a report should be kept.
type wanted struct {
	mu     sync.Mutex            // guards images
	images []registry.RepoDigest // each once
	some   chan struct{}         // holds one where there may be images
}

func newWanted() *wanted { return &wanted{some: make(chan struct{}, 1)} }

func (w *wanted) add(p registry.RepoDigest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.images) == maxWanted || slices.Contains(w.images, p) {
		return
	}
	w.images = append(w.images, p)
	select {
	case w.some <- struct{}{}:
	default:
	}
}

func (w *wanted) take() (p registry.RepoDigest, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.images) == 0 {
		return p, false
	}
	p, w.images = w.images[0], w.images[1:]
	return p, true
}

// tried is an attempt to keep a report: whatever came of it, the next one waits until something has changed, or some time.
type tried struct {
	listing
	until time.Time
}

// KeepReport has a report of an image made and kept beside it, by KeepReports, unless one is kept. It does not wait, and
// promises nothing: the image may be gone by then, or pulls may need the time.
func (e *Engine) KeepReport(repo string, d digest.Digest) {
	e.wanted.add(registry.RepoDigest{Repository: repo, Digest: d})
}

// KeepReports keeps the reports that KeepReport is asked for, until ctx ends.
func (e *Engine) KeepReports(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wanted.some:
			e.KeepWanted(ctx)
		}
	}
}

// KeepWanted keeps the reports that KeepReport was asked for until now.
func (e *Engine) KeepWanted(ctx context.Context) {
	for ctx.Err() == nil {
		p, ok := e.wanted.take()
		if !ok {
			return
		}
		if err := e.keepReport(ctx, p); err != nil && ctx.Err() == nil && !errors.Is(err, registry.ErrUnknown) {
			e.c.Log.Warn("a report was not kept", "repository", p.Repository, "digest", p.Digest, "err", err)
		}
	}
}

// keepReport makes a report of an image and keeps it, unless one is kept, or was tried to be. Of a document none is made.
func (e *Engine) keepReport(ctx context.Context, p registry.RepoDigest) error {
	ctx, cancel := context.WithTimeout(ctx, decideTime)
	defer cancel()
	read, err := e.c.Registry.Reading(ctx, p.Repository, p.Digest)
	if err != nil {
		return err
	}
	c, err := e.stored(read)
	if err != nil || c.kept != nil || c.about.Document {
		return err
	}
	now, err := e.listing(ctx, c, e.c.Inspect())
	if before, ok := e.tried.Get(p); err != nil || ok && before.listing == now && e.now().Before(before.until) {
		return err
	}
	select {
	case e.reporting <- struct{}{}:
		defer func() { <-e.reporting }()
	default:
		return nil // pulls come first
	}
	e.tried.Add(p, tried{now, e.now().Add(tryAgain)})
	if err := errors.Join(e.listCarriers(ctx, c), e.findOptional(ctx, c)); err != nil {
		return err
	}
	_, err = e.makeReport(ctx, c, e.inspectInSlot, e.c.Registry.Keep)
	return err
}
