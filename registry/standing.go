package registry

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Place is a digest in a repository.
type Place struct {
	Repository string
	Digest     digest.Digest
}

// A Standing says whether a manifest is in its place now, and which tags mean it; at most MaxTags of them.
type Standing struct {
	Present bool
	Tags    []string
}

// Standings returns how each place stands, all at the same moment.
func (g *Registry) Standings(ctx context.Context, places []Place) (standings []Standing, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		standings = make([]Standing, len(places))
		for i, p := range places {
			_, err := tx.Get(manifestTable, repoKey(p.Repository, digestKey(p.Digest)))
			if errors.Is(err, storage.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			standings[i].Present = true
			if standings[i].Tags, err = tagsOf(tx, p.Repository, p.Digest); err != nil {
				return err
			}
		}
		return nil
	})
	return standings, err
}
