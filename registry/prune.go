package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A rule removes what it evaluated before, from many short Views. So the transaction of each removal looks again: whether what goes is as
// it was evaluated, whether anything keeps it by now, and whether others have changed the repository so that the evaluation may be
// another.

// A Pruning is a removal by a rule of retention: of a tag, or of a manifest that has none.
type Pruning struct {
	Repository string
	Tag        string // or "": the manifest
	Digest     digest.Digest
	Record     uint64 // that set the tag, or put the manifest there
	Reason     provenance.RuleReason
	// Newest is the newest record of the repository that the evaluation knows of.
	Newest uint64
	// Strict: any record of others since then asks for another evaluation. Else only those do that removed something: what is pushed
	// lets no other tag stay that went.
	Strict bool
}

// A SkipError is why something is not removed.
type SkipError struct{ Why string }

func (e *SkipError) Error() string { return e.Why }

func skip(format string, args ...any) error { return &SkipError{fmt.Sprintf(format, args...)} }

// ErrEvaluateAgain says that others have changed the repository since it was evaluated.
var ErrEvaluateAgain = errors.New("the repository has changed since it was evaluated")

// maxOthers bounds the records of others that one removal looks at.
const maxOthers = 100

// Newest returns the newest record of a repository. Error: provenance.ErrNoRecord.
func (g *Registry) Newest(ctx context.Context, repo string) (index uint64, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		index, err = provenance.Newest(tx, repo)
		return err
	})
	return index, err
}

// Prune removes something by a rule. others says that others have changed the repository since it was evaluated, and that this removal
// holds all the same. Errors: SkipError, ErrEvaluateAgain.
func (g *Registry) Prune(ctx context.Context, who provenance.Identity, p Pruning) (r *provenance.Record, others bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, "/v2/", nil) // that nobody sent: it has no headers and no address
	if err != nil {
		return nil, false, err
	}
	c := &call{who: who, r: request, reason: &p.Reason}
	c.repo, c.right, c.ref, c.digest = p.Repository, access.Delete, p.Digest.String(), p.Digest
	remove, look := g.deleteDigest, p.lookAtManifest
	if p.Tag != "" {
		c.ref, c.digest = p.Tag, ""
		remove, look = g.deleteTag, p.lookAtTag
	}
	c.check = func(tx storage.Reader) error {
		if err := look(tx); err != nil {
			return err
		}
		others, err = p.changed(tx)
		return err
	}
	r, err = remove(ctx, c)
	var refused *failure
	if errors.As(err, &refused) {
		err = skip("%s", refused.message)
	}
	return r, others, err
}

// lookAtTag wants a tag to mean what it did, and its image not to be held. Whether it is immutable is asked by its removal.
func (p *Pruning) lookAtTag(tx storage.Reader) error {
	tag, err := readTag(tx, p.Repository, p.Tag)
	switch {
	case errors.Is(err, ErrUnknown):
		return skip("it is not there any more")
	case err != nil:
		return err
	case tag.digest != p.Digest || tag.record != p.Record:
		return skip("it was set again by record %d", tag.record)
	}
	return p.mustNotBeHeld(tx)
}

// lookAtManifest wants a manifest to be the one that was evaluated, without a tag, and not held. Whether another lists it is asked by its
// removal.
func (p *Pruning) lookAtManifest(tx storage.Reader) error {
	f, err := readManifest(tx, p.Repository, p.Digest.String(), p.Digest)
	switch {
	case errors.Is(err, ErrUnknown):
		return skip("it is not there any more")
	case err != nil:
		return err
	case f.rendered || f.record != p.Record:
		return skip("it came again with record %d", f.record)
	}
	tags, err := someTags(tx, p.Repository, p.Digest, 1)
	if err != nil {
		return err
	}
	if len(tags) > 0 {
		return skip("it has the tag %s", tags[0])
	}
	return p.mustNotBeHeld(tx)
}

func (p *Pruning) mustNotBeHeld(tx storage.Reader) error {
	until, err := heldAt(tx, p.Repository, digestKey(p.Digest), time.Now())
	if err != nil || until.IsZero() {
		return err
	}
	return skip("it is held until %s", until)
}

// changed says whether others have changed the repository since it was evaluated. Error: ErrEvaluateAgain.
func (p *Pruning) changed(tx storage.Reader) (others bool, err error) {
	newest, err := provenance.Newest(tx, p.Repository)
	if err != nil || newest == p.Newest {
		return false, err
	}
	if p.Strict {
		return true, ErrEvaluateAgain
	}
	for range maxOthers {
		r, err := provenance.ReadStated(tx, newest)
		if err != nil {
			return true, err
		}
		switch r.Action {
		case provenance.Push, provenance.Tag, provenance.HoldChange, provenance.Attest, provenance.Undelete, provenance.Purge:
		default:
			return true, ErrEvaluateAgain
		}
		if r.Before == nil || *r.Before <= p.Newest {
			return true, nil
		}
		newest = *r.Before
	}
	return true, ErrEvaluateAgain
}
