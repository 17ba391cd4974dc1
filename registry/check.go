package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Checked counts what a check looked at.
type Checked struct {
	Repositories, Manifests, Tags, Blobs int
	Bytes                                int64 // of blobs that were read
}

// Check compares tables, records and files with each other, and reports to bad what does not fit. With
// deep it also reads every blob and hashes it. It may run while the registry serves: what looks wrong is
// looked at once more before it is reported.
func (g *Registry) Check(ctx context.Context, deep bool, bad func(error)) (Checked, error) {
	c := &checker{g: g, bad: bad, deep: deep}
	steps := []struct {
		table storage.Table
		row   func(context.Context, storage.Reader, storage.Item) error
		count *int
	}{
		{repositoryTable, c.repository, &c.Repositories},
		{manifestTable, c.manifest, &c.Manifests},
		{tagTable, c.tag, &c.Tags},
		{taggedTable, c.tagged, nil},
		{goingTable, c.going, nil},
		{needsTable, c.needs, nil},
		{neededTable, c.needed, nil},
		{referrerTable, c.referrer, nil},
		{subjectTable, c.subject, nil},
		{provenanceTable, c.provenance, nil},
		{renderedTable, c.rendered, nil},
		{layersTable, c.layersRow, nil},
		{diffsTable, c.diffsRow, nil},
		{knownTable, c.ofManifest, nil},
		{wordTable, c.wordRow, nil},
		{keptTable, c.kept, nil},
		{linkTable, c.link, nil},
		{smallTable, c.smallRow, nil},
		{linkedTable, c.linked, nil},
		{damagedTable, c.mark, nil},
		{pullTable, c.pull, nil},
		{duePullTable, c.pull, nil},
		{pullStateTable, c.pullState, nil},
		{trashTable, c.trash, nil},
		{trashEndTable, c.trashEnd, nil},
		{trashTagTable, c.trashTag, nil},
		{trashHoldTable, c.trashHold, nil},
		{trashHeldTable, c.trashHeld, nil},
		{hiddenTable, c.hidden, nil},
		{hiddenInTable, c.hiddenIn, nil},
	}
	for _, s := range steps {
		if err := c.table(ctx, s.table, s.row, s.count); err != nil {
			return c.Checked, err
		}
	}
	if err := c.usages(ctx); err != nil {
		return c.Checked, err
	}
	if err := c.quotas(ctx); err != nil {
		return c.Checked, err
	}
	if err := c.trashSum(ctx); err != nil {
		return c.Checked, err
	}
	if err := c.largeManifests(ctx); err != nil {
		return c.Checked, err
	}
	if err := c.blobs(ctx); err != nil {
		return c.Checked, err
	}
	if err := c.files(ctx); err != nil {
		return c.Checked, err
	}
	return c.Checked, c.replay(ctx)
}

type checker struct {
	Checked
	g    *Registry
	bad  func(error)
	deep bool

	large []RepoDigest // manifests that are kept as files
}

// checkStep is how many rows are looked at in one View: a long one would make the store's file grow.
const checkStep = 1000

// table calls row for every row of a table. A row must fit the others of the same View.
func (c *checker) table(ctx context.Context, table storage.Table, row func(context.Context, storage.Reader, storage.Item) error, count *int) error {
	return storage.EachRow(ctx, c.g.store, table, func(tx storage.Reader, item storage.Item) error {
		if count != nil {
			*count++
		}
		return c.report(row(ctx, tx, item))
	})
}

// report hands what is damaged or missing to bad, and returns every other error.
func (c *checker) report(err error) error {
	if errors.Is(err, storage.ErrCorrupt) || errors.Is(err, provenance.ErrNoRecord) || errors.Is(err, provenance.ErrNotSigned) {
		c.bad(err)
		return nil
	}
	return err
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", storage.ErrCorrupt, fmt.Errorf(format, args...))
}

// want reports a row that is not there.
func want(tx storage.Reader, table storage.Table, key []byte, format string, args ...any) error {
	_, err := tx.Get(table, key)
	if errors.Is(err, storage.ErrNotFound) {
		return damaged(format, args...)
	}
	return err
}

func (c *checker) repository(_ context.Context, tx storage.Reader, item storage.Item) error {
	all := repoKey(string(item.Key))
	for manifest, err := range tx.Scan(manifestTable, all, storage.PrefixEnd(all)) {
		if err != nil {
			return err
		}
		row, err := decodeManifestRow(manifest.Value)
		if err != nil {
			return nil //nolint:nilerr // the manifest's own check reports it
		}
		return wantWords(tx, NameEntry{Repository: string(item.Key)}, row.record)
	}
	return damaged("repository %s is listed and has no manifest", item.Key)
}

func (c *checker) manifest(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	row, err := decodeManifestRow(item.Value)
	if err != nil {
		return err
	}
	name := repo + "@" + d.String()
	if err := want(tx, repositoryTable, []byte(repo), "%s is in a repository that is not listed", name); err != nil {
		return err
	}
	if len(row.content) == 0 { // a blob of the same digest holds it, and is checked as one
		c.large = append(c.large, RepoDigest{repo, d})
		return want(tx, needsTable, repoKey(repo, key, key), "%s has no content", name)
	}
	return c.content(tx, name, repo, d, row)
}

func (c *checker) content(tx storage.Reader, name, repo string, d digest.Digest, row manifestRow) error {
	if int64(len(row.content)) != row.size || digestOf(row.content, d) != d {
		return damaged("%s: its bytes are not those of its digest", name)
	}
	m, err := parseStored(row.mediaType, row.content)
	if err != nil {
		return damaged("%s: %w", name, err)
	}
	if chain := m.chain(); chain != nil {
		if err := want(tx, layersTable, layersKey(chain, repo, d), "%s is not found by its layers", name); err != nil {
			return err
		}
	}
	return wantDerived(tx, name, repo, m.listed(d, row.size), m)
}

func (c *checker) tag(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, tag := cutRepo(item.Key)
	row, err := decodeTagRow(item.Value)
	if err != nil {
		return err
	}
	name := repo + ":" + string(tag)
	if err := wantManifest(tx, repo, digestKey(row.digest), "%s means %s, which is not there", name, row.digest); err != nil {
		return err
	}
	return errors.Join(
		want(tx, taggedTable, repoKey(repo, digestKey(row.digest), tag), "%s is not among the tags of %s", name, row.digest),
		wantWords(tx, NameEntry{repo, TagEntry{Name: string(tag)}}, row.record),
	)
}

func (c *checker) tagged(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, rest := cutRepo(item.Key)
	d, tag, err := cutDigest(rest)
	if err != nil {
		return err
	}
	value, err := tx.Get(tagTable, repoKey(repo, tag))
	if err == nil {
		var row tagRow
		if row, err = decodeTagRow(value); err == nil && row.digest == d {
			return nil
		}
	}
	if err == nil || errors.Is(err, storage.ErrNotFound) {
		return damaged("%s@%s is said to have tag %s, and has not", repo, d, tag)
	}
	return err
}

func (c *checker) needs(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, manifest, blob, err := cutPair(item.Key)
	if err != nil {
		return err
	}
	if err := want(tx, neededTable, repoKey(repo, digestKey(blob), digestKey(manifest)), "%s@%s needs %s, and the reverse row is missing", repo, manifest, blob); err != nil {
		return err
	}
	if err := wantManifest(tx, repo, digestKey(manifest), "%s@%s needs a blob, and is not there", repo, manifest); err != nil {
		return err
	}
	if bytes.Equal(item.Value, optionalRow) {
		return nil
	}
	return want(tx, linkTable, repoKey(repo, digestKey(blob)), "%s@%s needs %s, which is not in its repository", repo, manifest, blob)
}

func (c *checker) needed(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, blob, manifest, err := cutPair(item.Key)
	if err != nil {
		return err
	}
	return want(tx, needsTable, repoKey(repo, digestKey(manifest), digestKey(blob)), "%s@%s is said to be needed by %s, and is not", repo, blob, manifest)
}

func (c *checker) referrer(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, subject, manifest, err := cutPair(item.Key)
	if err != nil {
		return err
	}
	name := repo + "@" + manifest.String()
	out, err := findRendered(tx, repo, manifest)
	if err != nil {
		return err
	}
	if out != nil && out.descriptor.Digest == manifest {
		return wantListed(name, item.Value, out.descriptor, nil)
	}
	if err := want(tx, manifestTable, repoKey(repo, digestKey(manifest)), "%s is listed as a referrer, and is not there", name); err != nil {
		return err
	}
	return want(tx, subjectTable, repoKey(repo, digestKey(manifest)), "%s refers to %s, and the reverse row is missing", name, subject)
}

func (c *checker) subject(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	manifest, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	return want(tx, referrerTable, repoKey(repo, item.Value, key), "%s@%s has a subject, and is not among its referrers", repo, manifest)
}

// cutPair reads REPO DIGEST DIGEST.
func cutPair(key []byte) (repo string, first, second digest.Digest, err error) {
	repo, rest := cutRepo(key)
	if first, rest, err = cutDigest(rest); err != nil {
		return "", "", "", err
	}
	second, _, err = cutDigest(rest)
	return repo, first, second, err
}

func (c *checker) link(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	if err := want(tx, blobTable, key, "%s is in repository %s, and there is no such blob", d, repo); err != nil {
		return err
	}
	if err := want(tx, linkedTable, append(bytes.Clone(key), repo...), "%s is in repository %s, and the reverse row is missing", d, repo); err != nil {
		return err
	}
	if err := want(tx, usageTable, []byte(repo), "%s is in repository %s, which is said to use nothing", d, repo); err != nil {
		return err
	}
	return c.lease(tx, repo, d, item.Value)
}

// lease wants that the collector will come to every blob that no manifest needs.
func (c *checker) lease(tx storage.Reader, repo string, d digest.Digest, link []byte) error {
	key := digestKey(d)
	manifest, err := neededBy(tx, repo, key, nil)
	if err != nil || manifest != "" {
		return err
	}
	row, err := decodeLinkRow(link)
	if err != nil {
		return err
	}
	return want(tx, leaseTable, leaseKey(row.lease, repo, key), "%s is in repository %s without need, and its lease never ends", d, repo)
}

func (c *checker) linked(_ context.Context, tx storage.Reader, item storage.Item) error {
	d, repo, err := cutDigest(item.Key)
	if err != nil {
		return err
	}
	return want(tx, linkTable, repoKey(string(repo), digestKey(d)), "%s is said to be in repository %s, and is not", d, repo)
}
