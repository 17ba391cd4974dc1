package registry

import (
	"bytes"
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/storage"
)

// wantDerived wants the rows of what a manifest refers to, and of its subject.
func wantDerived(tx storage.Reader, name, repo string, manifest []byte, m *manifest) error {
	if m.subject != nil {
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

// largeManifests looks into the manifests that are kept as files. Files are read outside of a View.
func (c *checker) largeManifests(ctx context.Context) error {
	for _, p := range c.large {
		if err := c.report(c.largeManifest(ctx, p)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) largeManifest(ctx context.Context, p Place) error {
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
		return wantDerived(tx, name, p.Repository, key, m)
	})
}
