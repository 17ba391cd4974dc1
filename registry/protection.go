package registry

import (
	"context"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Protection is what keeps a tag whatever rules of retention say.
type Protection struct {
	Fixed string          // a sentence about the rule that keeps the tag as it is, or ""
	Held  provenance.Time // until when its image is held; zero where it is not
}

// Protections returns what keeps some tags of a repository, in their order: it reads a row for each, and nothing else of the repository. A hold that
// has passed at a time does not count.
func (g *Registry) Protections(ctx context.Context, repo string, tags []TagEntry, now time.Time) (all []Protection, err error) {
	keys := make([][]byte, len(tags))
	for i, t := range tags {
		keys[i] = repoKey(repo, digestKey(t.Digest))
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		all = make([]Protection, len(tags))
		rows, err := tx.GetMany(heldTable, keys)
		if err != nil {
			return err
		}
		for i, value := range rows {
			if all[i].Fixed, err = g.gate.Fixed(tx, repo, tags[i].Name); err != nil {
				return err
			}
			if value == nil {
				continue
			}
			row, err := decodeHeldRow(value)
			if err != nil {
				return err
			}
			if until := row.end(); until.After(now) {
				all[i].Held = until
			}
		}
		return nil
	})
	return all, err
}
