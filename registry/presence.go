package registry

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A RepoDigest names a manifest in a repository, as docker's RepoDigests do: REPOSITORY@DIGEST.
type RepoDigest struct {
	Repository string
	Digest     digest.Digest
}

// A Presence says whether a repository has a manifest now, and which tags mean it; at most MaxTags of them.
type Presence struct {
	Present bool
	Tags    []string
}

// Presences returns the presence of each manifest, all at the same moment.
func (g *Registry) Presences(ctx context.Context, of []RepoDigest) (presences []Presence, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		presences = make([]Presence, len(of))
		for i, p := range of {
			_, err := tx.Get(manifestTable, repoKey(p.Repository, digestKey(p.Digest)))
			if errors.Is(err, storage.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			presences[i].Present = true
			if presences[i].Tags, err = tagsOf(tx, p.Repository, p.Digest); err != nil {
				return err
			}
		}
		return nil
	})
	return presences, err
}
