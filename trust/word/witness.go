package word

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// WantsWitnesses says whether there is a registry whose word would count in a repository, and of which a quorum of witnesses is demanded.
func (t *Trust) WantsWitnesses(repository string) bool {
	return t.find(func(r *Registry) bool {
		return r.policy != nil && slices.ContainsFunc(r.maps, func(m Mapping) bool { return m.here.Matches(repository) })
	}) != nil
}

// Witness proves a good word anew, by the newest checkpoint of its log that a quorum of witnesses has cosigned. Its registry is asked for
// that, and for what leads there; nothing that it answers is believed. why says what is missing; then the word is as it was.
//
// Where that checkpoint's tree is another than the one that proved the word, its registry has shown two histories. Then what is returned
// says nothing, and carries the proof: held against the record of the word, [Trust.Fork] finds the contradiction.
func (t *Trust) Witness(ctx context.Context, w provenance.Word, src follow.Source) (proved provenance.Word, why string) {
	proved, err := t.witness(ctx, w, src)
	if err != nil {
		return w, err.Error()
	}
	return proved, ""
}

func (t *Trust) witness(ctx context.Context, w provenance.Word, src follow.Source) (provenance.Word, error) {
	c, ok := w.Shows()
	r := t.find(func(r *Registry) bool { return r.name == w.Registry })
	if !ok || r == nil || r.log(c.Origin) == nil || r.policy == nil {
		return w, errors.New("no witness is wanted for it")
	}
	fixed, err := c.Subtrees(w.Included())
	if err != nil {
		return w, err
	}
	remote, err := follow.NewRemote(src, r.log(c.Origin).VKey)
	if err != nil {
		return w, err
	}
	signed, now, err := r.newestCosigned(ctx, remote, *r.log(c.Origin))
	if err != nil {
		return w, err
	}
	in, err := r.included(ctx, remote, now, w.Included(), fixed)
	if err != nil {
		return w, err
	}
	if in.Leaf != w.Included().Leaf || in.Entry != *w.Entry {
		w.Said, w.Leaf = nil, &in.Leaf
	}
	w.Checkpoint, w.Entry, w.Proof = signed, &in.Entry, in.Proof
	return w, nil
}

// included proves the leaf of a word in the tree of another checkpoint, or the first that is another one there of what the word's own
// proof fixes.
func (r *Registry) included(ctx context.Context, remote *follow.Remote, now checkpoint.Checkpoint, own checkpoint.Inclusion, fixed map[checkpoint.Subtree]tlog.Hash) (in checkpoint.Inclusion, err error) {
	leaf, differs, err := remote.Differs(ctx, now, fixed)
	if err != nil {
		return in, err
	}
	if !differs {
		leaf = own.Leaf
	}
	if leaf >= now.Size {
		return in, fmt.Errorf("a quorum of witnesses has cosigned %d leaves of the log %s of the registry %s so far, and the record is leaf %d: import again once they have seen it",
			now.Size, now.Origin, r.name, leaf)
	}
	return remote.Included(ctx, now, leaf)
}

// newestCosigned fetches the newest checkpoint that a quorum has cosigned: that which any witness has, or else that of each, as some come
// more often than others.
func (r *Registry) newestCosigned(ctx context.Context, remote *follow.Remote, l receipt.LogEntry) (signed string, c checkpoint.Checkpoint, err error) {
	if v, err := note.NewVerifier(l.VKey); err != nil || !r.policy.Knows(v) {
		return "", c, fmt.Errorf("the witness policy of the registry %s does not name its log %s", r.name, l.Origin)
	}
	signed, _, err = remote.Cosigned(ctx, r.policy.Witnesses)
	if err != nil {
		return "", c, fmt.Errorf("the registry %s does not give a cosigned checkpoint: %w", r.name, err)
	}
	if c, err = remote.Open(signed); err != nil {
		return "", c, err
	}
	if _, is := r.quorum(signed, c); !is {
		signed, c = r.cosignedBefore(ctx, remote)
	}
	switch {
	case signed == "":
		return "", c, fmt.Errorf("no checkpoint of the log %s of the registry %s has the cosignatures that are wanted: import again once its witnesses have come", l.Origin, r.name)
	case len(signed) > maxProof:
		return "", c, fmt.Errorf("the cosigned checkpoint of the registry %s is longer than is kept here", r.name)
	}
	return signed, c, nil
}

// cosignedBefore fetches the largest of those that one witness cosigned last and a quorum with it, or "".
func (r *Registry) cosignedBefore(ctx context.Context, remote *follow.Remote) (signed string, c checkpoint.Checkpoint) {
	for _, w := range r.policy.Witnesses {
		one, _, err := remote.CosignedBy(ctx, w)
		if err != nil {
			continue // that witness has not come yet
		}
		of, err := remote.Open(one)
		if _, is := r.quorum(one, of); err == nil && is && (signed == "" || of.Size > c.Size) {
			signed, c = one, of
		}
	}
	return signed, c
}

// quorum returns which of the registry's witnesses cosigned a checkpoint, and whether they are a quorum. A wrong cosignature of one of
// them spoils all.
func (r *Registry) quorum(signed string, c checkpoint.Checkpoint) (by []follow.Cosignature, is bool) {
	by, err := follow.Cosignatures(signed, c, r.policy.Witnesses)
	has := func(v note.Verifier) bool {
		return slices.ContainsFunc(by, func(s follow.Cosignature) bool { return s.By(v) })
	}
	return by, err == nil && r.policy.Satisfied(has)
}

// Recall is a word that wants witnesses, with the proof of a record here that was made when they had been asked for: the artifact never
// changes, so it carries none. It is given back as it was where that proof does not make it count.
func (t *Trust) Recall(now provenance.WeighedWord, before *provenance.Word, repository string) provenance.WeighedWord {
	if now.Standing.Reason != provenance.NotCosigned || before == nil || before.Result != provenance.Good || before.Entry == nil || now.Entry == nil ||
		before.Evidence.Digest != now.Evidence.Digest || before.Included().Leaf != now.Included().Leaf || *before.Entry != *now.Entry {
		return now
	}
	w := now.Word
	w.Checkpoint, w.Proof = before.Checkpoint, before.Proof
	c, ok := w.Shows()
	if !ok {
		return now
	}
	if _, err := c.Subtrees(w.Included()); err != nil {
		return now
	}
	if weighed := t.Weigh(w, repository); weighed.Standing.Reason != provenance.NotCosigned {
		return weighed
	}
	return now
}
