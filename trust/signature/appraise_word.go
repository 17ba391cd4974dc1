package signature

import (
	"context"
	"errors"
	"maps"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/follow"
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
	if w, err = a.forked(ctx, t.Words(), w); err != nil {
		return nil, err
	}
	known, err := a.knows(ctx, to, &w)
	if err != nil || known {
		return nil, err
	}
	return []provenance.Finding{{Word: &w}}, nil
}

// forked holds a word against those that are on record here.
func (a *Appraiser) forked(ctx context.Context, t *word.Trust, w provenance.Word) (provenance.Word, error) {
	kept, err := a.records.Kept(ctx, &w)
	if err != nil {
		return w, err
	}
	w = t.Fork(w, kept)
	if w.Reason == provenance.LogForked && a.learn(&w) {
		a.changed()
	}
	return w, nil
}

// knows says whether the newest record about this artifact found the same.
func (a *Appraiser) knows(ctx context.Context, to registry.Attachment, w *provenance.Word) (bool, error) {
	before, err := a.before(ctx, to, w)
	return len(before) > 0 && before[0].Result == w.Result && before[0].Reason == w.Reason && before[0].Registry == w.Registry, err
}

// before is what records here have found of an artifact, the newest first.
func (a *Appraiser) before(ctx context.Context, to registry.Attachment, w *provenance.Word) (words []*provenance.Word, err error) {
	page, err := a.records.Find(ctx, provenance.Query{
		Repository: to.Repository, Digest: to.Subject, Action: provenance.Attest, Descending: true, Limit: maxBefore,
	})
	for _, r := range page.Records {
		if r.Word != nil && r.Word.Evidence.Digest == w.Evidence.Digest {
			words = append(words, r.Word)
		}
	}
	return words, err
}

// WantsProof implements registry.Prover.
func (a *Appraiser) WantsProof(repository string) bool {
	return a.Trust().Words().WantsWitnesses(repository)
}

// Prove implements registry.Prover: what comes with an image has no cosignatures, so a word of which a quorum of witnesses is demanded
// has to be proved by a checkpoint that its registry gives.
func (a *Appraiser) Prove(ctx context.Context, to registry.Attachment, src registry.Published) (found []provenance.Finding, why string, err error) {
	t := a.Trust().Words()
	of, err := readWord(ctx, to)
	if err != nil {
		return nil, "", err
	}
	w, err := t.Look(ctx, of, a.records.Holds)
	if err != nil {
		return nil, "", err
	}
	before, err := a.before(ctx, to, &w)
	if err != nil {
		return nil, "", err
	}
	weighed := t.Weigh(w, to.Repository)
	for _, b := range before {
		weighed = t.Recall(weighed, b, to.Repository)
	}
	if weighed.Standing.Reason != provenance.NotCosigned {
		return nil, "", nil
	}
	if w, why = t.Witness(ctx, w, follow.Source(src)); why != "" {
		return nil, why, ctx.Err()
	}
	if w, err = a.forked(ctx, t, w); err != nil {
		return nil, "", err
	}
	if w.Said == nil && w.Result == provenance.Good {
		return nil, "its registry shows another history than the one that proved it, and no record here shows that to others", nil
	}
	return []provenance.Finding{{Word: &w}}, "", nil
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
