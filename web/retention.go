package web

import (
	"net/url"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// keepRule is a rule of retention that names a repository.
type keepRule struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"` // that it covers; empty is all
	Keep []string `json:"keep"` // what lets a tag stay, a condition each
}

// retention is what becomes of tags and images by rules, for those who may push to the repository.
type retention struct {
	Rules    []keepRule `json:"rules"`
	Untagged string     `json:"untagged"` // how long what has no tag stays; "" is for ever
	Approved bool       `json:"approved"` // a schedule may apply them
}

func (pg *page) retention(repo string) (r retention, err error) {
	_, err = pg.optional("/api/v1/retention/rules", url.Values{"repo": {repo}}, &r)
	return r, err
}

// held are the images of a repository that are held, with until when: the first thousand.
func (pg *page) held(repo string) (map[digest.Digest]provenance.Time, error) {
	var found struct {
		Holds []struct {
			Digest digest.Digest   `json:"digest"`
			Until  provenance.Time `json:"until"`
		} `json:"holds"`
	}
	if _, err := pg.optional("/api/v1/holds", url.Values{"repo": {repo}, "limit": {"1000"}}, &found); err != nil {
		return nil, err
	}
	until := map[digest.Digest]provenance.Time{}
	for _, h := range found.Holds {
		until[h.Digest] = h.Until
	}
	return until, nil
}
