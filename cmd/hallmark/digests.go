package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
)

// parseDigest reads a digest, or how one begins, which tables show: then the digest is empty and prefix is what was given.
func parseDigest(s string) (d digest.Digest, prefix string, err error) {
	d, err = digest.Parse(s)
	switch {
	case err == nil:
		return d, "", nil
	case registry.ValidPrefix(s):
		return "", s, nil
	}
	return "", "", usagef("%q is no digest, nor how one begins: write sha256: and hexadecimal digits", s)
}

// settle finds the digest that a reference shortens, if it does.
func (r reference) settle(ctx context.Context, cl *client) (reference, error) {
	if r.prefix == "" {
		return r, nil
	}
	d, err := cl.wholeDigest(ctx, r.repository, r.prefix)
	r.digest = d
	return r, err
}

// settleAt is settle for a reference that is looked at without our API. Another registry cannot be asked how a digest goes on.
func (e *env) settleAt(ctx context.Context, t *target, r reference) (reference, error) {
	if r.prefix == "" {
		return r, nil
	}
	at := *t
	r.aim(&at)
	err := e.ask(ctx, &at, func(ctx context.Context, cl *client) (err error) {
		r, err = r.settle(ctx, cl)
		return err
	})
	return r, err
}

// query asks for the image of a reference.
func (r reference) query(ctx context.Context, cl *client) (url.Values, error) {
	r, err := r.settle(ctx, cl)
	return url.Values{"repo": {r.repository}, "ref": {firstOf(r.digest.String(), r.tag, "latest")}}, err
}

// wholeDigest returns the only digest of an image in a repository that begins with a prefix.
func (c *client) wholeDigest(ctx context.Context, repo, prefix string) (digest.Digest, error) {
	var found struct {
		Digests []digest.Digest `json:"digests"`
	}
	if err := c.get(ctx, "/api/v1/digests", url.Values{"repo": {repo}, "prefix": {prefix}}, &found); err != nil {
		return "", err
	}
	if len(found.Digests) != 1 {
		var some []string
		for _, d := range found.Digests {
			some = append(some, d.String())
		}
		return "", usagef("several images in %s have digests that begin with %s: give more of it. They are\n%s", repo, prefix, strings.Join(some, "\n"))
	}
	return found.Digests[0], nil
}
