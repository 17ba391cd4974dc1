package registry

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// provenance wants an image's provenance to be what its record gives, listed and found.
func (c *checker) provenance(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	image, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	row, err := decodeProvenanceRow(item.Value)
	if err != nil {
		return err
	}
	name := repo + "@" + image.String()
	if err := want(tx, manifestTable, item.Key, "%s has provenance, and is not there", name); err != nil {
		return err
	}
	out, err := renderRow(tx, row)
	if errors.Is(err, provenance.ErrNoRecord) {
		return damaged("the provenance of %s is record %d, which is not there", name, row.record)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(out.row().encode(), row.encode()) {
		return damaged("the provenance of %s is not what record %d gives", name, row.record)
	}
	for _, part := range row.parts() {
		if err := wantRendered(tx, repo, part, key, name); err != nil {
			return err
		}
	}
	return want(tx, referrerTable, repoKey(repo, key, row.manifest), "the provenance of %s is not among its referrers", name)
}

// wantRendered wants a part of an image's provenance to be found by its digest.
func wantRendered(tx storage.Reader, repo string, part, subject []byte, name string) error {
	older, err := getOrNil(tx, renderedTable, repoKey(repo, part))
	if err != nil || bytes.Equal(older, subject) {
		return err
	}
	return want(tx, renderedTable, repoKey(repo, part, subject), "the provenance of %s is not found by its digest", name)
}

// rendered wants what is found by a digest to be an image's provenance.
func (c *checker) rendered(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, rest, err := cutDigest(key)
	if err != nil {
		return err
	}
	part := key[:len(key)-len(rest)]
	value, err := tx.Get(provenanceTable, repoKey(repo, renderedSubject(item, len(item.Key)-len(rest))))
	if errors.Is(err, storage.ErrNotFound) {
		return damaged("%s@%s is said to be an image's provenance, and the image has none", repo, d)
	}
	if err != nil {
		return err
	}
	row, err := decodeProvenanceRow(value)
	if err == nil && !slices.ContainsFunc(row.parts(), func(one []byte) bool { return bytes.Equal(one, part) }) {
		return damaged("%s@%s is said to be an image's provenance, which is another", repo, d)
	}
	return err
}
