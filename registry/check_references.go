package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/storage"
)

// wantDerived wants the rows of what a manifest refers to, and of its subject, which lists it as it says itself.
func wantDerived(tx storage.Reader, name, repo string, is ocispec.Descriptor, m *manifest) error {
	manifest := digestKey(is.Digest)
	if m.subject != nil {
		listed, err := getOrNil(tx, referrerTable, repoKey(repo, digestKey(m.subject.Digest), manifest))
		if err == nil && listed != nil { // else it is reported with its subject
			err = wantListed(name, listed, is, m.annotations)
		}
		if err != nil {
			return err
		}
		row, err := getOrNil(tx, subjectTable, repoKey(repo, manifest))
		if err != nil {
			return err
		}
		if !bytes.Equal(row, digestKey(m.subject.Digest)) {
			return damaged("%s has a subject, and no row says so", name)
		}
	}
	for _, r := range m.references() {
		row, err := getOrNil(tx, needsTable, repoKey(repo, manifest, digestKey(r.digest)))
		if err != nil {
			return err
		}
		if row == nil || !bytes.Equal(row, r.row()) {
			return damaged("%s refers to %s, and no row says so", name, r.digest)
		}
	}
	return nil
}

// wantListed wants a row of the list of referrers to say of a manifest what it is. older are the annotations that an older
// version listed.
func wantListed(name string, value []byte, is ocispec.Descriptor, older map[string]string) error {
	row, err := decodeReferrerRow(value)
	if err != nil {
		return err
	}
	var says ocispec.Descriptor
	if err := json.Unmarshal(row.descriptor, &says); err != nil {
		return damaged("%s is listed as a referrer with what is no descriptor: %w", name, err)
	}
	if !maps.Equal(says.Annotations, is.Annotations) && !maps.Equal(says.Annotations, older) {
		return damaged("%s is listed as a referrer with the annotations %q, and has %q", name, says.Annotations, is.Annotations)
	}
	for _, part := range [][3]string{
		{"the type", says.ArtifactType, is.ArtifactType},
		{"the type", row.artifactType, is.ArtifactType},
		{"the media type", says.MediaType, is.MediaType},
		{"the digest", says.Digest.String(), is.Digest.String()},
		{"the size", fmt.Sprint(says.Size), fmt.Sprint(is.Size)},
	} {
		if part[1] != part[2] {
			return damaged("%s is listed as a referrer with %s %s, and has %s", name, part[0], part[1], part[2])
		}
	}
	return nil
}

// largeManifests looks into the manifests that are kept as files. Files are read outside of a View.
func (c *checker) largeManifests(ctx context.Context) error {
	for _, p := range c.large {
		if err := c.report(c.largeManifest(ctx, p)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) largeManifest(ctx context.Context, p RepoDigest) error {
	d, body, err := c.g.Manifest(ctx, p.Repository, p.Digest.String())
	if errors.Is(err, ErrUnknown) {
		return nil // it is gone, or its file is lost, which the check of the files tells
	}
	if err != nil {
		return err
	}
	name, key := p.Repository+"@"+p.Digest.String(), digestKey(p.Digest)
	m, err := parseStored(d.MediaType, body)
	if err != nil || digestOf(body, p.Digest) != p.Digest {
		return damaged("%s: its bytes are not those of its digest", name)
	}
	return c.g.store.View(ctx, func(tx storage.Reader) error {
		for _, table := range []storage.Table{manifestTable, incompleteTable} {
			there, err := getOrNil(tx, table, repoKey(p.Repository, key))
			if err != nil || (there == nil) == (table == manifestTable) {
				return err // it is gone meanwhile, or waits for its rows
			}
		}
		return wantDerived(tx, name, p.Repository, m.listed(p.Digest, int64(len(body))), m)
	})
}
