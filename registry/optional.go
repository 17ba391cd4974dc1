package registry

import (
	"bytes"
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A manifest is taken without its foreign layers, what it lists and its subject. When one of them comes, more is known of the manifest,
// as whether it states the right size of it, and no record about the manifest says so. So what was thought of an image remembers
// which of them were here.

// An Optional is something that a manifest names and may lack.
type Optional struct {
	Digest digest.Digest
	Here   bool // the repository has it, as a blob or a manifest
}

// maxOptional bounds what is remembered of one image.
const maxOptional = 64

// OptionalOf returns what some manifests of a repository name and may lack, if it may still come or go: what is not here, and subjects.
// more says that there is more of it.
func (g *Registry) OptionalOf(ctx context.Context, repo string, manifests []digest.Digest) (all []Optional, more bool, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		all, more = nil, false
		for _, d := range manifests {
			if err := readOptional(tx, repo, digestKey(d), &all); err != nil {
				return err
			}
			if more = len(all) > maxOptional; more {
				all = nil
				return nil
			}
		}
		return nil
	})
	return all, more, err
}

// readOptional adds what one manifest names. It stops where that is more than is remembered.
func readOptional(tx storage.Reader, repo string, manifest []byte, all *[]Optional) error {
	subject, err := getOrNil(tx, subjectTable, repoKey(repo, manifest))
	if err == nil && subject != nil {
		err = addOptional(tx, repo, subject, true, all)
	}
	if err != nil {
		return err
	}
	prefix := repoKey(repo, manifest)
	for item, err := range tx.Scan(needsTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if !bytes.Equal(item.Value, optionalRow) {
			continue
		}
		if err := addOptional(tx, repo, item.Key[len(prefix):], false, all); err != nil || len(*all) > maxOptional {
			return err
		}
	}
	return nil
}

// addOptional adds what a manifest names, unless it is here and stays as long as the manifest.
func addOptional(tx storage.Reader, repo string, key []byte, goes bool, all *[]Optional) error {
	here, err := isHere(tx, repo, key)
	if err != nil || here && !goes {
		return err
	}
	d, _, err := cutDigest(key)
	if o := (Optional{d, here}); err == nil && !slices.Contains(*all, o) {
		*all = append(*all, o)
	}
	return err
}

// isHere says whether a repository has a blob or a manifest.
func isHere(tx storage.Reader, repo string, key []byte) (bool, error) {
	for _, table := range []storage.Table{linkTable, manifestTable} {
		if row, err := getOrNil(tx, table, repoKey(repo, key)); err != nil || row != nil {
			return row != nil, err
		}
	}
	return false, nil
}

// areStill says whether all of some optional things are as they were.
func areStill(tx storage.Reader, repo string, all []Optional) (bool, error) {
	for _, o := range all {
		if here, err := isHere(tx, repo, digestKey(o.Digest)); err != nil || here != o.Here {
			return false, err
		}
	}
	return true, nil
}

// awaited says whether a manifest of a repository names a blob that is not there yet.
func awaited(tx storage.Reader, repo string, blob []byte) (bool, error) {
	link, err := getOrNil(tx, linkTable, repoKey(repo, blob))
	if err != nil || link != nil {
		return false, err
	}
	manifest, err := listedBy(tx, repo, blob)
	return manifest != "", err
}
