package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// digestAnswer is what a shortened digest can stand for.
type digestAnswer struct {
	Repository string          `json:"repository,omitempty"` // where it was looked for, if not everywhere
	Digests    []digest.Digest `json:"digests"`
	More       bool            `json:"more,omitempty"`
	Partial    bool            `json:"partial,omitempty"` // older images are not looked at yet
}

// commitAnswer is what a shortened commit can stand for.
type commitAnswer struct {
	Commits []string `json:"commits"`
	More    bool     `json:"more,omitempty"`
	Partial bool     `json:"partial,omitempty"` // older images are not looked at yet
}

// maxDigests is how many digests or commits that begin alike are shown: enough to see that more digits are wanted.
const maxDigests = 10

// digests answers GET /api/v1/digests.
func (a *API) digests(c *call) (any, error) {
	q := c.query()
	repo, prefix := q.text("repo"), q.needed("prefix")
	if err := q.end(); err != nil {
		return nil, err
	}
	if !registry.ValidPrefix(prefix) {
		return nil, problemf(http.StatusBadRequest, "prefix is %.140q, and should be the beginning of a digest, as sha256:1f0c2a4", prefix)
	}
	if repo == "" {
		return a.allDigests(c, prefix)
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
	return digestAnswer{Repository: repo, Digests: found[:min(len(found), maxDigests)], More: len(found) > maxDigests}, nil
}

// allDigests looks in all repositories that the caller may pull from, also for images that were deleted. Nothing found is no
// error: what is hidden and what is not there look alike.
func (a *API) allDigests(c *call, prefix string) (any, error) {
	if err := c.narrows(); err != nil {
		return nil, err
	}
	if _, digits, _ := strings.Cut(prefix, ":"); len(digits) < provenance.MinDigest {
		return nil, problemf(http.StatusBadRequest, "prefix is %.140q: without a repository, give at least %d digits", prefix, provenance.MinDigest)
	}
	page, err := a.like(c.Context(), c, prefix, maxDigests)
	if err != nil {
		return nil, err
	}
	answer := digestAnswer{Digests: []digest.Digest{}, More: page.Next != "", Partial: page.Behind > 0}
	for _, d := range page.Values {
		answer.Digests = append(answer.Digests, digest.Digest(d))
	}
	return answer, nil
}

// commits answers GET /api/v1/commits.
func (a *API) commits(c *call) (any, error) {
	q := c.query()
	prefix := strings.ToLower(q.needed("prefix"))
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	if len(prefix) < provenance.MinCommit || len(prefix) > maxCommit || !isHex(prefix) {
		return nil, problemf(http.StatusBadRequest, "prefix is %.70q, and should be %d to %d hexadecimal digits, as a commit begins", prefix, provenance.MinCommit, maxCommit)
	}
	page, err := a.like(c.Context(), c, prefix, maxDigests)
	return commitAnswer{Commits: append([]string{}, page.Values...), More: page.Next != "", Partial: page.Behind > 0}, err
}

// maxCommit is how many digits a commit has at most.
const maxCommit = 64

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// like returns the first digests or commits that the caller may know of and that begin so.
func (a *API) like(ctx context.Context, c *call, prefix string, limit int) (provenance.LikePage, error) {
	return a.Origins.Like(ctx, provenance.LikeQuery{Prefix: prefix, Visible: a.mayPull(c), Limit: limit})
}
