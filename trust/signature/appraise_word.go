package signature

import (
	"context"
	"errors"
	"maps"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/word"
)

// Records of other registries come as artifacts of their own type. They are no signatures, and are looked at here only because
// one place looks at all that arrives.

// OnFork has something done whenever a log of another registry is found to have forked. Call it before the first Appraise.
func (a *Appraiser) OnFork(changed func()) { a.changed = changed }

// Recall learns from the records which logs of other registries have forked.
func (a *Appraiser) Recall(ctx context.Context) error {
	proofs, err := a.records.Forks(ctx)
	for _, r := range proofs {
		a.learn(r.Word)
	}
	return err
}

// learn notes that a log has forked, and says whether that is new.
func (a *Appraiser) learn(w *provenance.Word) bool {
	c, ok := w.Shows()
	a.forking.Lock()
	defer a.forking.Unlock()
	if _, known := a.forks[c.Origin]; known || !ok || w.Against == nil {
		return false
	}
	forks := map[string]uint64{c.Origin: *w.Against}
	maps.Copy(forks, a.forks)
	a.forks = forks
	a.trust.Store(a.trust.Load().forked(forks))
	return true
}

// appraiseWord finds out whose word an artifact is: another registry's whose word would count in the repository, or our own. Of
// any other there is nothing to record.
func (a *Appraiser) appraiseWord(ctx context.Context, t *Trust, to registry.Attachment) ([]provenance.Finding, error) {
	of, err := readWord(ctx, to)
	if err != nil {
		return nil, err
	}
	w, err := t.Words().Look(ctx, of, a.records.Holds)
	if err != nil || !w.Own && !t.Words().Expects(to.Repository) {
		return nil, err
	}
	kept, err := a.records.Kept(ctx, &w)
	if err != nil {
		return nil, err
	}
	w = t.Words().Fork(w, kept)
	if w.Reason == provenance.LogForked && a.learn(&w) {
		a.changed()
	}
	known, err := a.knows(ctx, to, &w)
	if err != nil || known {
		return nil, err
	}
	return []provenance.Finding{{Word: &w}}, nil
}

// knows says whether the newest record about this artifact found the same.
func (a *Appraiser) knows(ctx context.Context, to registry.Attachment, w *provenance.Word) (bool, error) {
	before, err := a.records.Find(ctx, provenance.Query{
		Repository: to.Repository, Digest: to.Subject, Action: provenance.Attest, Descending: true, Limit: maxBefore,
	})
	i := slices.IndexFunc(before.Records, func(r *provenance.Record) bool {
		return r.Word != nil && r.Word.Evidence.Digest == w.Evidence.Digest
	})
	return i >= 0 && before.Records[i].Word.Result == w.Result && before.Records[i].Word.Reason == w.Reason &&
		before.Records[i].Word.Registry == w.Registry, err
}

// readWord reads the layers of an artifact that are looked at.
func readWord(ctx context.Context, to registry.Attachment) (of word.Artifact, err error) {
	of = word.Artifact{Subject: to.Subject, Manifest: to.Manifest, Annotations: to.Annotations}
	whole := func(n int) ([]byte, error) { return make([]byte, n), nil }
	of.Layers, err = word.ReadLayers(to.Layers, func(d ocispec.Descriptor) ([]byte, string, error) {
		body, err := to.Blob(ctx, d.Digest, word.MaxLayer, whole)
		if large := new(registry.TooLargeError); errors.As(err, &large) {
			return nil, provenance.TooLarge(large.Size, word.MaxLayer), nil
		}
		if err != nil {
			return nil, "", errors.Join(err, ctx.Err())
		}
		return body, "", nil
	})
	return of, err
}
