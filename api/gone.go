package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// orGone is why an image is not there: where it was, it names the record that removed it. The caller may pull from the
// repository.
func (a *API) orGone(ctx context.Context, repo, ref string, err error) error {
	if !isOne(err, registry.ErrUnknown) {
		return err
	}
	r, findErr := a.removal(ctx, repo, ref)
	if findErr != nil {
		return findErr
	}
	if r == nil {
		return err
	}
	names, err := a.namesakes(ctx, []provenance.Actor{r.Actor})
	if err != nil {
		return err
	}
	back, err := a.comesBack(ctx, repo, r)
	if err != nil {
		return err
	}
	return problemf(http.StatusNotFound, "there is no %.140s in this repository any more: record %d, by %s%s at %s, removed it; "+
		"its records stay (hallmark records --repo %s)%s", ref, r.Index, r.Actor.Known(), names.Account(r.Actor), r.Time, repo, back)
}

// comesBack says until when an image can be brought back that a record removed, or nothing.
func (a *API) comesBack(ctx context.Context, repo string, r *provenance.Record) (string, error) {
	kept, err := a.Trash.InTrash(ctx, repo, r.Digest)
	if err != nil || kept == nil || kept.Record != r.Index || r.Observed.KeptUntil == nil {
		return "", err
	}
	return fmt.Sprintf("; until %s it can be brought back (hallmark undelete %s@%s)", r.Observed.KeptUntil, repo, r.Digest), nil
}

// removal is the newest record that removed a tag or a manifest, or nil.
func (a *API) removal(ctx context.Context, repo, ref string) (*provenance.Record, error) {
	if d, err := digest.Parse(ref); err == nil {
		page, err := a.Records.Find(ctx, provenance.Query{Repository: repo, Digest: d, Action: provenance.Delete, Descending: true, Limit: 1})
		if err != nil || len(page.Records) == 0 {
			return nil, err
		}
		return page.Records[0], nil
	}
	moves, _, err := a.Records.History(ctx, repo, ref, nil, 1)
	if err != nil || len(moves) == 0 || moves[0].To != "" {
		return nil, err
	}
	return moves[0].Record, nil
}
