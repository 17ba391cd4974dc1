package registry

import (
	"context"

	"github.com/seed-260924e6/hallmark/storage"
)

// mayMove is an error where a rule keeps a tag that is set as it is. It is asked in the transaction that
// would move or remove the tag, or remove what it means: a rule that was committed before counts, and who
// may do what does not matter, because a rule is of use only when nobody is above it. An administrator can
// take the rule away, which is on record.
func (g *Registry) mayMove(tx storage.Reader, repo, tag string) error {
	rule, err := g.gate.Fixed(tx, repo, tag)
	if err == nil && rule != "" {
		return errDenied("tag %.60s is immutable here (%.80s): use another tag, or ask an administrator", tag, rule)
	}
	return err
}

// mayRetype is an error where a push would change the media type of a manifest, which its bytes do not state, and a rule keeps one
// of its tags, or another manifest lists it. What a tag means, or an index lists, would be served as something else.
func (g *Registry) mayRetype(tx storage.Reader, p *push, before []byte) error {
	row, err := decodeManifestRow(before)
	if err != nil || row.mediaType == p.manifest.mediaType {
		return err
	}
	if _, _, err := g.freeTags(tx, p.repo, p.digest, p.checked); err != nil {
		return err
	}
	if err := mustBeComplete(tx, p.repo); err != nil {
		return err
	}
	key := digestKey(p.digest)
	by, err := listedBy(tx, p.repo, key, key)
	if err != nil || by == "" {
		return err
	}
	return errDenied("the manifest %s lists this one, which is %.80q: push it as that, or delete that manifest first", by, row.mediaType)
}

// Fixed returns a sentence about the rule that keeps a tag as it is, or "".
func (g *Registry) Fixed(ctx context.Context, repo, tag string) (rule string, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		rule, err = g.gate.Fixed(tx, repo, tag)
		return err
	})
	return rule, err
}
