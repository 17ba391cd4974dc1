package registry

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// trash wants a manifest in the trash to be gone for readers, deleted by its record, and to hold everything that it takes
// to bring it back.
func (c *checker) trash(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	t, err := decodeTrashRow(item.Value)
	if err != nil {
		return err
	}
	name := repo + "@" + d.String()
	there, err := getOrNil(tx, manifestTable, item.Key)
	if err == nil && there != nil {
		err = damaged("%s is there, and in the trash too", name)
	}
	if err != nil {
		return err
	}
	return errors.Join(
		want(tx, trashEndTable, trashEndKey(t.end, repo, key), "%s is in the trash, and never leaves it", name),
		wantDeletion(tx, repo, d, t.record),
		c.trashed(tx, name, RepoDigest{repo, d}, t),
	)
}

// wantDeletion wants a record to say that a manifest was deleted, and is kept for a time.
func wantDeletion(tx storage.Reader, repo string, d digest.Digest, index uint64) error {
	r, err := provenance.ReadRecord(tx, index)
	if errors.Is(err, provenance.ErrNoRecord) {
		return damaged("%s@%s is in the trash since record %d: %w", repo, d, index, err)
	}
	if err == nil && (r.Action != provenance.Delete || r.Repository != repo || r.Digest != d || r.Observed.KeptUntil == nil) {
		return damaged("%s@%s is in the trash since record %d, which does not say so", repo, d, index)
	}
	return err
}

// trashed wants the bytes of a manifest in the trash, and holds for all that it names unless its deletion is under way.
func (c *checker) trashed(tx storage.Reader, name string, p RepoDigest, t trashRow) error {
	row, err := decodeManifestRow(t.manifest)
	if err != nil {
		return damaged("%s in the trash: %w", name, err)
	}
	key := digestKey(p.Digest)
	going, err := isGoing(tx, p.Repository, key)
	if err != nil || going {
		return err
	}
	if len(row.content) == 0 {
		return want(tx, trashHoldTable, repoKey(p.Repository, key, key), "%s in the trash has no content", name)
	}
	m, err := parseStored(row.mediaType, row.content)
	if err != nil || digestOf(row.content, p.Digest) != p.Digest {
		return damaged("%s in the trash: its bytes are not those of its digest", name)
	}
	for _, r := range m.references() {
		if err := want(tx, trashHoldTable, repoKey(p.Repository, key, digestKey(r.digest)), "%s in the trash refers to %s, which the trash does not hold", name, r.digest); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) trashEnd(_ context.Context, tx storage.Reader, item storage.Item) error {
	end, p, err := cutTrashEnd(item.Key)
	if err != nil {
		return err
	}
	t, err := readTrash(tx, p.Repository, digestKey(p.Digest))
	if err == nil && (t == nil || t.end != end) {
		err = damaged("%s@%s is said to leave the trash, and is not in it until then", p.Repository, p.Digest)
	}
	return err
}

// inTrash wants a manifest to be in the trash, or on its way out of it.
func inTrash(tx storage.Reader, repo string, manifest []byte, format string, args ...any) error {
	t, err := readTrash(tx, repo, manifest)
	if err != nil || t != nil {
		return err
	}
	return want(tx, leavingTable, repoKey(repo, manifest), format, args...)
}

func (c *checker) trashTag(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, rest := cutRepo(item.Key)
	d, tag, err := cutDigest(rest)
	if err != nil {
		return err
	}
	if err := inTrash(tx, repo, digestKey(d), "%s@%s is not in the trash, and the tag %s is", repo, d, tag); err != nil {
		return err
	}
	f := fields{rest: item.Value}
	index := f.number()
	if err := f.err("trash tag"); err != nil {
		return err
	}
	r, err := provenance.ReadRecord(tx, index)
	if err == nil && (r.Repository != repo || r.Digest != d || !slices.Contains(namesOf(r.Tags), string(tag))) {
		err = damaged("%s@%s in the trash is said to have lost the tag %s with record %d, which does not say so", repo, d, tag, index)
	}
	return err
}

func (c *checker) trashHold(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, manifest, named, err := cutPair(item.Key)
	if err != nil {
		return err
	}
	other, err := getOrNil(tx, trashHeldTable, repoKey(repo, digestKey(named), digestKey(manifest)))
	if err != nil {
		return err
	}
	if len(item.Value) != 1 || !bytes.Equal(other, item.Value) {
		return damaged("%s@%s in the trash holds %s, and the reverse row does not say so", repo, manifest, named)
	}
	if err := inTrash(tx, repo, digestKey(manifest), "%s@%s is not in the trash, and holds %s", repo, manifest, named); err != nil {
		return err
	}
	leaving, err := getOrNil(tx, leavingTable, repoKey(repo, digestKey(manifest)))
	if err != nil || leaving != nil || item.Value[0]&holdNeeds == 0 {
		return err
	}
	return wantBlobIn(tx, repo, manifest, named)
}

// wantBlobIn wants what a manifest in the trash needs to be in its repository, seen or hidden.
func wantBlobIn(tx storage.Reader, repo string, manifest, named digest.Digest) error {
	key := repoKey(repo, digestKey(named))
	link, err := getOrNil(tx, linkTable, key)
	if err != nil || link != nil {
		return err
	}
	return want(tx, hiddenTable, key, "%s@%s in the trash needs %s, which is not in its repository", repo, manifest, named)
}

func (c *checker) trashHeld(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, named, manifest, err := cutPair(item.Key)
	if err != nil {
		return err
	}
	return want(tx, trashHoldTable, repoKey(repo, digestKey(manifest), digestKey(named)), "%s@%s is said to be held by %s in the trash, and is not", repo, named, manifest)
}

func (c *checker) hidden(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	if _, err := decodeLinkRow(item.Value); err != nil {
		return err
	}
	link, err := getOrNil(tx, linkTable, item.Key)
	if err == nil && link != nil {
		err = damaged("%s is in repository %s, and hidden there too", d, repo)
	}
	if err != nil {
		return err
	}
	held, err := anyRow(tx, trashHeldTable, item.Key)
	if err == nil && !held {
		err = damaged("%s is hidden in repository %s, and nothing in the trash holds it", d, repo)
	}
	return errors.Join(err,
		want(tx, blobTable, key, "%s is hidden in repository %s, and there is no such blob", d, repo),
		want(tx, hiddenInTable, append(bytes.Clone(key), repo...), "%s is hidden in repository %s, and the reverse row is missing", d, repo),
	)
}

func (c *checker) hiddenIn(_ context.Context, tx storage.Reader, item storage.Item) error {
	d, repo, err := cutDigest(item.Key)
	if err != nil {
		return err
	}
	return want(tx, hiddenTable, repoKey(string(repo), digestKey(d)), "%s is said to be hidden in repository %s, and is not", d, repo)
}

// sumLooks is how often the trash is counted while it changes, before that is left to another check.
const sumLooks = 5

// trashSum wants what is counted of the trash to be what is in it. Who counts sees many moments; so what changes meanwhile
// is counted again.
func (c *checker) trashSum(ctx context.Context) error {
	for range sumLooks {
		said, err := c.g.Trashed(ctx)
		if err != nil {
			return c.report(err)
		}
		counted, err := c.countTrash(ctx)
		if err != nil || counted == said {
			return c.report(err)
		}
		again, err := c.g.Trashed(ctx)
		if err != nil {
			return c.report(err)
		}
		if again == said {
			c.bad(wrongSum(counted, said))
			return nil
		}
	}
	return nil
}

func wrongSum(counted, said Trashed) error {
	if counted.Manifests == said.Manifests && counted.Bytes == said.Bytes {
		return damaged("the manifests in the trash have %d bytes; they are said to have %d", counted.ManifestBytes, said.ManifestBytes)
	}
	return damaged("the trash has %d manifests and %d bytes that nothing else needs; it is said to have %d and %d", counted.Manifests, counted.Bytes, said.Manifests, said.Bytes)
}

// countTrash counts what is in the trash.
func (c *checker) countTrash(ctx context.Context) (t Trashed, err error) {
	err = storage.EachRow(ctx, c.g.store, trashTable, func(_ storage.Reader, item storage.Item) error {
		row, err := decodeTrashRow(item.Value)
		if err != nil { // reported with the row
			return nil
		}
		one := row.counts()
		t.Manifests, t.ManifestBytes = t.Manifests+one.Manifests, t.ManifestBytes+one.ManifestBytes
		return nil
	})
	if err != nil {
		return t, err
	}
	var last digest.Digest
	err = storage.EachRow(ctx, c.g.store, hiddenInTable, func(tx storage.Reader, item storage.Item) error {
		d, _, err := cutDigest(item.Key)
		if err != nil || d == last {
			return err
		}
		last = d
		linked, err := anyRow(tx, linkedTable, digestKey(d))
		if err != nil || linked {
			return err
		}
		row, err := readBlobRow(tx, d)
		if errors.Is(err, storage.ErrNotFound) { // reported with the row
			return nil
		}
		t.Bytes += row.size
		return err
	})
	return t, err
}
