package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A repository may be a mirror: it has what another registry has, and takes nothing from anybody else, so that whoever pulls from it
// knows where its images are from.

// Mirrors knows which repositories are mirrors. It is safe for concurrent use; what it says may change with its rules.
type Mirrors interface {
	// MirrorOf says in a few words what a repository is a mirror of, as "docker.io, by the rule hub"; or "".
	MirrorOf(repo string) string
	// Through names the registries through which the images of a repository came, this one first; none where that is not known.
	Through(ctx context.Context, repo string) ([]string, error)
}

// ThroughHeader is the header of a list of tags that says what Mirrors.Through does, with spaces between.
const ThroughHeader = "Hallmark-Through"

// sayThrough tells another registry, which may be about to mirror this one, what it would bring.
func (g *Registry) sayThrough(w http.ResponseWriter, c *call) error {
	if g.mirrors == nil {
		return nil
	}
	names, err := g.mirrors.Through(c.r.Context(), c.repo)
	if len(names) > 0 {
		w.Header().Set(ThroughHeader, strings.Join(names, " "))
	}
	return err
}

// SetMirrors sets who is asked. It is called before the registry serves.
func (g *Registry) SetMirrors(m Mirrors) { g.mirrors = m }

// MirrorOf says what a repository is a mirror of, or "".
func (g *Registry) MirrorOf(repo string) string {
	if g.mirrors == nil {
		return ""
	}
	return g.mirrors.MirrorOf(repo)
}

// mayEnter refuses what would change a mirror, but for what its rule, or one of retention, does. A request that was let in before a rule
// came into force comes to its end.
func (g *Registry) mayEnter(c *call) error {
	if c.right == access.Pull || c.reason != nil {
		return nil
	}
	return g.mustNotMirror(c.repo)
}

func (g *Registry) mustNotMirror(repo string) error {
	if of := g.MirrorOf(repo); of != "" {
		return errDenied("%.60s is a mirror of %s: it takes only what comes from there", repo, of)
	}
	return nil
}

// ByRule returns an Importer that acts for a rule of mirrors, as its records say, in the name of the same.
func (i *Importer) ByRule(name string) *Importer {
	by := *i
	by.reason = &provenance.RuleReason{Rule: name}
	return &by
}

// ImporterOf returns one for somebody who sent no request for it, as a schedule.
func (g *Registry) ImporterOf(who provenance.Identity) *Importer {
	return g.Importer(who, &http.Request{Method: http.MethodPut, Header: http.Header{}})
}

// ValidName says that something is the name of a repository.
func ValidName(name string) bool { return validName(name) }

// TagsBeside are the tags under which signing tools, and clients of registries without referrers, keep what is about a digest.
func TagsBeside(d digest.Digest) []string { return append(tagsAbout(d), fallbackTag(d)) }

// Unfollow removes a tag that a mirror's upstream does not have any more; and, where image is set and no other tag means it, its image
// with all that belongs to it. Error: SkipError.
//
// If we stop between the two, the image stays without a tag, as one does whose rule says so: retention removes it.
func (i *Importer) Unfollow(ctx context.Context, repo string, t TagEntry, image bool) error {
	p := &Pruning{Repository: repo, Tag: t.Name, Digest: t.Digest, Record: t.Record}
	c := &call{request: request{repo: repo, right: access.Delete, ref: t.Name}, who: i.who, r: i.r.Clone(ctx), reason: i.reason, check: p.lookAtTag}
	if _, err := i.g.deleteTag(ctx, c); err != nil || !image {
		return skipped(err)
	}
	belongs, err := i.g.Deletable(ctx, repo, t.Digest)
	if err != nil || len(belongs.Tags) > 0 {
		return err
	}
	c = &call{request: request{repo: repo, right: access.Delete, ref: t.Digest.String(), digest: t.Digest}, who: i.who, r: i.r.Clone(ctx), reason: i.reason}
	c.r.Header.Set(along, belongs.AlongID.String())
	c.check = func(tx storage.Reader) error {
		tags, err := someTags(tx, repo, t.Digest, 1)
		if err == nil && len(tags) > 0 {
			err = skip("its image has the tag %s by now", tags[0])
		}
		return errors.Join(err, p.mustNotBeHeld(tx))
	}
	_, err = i.g.deleteFamily(ctx, c)
	return skipped(err)
}

// skipped is what is refused, as a SkipError.
func skipped(err error) error {
	var refused *failure
	if errors.As(err, &refused) {
		return skip("%s", refused.message)
	}
	return err
}
