package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
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

// wholeDigest returns the only digest of an image that begins with a prefix: in a repository, or in all of them where none is named.
func (c *client) wholeDigest(ctx context.Context, repo, prefix string) (digest.Digest, error) {
	query := url.Values{"prefix": {prefix}}
	in := ""
	if repo != "" {
		query.Set("repo", repo)
		in = " in " + repo
	}
	var found struct {
		beginning
		Digests []string `json:"digests"`
	}
	if err := c.get(ctx, "/api/v1/digests", query, &found); err != nil {
		return "", err
	}
	whole, err := found.only(found.Digests, "images"+in+" have digests", prefix)
	return digest.Digest(whole), err
}

// wholeCommit returns the only commit that is longer than a prefix and begins with it, of which an image claims to be built. Where
// there is none, and one that is just that long, it is meant.
func (c *client) wholeCommit(ctx context.Context, prefix string) (string, error) {
	var found struct {
		beginning
		Commits []string `json:"commits"`
	}
	if err := c.get(ctx, "/api/v1/commits", url.Values{"prefix": {prefix}}, &found); err != nil {
		return "", err
	}
	longer := slices.DeleteFunc(slices.Clone(found.Commits), func(commit string) bool { return commit == prefix })
	if len(longer) == 0 && len(found.Commits) > 0 && !found.More {
		return prefix, nil
	}
	return found.only(longer, "images are built from commits", prefix)
}

// beginning is what else is said of what begins with a prefix.
type beginning struct {
	More    bool `json:"more"`
	Partial bool `json:"partial"`
}

// only returns the one value that was found.
func (b beginning) only(values []string, what, prefix string) (string, error) {
	switch {
	case len(values) == 1 && !b.More:
		return values[0], nil
	case len(values) == 0 && b.More:
		return "", usagef("too many %s that begin with %s: give more of it", what, prefix)
	case len(values) == 0 && b.Partial:
		return "", nof("no %s that begin with %s so far: after the update, older images are not looked at yet. Give all of it", what, prefix)
	case len(values) == 0:
		return "", nof("no %s that begin with %s", what, prefix)
	}
	return "", usagef("several %s that begin with %s: give more of it. They are\n%s", what, prefix, strings.Join(values, "\n"))
}

// wholeRevision replaces a revision in a query that looks like the beginning of a commit by the commit. It may be a whole revision,
// as a number of a build is: what finds something as it was given stays.
func wholeRevision(ctx context.Context, cl *client, path string, query url.Values) error {
	given := strings.ToLower(query.Get("revision"))
	if !isHex(given) || len(given) >= wholeCommit {
		return nil
	}
	if found, err := cl.finds(ctx, path, query); err != nil || found {
		return err
	}
	if len(given) < leastCommit {
		return usagef("--revision is %q: give at least %d digits of a commit", given, leastCommit)
	}
	whole, err := cl.wholeCommit(ctx, given)
	if err == nil && whole != given {
		query.Set("revision", whole)
	}
	return err
}

// finds says whether a query of records or images finds anything, from wherever it is to go on.
func (c *client) finds(ctx context.Context, path string, query url.Values) (bool, error) {
	query = maps.Clone(query)
	query.Del("after")
	query.Del("receipts")
	found, err := pages(ctx, c, path, query, 1, func(p struct{ Records, Images []json.RawMessage }) []json.RawMessage {
		return append(p.Records, p.Images...)
	})
	return len(found) > 0, err
}
