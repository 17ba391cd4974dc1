package registry

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Who deletes an image seldom wants to keep its signatures. So a deletion may take along what belongs to the image: what is attached to it,
// by subject or by a tag of signing tools, and of an index the platforms that nothing else keeps; and what belongs to these.
//
// A plain DELETE takes only what it names. With the header of along it takes all of that, if that is what the client has seen, in one
// transaction with a record each: there is no moment, and no crash, after which a part of it is there.

// along names the header of a deletion that takes along what belongs to the image. Its value is Deletable.AlongID.
const along = "Hallmark-Along"

// maxFamily bounds the manifests that one transaction deletes.
const maxFamily = 100

// A Belonging is a manifest that goes along with an image.
type Belonging struct {
	Digest       digest.Digest
	MediaType    string
	ArtifactType string   // of what is attached by its subject
	Tags         []string // that end with it; at most MaxTags
	To           digest.Digest
	Lists        bool // To lists it; else it is attached to that
}

// family is an image with what belongs to it.
type family struct {
	g    *Registry
	tx   storage.Reader
	repo string
	in   map[string]bool // DIGESTs
	all  []Belonging     // the image first
}

// familyOf finds what goes along with an image. Error: a failure, where that is too much, or held.
func (g *Registry) familyOf(tx storage.Reader, repo string, d digest.Digest) (*family, error) {
	f := &family{g: g, tx: tx, repo: repo, in: make(map[string]bool)}
	if err := f.add(Belonging{Digest: d}); err != nil {
		return nil, err
	}
	for before := 0; before < len(f.all); { // what was kept by something may not be, once that goes
		before = len(f.all)
		for i := 0; i < len(f.all); i++ {
			if err := errors.Join(f.attached(f.all[i].Digest), f.tagged(f.all[i].Digest), f.listed(f.all[i].Digest)); err != nil {
				return nil, err
			}
		}
	}
	return f, f.mayGo()
}

// id names what goes along, for a client to say what it has seen.
func (f *family) id() digest.Digest {
	var names []string
	for _, b := range f.all[1:] {
		names = append(names, b.Digest.String()+" "+strings.Join(b.Tags, ","))
	}
	slices.Sort(names)
	return digest.FromString(strings.Join(names, "\n"))
}

// add adds a manifest that is here.
func (f *family) add(b Belonging) error {
	key := digestKey(b.Digest)
	value, err := getOrNil(f.tx, manifestTable, repoKey(f.repo, key))
	if err != nil || value == nil || f.in[string(key)] {
		return err
	}
	if len(f.all) > maxFamily {
		return errDenied("more than %d manifests belong to it: delete some of them first, or it alone (hallmark delete --only)", maxFamily)
	}
	row, err := decodeManifestRow(value)
	if err != nil {
		return err
	}
	b.MediaType = row.mediaType
	if b.Tags, err = someTags(f.tx, f.repo, b.Digest, MaxTags); err != nil {
		return err
	}
	f.in[string(key)] = true
	f.all = append(f.all, b)
	return nil
}

// attached adds what has a manifest as its subject, but for the registry's own record of it, which is none of the repository's.
func (f *family) attached(d digest.Digest) error {
	prefix := repoKey(f.repo, digestKey(d))
	for item, err := range f.tx.Scan(referrerTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		other, _, err := cutDigest(item.Key[len(prefix):])
		if err != nil {
			return err
		}
		row, err := decodeReferrerRow(item.Value)
		if err != nil {
			return err
		}
		if err := f.add(Belonging{Digest: other, ArtifactType: row.artifactType, To: d}); err != nil {
			return err
		}
	}
	return nil
}

// tagged adds what signing tools have put under tags that are made from a manifest's digest, unless it has other tags, or is listed by
// something that stays.
func (f *family) tagged(d digest.Digest) error {
	for _, tag := range append(tagsAbout(d), fallbackTag(d)) {
		value, err := getOrNil(f.tx, tagTable, repoKey(f.repo, []byte(tag)))
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		row, err := decodeTagRow(value)
		if err != nil {
			return err
		}
		free, err := f.isFree(row.digest)
		if err == nil && free && tag == fallbackTag(d) {
			free, err = f.listsOnlyThese(row.digest)
		}
		if err == nil && free {
			err = f.add(Belonging{Digest: row.digest, To: d})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listed adds what a manifest lists that nothing else keeps: no tag, no index, no hold.
func (f *family) listed(d digest.Digest) error {
	prefix := repoKey(f.repo, digestKey(d))
	for item, err := range f.tx.Scan(needsTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		key := item.Key[len(prefix):]
		there, err := getOrNil(f.tx, manifestTable, repoKey(f.repo, key))
		if err != nil {
			return err
		}
		if there == nil || f.in[string(key)] {
			continue
		}
		other, _, err := cutDigest(key)
		if err != nil {
			return err
		}
		free, err := f.isFree(other)
		if err != nil {
			return err
		}
		until, err := heldAt(f.tx, f.repo, key, f.g.machine())
		if err == nil && free && until.IsZero() {
			err = f.add(Belonging{Digest: other, To: d, Lists: true})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isFree says whether a manifest has no tags but those that are made from the digest of what goes, and nothing that stays lists it.
func (f *family) isFree(d digest.Digest) (bool, error) {
	tags, err := someTags(f.tx, f.repo, d, MaxTags)
	if err != nil || len(tags) == MaxTags {
		return false, err
	}
	for _, tag := range tags {
		if about := tagIsAbout(tag); about == "" || !f.in[string(digestKey(about))] {
			if !slices.ContainsFunc(f.all, func(b Belonging) bool { return fallbackTag(b.Digest) == tag }) {
				return false, nil
			}
		}
	}
	prefix := repoKey(f.repo, digestKey(d))
	for item, err := range f.tx.Scan(neededTable, prefix, storage.PrefixEnd(prefix)) {
		if by := item.Key; err != nil || !f.in[string(by[len(prefix):])] && !bytes.Equal(by[len(prefix):], digestKey(d)) {
			return false, err
		}
	}
	return true, nil
}

// listsOnlyThese says whether a manifest lists none that stays: then it is the list of referrers that an older client keeps.
func (f *family) listsOnlyThese(d digest.Digest) (bool, error) {
	prefix := repoKey(f.repo, digestKey(d))
	for item, err := range f.tx.Scan(needsTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return false, err
		}
		key := item.Key[len(prefix):]
		there, err := getOrNil(f.tx, manifestTable, repoKey(f.repo, key))
		if err != nil || there != nil && !f.in[string(key)] {
			return false, err
		}
	}
	return true, nil
}

// keys are the DIGESTs of all that goes.
func (f *family) keys() (keys [][]byte) {
	for _, b := range f.all {
		keys = append(keys, digestKey(b.Digest))
	}
	return keys
}

// mayGo refuses what goes along and is held, or listed by something that stays. Of the image itself that is for who names it.
func (f *family) mayGo() error {
	all := f.keys()
	for i, b := range f.all {
		if i == 0 {
			continue
		}
		until, err := heldAt(f.tx, f.repo, all[i], f.g.machine())
		if err == nil && !until.IsZero() {
			err = errDenied("it is held until %s", until)
		}
		if err == nil {
			_, err = f.g.mayDelete(f.tx, f.repo, b.Digest, all...)
		}
		if err != nil {
			return errAlong(b.Digest, err)
		}
	}
	return nil
}

// errAlong is why an image stays of which something has to stay that would go along.
func errAlong(d digest.Digest, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	refused := newFailure(f.status, f.code, "with it would go %.19s…: %s", d, f.message)
	refused.header = f.header
	return refused
}

// familyDeletion is the deletion of an image with all that belongs to it.
type familyDeletion struct {
	*call
	looked    map[digest.Digest]checked // of those that have many tags
	unchecked digest.Digest             // whose tags are to be looked at; set in the transaction
	all       []*deletion               // set in the transaction
}

// deleteFamily deletes an image with all that belongs to it, and returns the record of the image.
func (g *Registry) deleteFamily(ctx context.Context, c *call) (record *provenance.Record, err error) {
	if c.digest == "" {
		return nil, newFailure(http.StatusBadRequest, "DIGEST_INVALID", "%s is of an image: name it by its digest", along)
	}
	f := &familyDeletion{call: c, looked: make(map[digest.Digest]checked)}
	err = g.beginFamily(ctx, f)
	for look := 0; errors.Is(err, errUnchecked) && look < maxLooks+maxFamily; look++ {
		if f.looked[f.unchecked], err = g.checkTags(ctx, c.repo, f.unchecked); err == nil {
			err = g.beginFamily(ctx, f)
		}
	}
	if errors.Is(err, errUnchecked) {
		err = errBusy("the tags of %s change faster than they can be looked at; try again", f.unchecked)
	}
	if err != nil {
		return nil, err
	}
	for _, d := range f.all {
		g.changed(d.about)
		if d.rest {
			g.endByRequest(ctx, d.call)
		}
		if d.digest == c.digest {
			record = d.record
		}
	}
	return record, nil
}

// beginFamily commits the deletions. Error: errUnchecked.
//
// If we stop after it and rows are left, the next start removes them.
func (g *Registry) beginFamily(ctx context.Context, f *familyDeletion) error {
	return g.update(ctx, f.call, noReads, func(tx storage.Tx) error {
		f.all = nil
		image, err := readManifest(tx, f.repo, f.ref, f.digest)
		if err != nil {
			return err
		}
		if image.rendered {
			return errRendered(f.digest)
		}
		all, err := g.familyOf(tx, f.repo, f.digest)
		if err != nil {
			return err
		}
		if all.id().String() != f.r.Header.Get(along) {
			return newFailure(http.StatusPreconditionFailed, "DENIED", "something else belongs to the image by now than %s names: look again", along)
		}
		keys := all.keys()
		for _, b := range all.all {
			if err := g.deleteOne(tx, f, b.Digest, keys); err != nil {
				return err
			}
		}
		return nil
	})
}

func (g *Registry) deleteOne(tx storage.Tx, f *familyDeletion, d digest.Digest, with [][]byte) error {
	c := *f.call
	c.digest, c.ref = d, d.String()
	one := &deletion{call: &c, checked: f.looked[d], along: d != f.digest, with: with}
	err := g.deleteIn(tx, one)
	switch {
	case errors.Is(err, errUnchecked):
		f.unchecked = d
	case err != nil && one.along:
		return errAlong(d, err)
	}
	f.all = append(f.all, one)
	return err
}
