package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Anyone who deletes an image ends all its tags with it, also those that it got after they looked. So a client may say which tags
// it has seen, and a page can ask what a deletion would do.

// ifTags names the header of a deletion with the tags that the client has seen, as 1.0,latest: with others than these the image
// stays. It is given, and empty, for an image without a tag.
const ifTags = "Hallmark-If-Tags"

// Deletable is what the deletion of an image would do.
type Deletable struct {
	Tags    []string // that would end with it; at most MaxTags
	TagsCut bool     // it has more
	// Refused is why it would be refused, as a client would be told, or "".
	Refused string
	// ListedBy is a manifest that lists the image, and has to be deleted before, or "".
	ListedBy digest.Digest
	Lists    int // manifests that an index lists; they stay
	// Attached are its referrers, which stay; at most MaxBeside.
	Attached    []Attached
	AttachedCut bool
}

// Deletable says what the deletion of an image would do now. Error: ErrUnknown.
func (g *Registry) Deletable(ctx context.Context, repo string, d digest.Digest) (x Deletable, err error) {
	if _, ok := parseDigest(d.String()); !ok || !validName(repo) {
		return x, errManifestUnknown(d.String())
	}
	var f *found
	err = g.store.View(ctx, func(tx storage.Reader) (err error) {
		x = Deletable{}
		if f, err = readManifest(tx, repo, d.String(), d); err != nil {
			return err
		}
		return g.lookDeletable(tx, repo, f, &x)
	})
	if err != nil {
		return x, err
	}
	// One that is damaged can be deleted all the same; what it lists nobody knows.
	if err := g.loadContent(ctx, f); err != nil {
		if errors.Is(err, ErrUnknown) {
			err = nil
		}
		return x, err
	}
	m, err := parseStored(f.mediaType, f.content)
	if err == nil {
		x.Lists = len(m.children)
	}
	return x, err
}

// lookDeletable reads what a deletion would, and notes what refuses it.
func (g *Registry) lookDeletable(tx storage.Reader, repo string, f *found, x *Deletable) (err error) {
	if x.Tags, err = someTags(tx, repo, f.digest, MaxTags+1); err != nil {
		return err
	}
	if x.TagsCut = len(x.Tags) > MaxTags; x.TagsCut {
		x.Tags = x.Tags[:MaxTags]
	}
	beside := Beside{}
	if err := beside.readAttached(tx, RepoDigest{Repository: repo, Digest: f.digest}); err != nil {
		return err
	}
	x.Attached, x.AttachedCut = beside.Attached, beside.Cut
	if f.rendered {
		return x.refuse(errRendered(f.digest))
	}
	x.ListedBy, err = g.mayDelete(tx, repo, f.digest)
	if err := x.refuse(err); err != nil || x.Refused != "" {
		return err
	}
	for _, tag := range x.Tags {
		if err := x.refuse(g.mayMove(tx, repo, tag)); err != nil || x.Refused != "" {
			return err
		}
	}
	return nil
}

// refuse notes the answer that a client would get. Errors that are none are returned.
func (x *Deletable) refuse(err error) error {
	var f *failure
	if errors.As(err, &f) {
		x.Refused = f.message
		return nil
	}
	return err
}

// wantTags is an error where a deletion names other tags than the manifest has. It names up to provenance.MaxTags.
func (d *deletion) wantTags(tx storage.Reader) error {
	given := d.r.Header.Values(ifTags)
	if len(given) == 0 {
		return nil
	}
	var want []string
	for tag := range strings.SplitSeq(strings.Join(given, ","), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			want = append(want, tag)
		}
	}
	if len(want) > provenance.MaxTags {
		return newFailure(http.StatusBadRequest, "TAG_INVALID", "%s names %d tags, and may name %d", ifTags, len(want), provenance.MaxTags)
	}
	slices.Sort(want)
	has, err := someTags(tx, d.repo, d.digest, len(want)+1)
	if err != nil || slices.Equal(has, slices.Compact(want)) {
		return err
	}
	return newFailure(http.StatusPreconditionFailed, "DENIED", "the image has other tags by now than %s names: look again", ifTags)
}
