package api

import (
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
)

// digestAnswer is what a shortened digest can stand for.
type digestAnswer struct {
	Repository string          `json:"repository"`
	Digests    []digest.Digest `json:"digests"`
	More       bool            `json:"more,omitempty"`
}

// maxDigests is how many digests that begin alike are shown: enough to see that more digits are wanted.
const maxDigests = 10

// digests answers GET /api/v1/digests.
func (a *API) digests(c *call) (any, error) {
	q := c.query()
	repo, prefix := q.needed("repo"), q.needed("prefix")
	if err := q.end(); err != nil {
		return nil, err
	}
	if !registry.ValidPrefix(prefix) {
		return nil, problemf(http.StatusBadRequest, "prefix is %.140q, and should be the beginning of a digest, as sha256:1f0c2a4", prefix)
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	found, err := a.Images.DigestsLike(c.Context(), repo, prefix, maxDigests+1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problemf(http.StatusNotFound, "no image in %s has a digest that begins with %.140s. Of an image that was deleted, give the whole digest", repo, prefix)
	}
	return digestAnswer{repo, found[:min(len(found), maxDigests)], len(found) > maxDigests}, nil
}
