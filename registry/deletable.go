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
	// Attached are its referrers, which stay if only the image is deleted; at most MaxBeside.
	Attached    []Attached
	AttachedCut bool

	// Along goes with it, where the client says so by AlongID (Hallmark-Along). AlongRefused is why that would be refused, or "".
	Along        []Belonging
	AlongID      digest.Digest
	AlongRefused string
}

// Deletable says what the deletion of an image would do now. Error: ErrUnknown.
func (g *Registry) Deletable(ctx context.Context, repo string, d digest.Digest) (x Deletable, err error) {
	if _, ok := parseDigest(d.String()); !ok || !validName(repo) {
		return x, errManifestUnknown(repo, d.String())
	}
	var f *found
	err = g.store.View(ctx, func(tx storage.Reader) (err error) {
		x = Deletable{}
		if f, err = readManifest(tx, repo, d.String(), d); err != nil {
			return err
		}
		return errors.Join(g.lookDeletable(tx, repo, f, &x), g.lookAlong(tx, repo, f, &x))
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

// DeletableTag says what a tag means that would be deleted alone, and why that would be refused, or "". Error: ErrUnknown.
func (g *Registry) DeletableTag(ctx context.Context, repo, tag string) (means digest.Digest, refused string, err error) {
	if !validName(repo) || !validTag(tag) {
		return "", "", errManifestUnknown(repo, tag)
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		row, err := liveTag(tx, repo, tag)
		if err != nil {
			return err
		}
		means = row.digest
		refused, err = refusal(g.mayMove(tx, repo, tag))
		return err
	})
	return means, refused, err
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
	if err := x.refuse(g.mustNotMirror(repo)); err != nil || x.Refused != "" {
		return err
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

// lookAlong reads what would go along, and notes what refuses that.
func (g *Registry) lookAlong(tx storage.Reader, repo string, f *found, x *Deletable) error {
	if f.rendered {
		return nil
	}
	all, err := g.familyOf(tx, repo, f.digest)
	if err == nil {
		x.Along, x.AlongID = all.all[1:], all.id()
		if err = g.mustNotMirror(repo); err == nil {
			err = g.tagsMayGo(tx, repo, x.Along)
		}
	}
	x.AlongRefused, err = refusal(err)
	return err
}

// tagsMayGo wants none of the tags of what goes along to be immutable.
func (g *Registry) tagsMayGo(tx storage.Reader, repo string, all []Belonging) error {
	for _, b := range all {
		for _, tag := range b.Tags {
			if err := g.mayMove(tx, repo, tag); err != nil {
				return errAlong(b.Digest, err)
			}
		}
	}
	return nil
}

// refuse notes the answer that a client would get. Errors that are none are returned.
func (x *Deletable) refuse(err error) error {
	says, err := refusal(err)
	if says != "" {
		x.Refused = says
	}
	return err
}

func refusal(err error) (says string, left error) {
	var f *failure
	if errors.As(err, &f) {
		return f.message, nil
	}
	return "", err
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
