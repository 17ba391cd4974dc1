package registry

import (
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// fallbackTag is the tag under which clients of registries without referrers list what refers to a digest (OCI
// distribution specification 1.1, "Referrers Tag Schema").
func fallbackTag(subject digest.Digest) string {
	hash := subject.Encoded()
	return subject.Algorithm().String() + "-" + hash[:min(64, len(hash))]
}

// fallbackOf returns the DIGEST of the index in which an older client lists a manifest that has a subject, or
// nil: see fallbackList.
func (g *Registry) fallbackOf(tx storage.Reader, repo string, manifest []byte) ([]byte, error) {
	key, err := getOrNil(tx, subjectTable, repoKey(repo, manifest))
	if err != nil || key == nil {
		return nil, err
	}
	subject, _, err := cutDigest(key)
	if err != nil {
		return nil, err
	}
	return g.fallbackList(tx, repo, subject)
}

// fallbackList returns the DIGEST of the index in which an older client lists the referrers of a subject, or nil. It is
// that list and nothing else when it has no other tag, none that a rule keeps, and nothing lists it; then a manifest in
// it may be deleted, as clients do that have the referrers API and no longer keep the list.
func (g *Registry) fallbackList(tx storage.Reader, repo string, subject digest.Digest) ([]byte, error) {
	name := fallbackTag(subject)
	tag, err := readTag(tx, repo, name)
	if errors.Is(err, ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tags, err := someTags(tx, repo, tag.digest, 2)
	if err != nil || len(tags) > 1 {
		return nil, err
	}
	if rule, err := g.gate.Fixed(tx, repo, name); err != nil || rule != "" {
		return nil, err
	}
	list := digestKey(tag.digest)
	if by, err := listedBy(tx, repo, list); err != nil || by != "" {
		return nil, err
	}
	return list, nil
}

// BesideName is what the tags that tools make from a digest begin with, up to a dot or their end: see IsBeside.
func BesideName(d digest.Digest) string { return fallbackTag(d) }
