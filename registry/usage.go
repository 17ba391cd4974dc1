package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// What a repository uses is counted with every change of it, in the same transaction: no request and no quota has to walk a
// repository to know its size. Everything that links or unlinks a blob, puts or removes a manifest, or sets or removes a tag
// tells countUsage. fsck counts the rows, and compares.

// Usage is what a repository, or several, use.
type Usage struct {
	Blobs     int64 `json:"blobs"`     // blobs, in each repository that links them
	BlobBytes int64 `json:"blobBytes"` // bytes of them
	Manifests int64 `json:"manifests"`
	// ManifestBytes are those of manifests in the store. One that is larger than maxInline is a blob, and counted as one.
	ManifestBytes int64 `json:"manifestBytes"`
	Tags          int64 `json:"tags"`
}

// String says it for people.
func (u Usage) String() string {
	return fmt.Sprintf("%d blobs of %d bytes, %d manifests of %d bytes and %d tags", u.Blobs, u.BlobBytes, u.Manifests, u.ManifestBytes, u.Tags)
}

// Bytes are those that count towards a quota.
func (u Usage) Bytes() int64 { return u.BlobBytes + u.ManifestBytes }

// Plus returns the sum of two.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		Blobs: u.Blobs + v.Blobs, BlobBytes: u.BlobBytes + v.BlobBytes,
		Manifests: u.Manifests + v.Manifests, ManifestBytes: u.ManifestBytes + v.ManifestBytes,
		Tags: u.Tags + v.Tags,
	}
}

// usageRow is what a repository uses, and how often that has changed: two equal numbers say that nothing did between.
type usageRow struct {
	changes uint64
	lost    bool // it cannot be read, and is to be counted again: recount.go
	Usage
}

// encode leaves out all but the changes of one that is lost: that cannot be read either.
func (u usageRow) encode() []byte {
	row := binary.AppendUvarint(make([]byte, 0, 32), u.changes)
	if u.lost {
		return row
	}
	for _, n := range []int64{u.Blobs, u.BlobBytes, u.Manifests, u.ManifestBytes, u.Tags} {
		row = binary.AppendVarint(row, n) // signed: a counter that went wrong is to be seen, not to turn round
	}
	return row
}

func decodeUsage(value []byte) (u usageRow) {
	f := fields{rest: value}
	u.changes = f.number()
	for _, n := range []*int64{&u.Blobs, &u.BlobBytes, &u.Manifests, &u.ManifestBytes, &u.Tags} {
		*n = f.signed()
	}
	if f.bad {
		return usageRow{changes: u.changes, lost: true}
	}
	return u
}

// readUsage reads what a repository uses: nothing, where it has no row.
func readUsage(tx storage.Reader, repo string) (u usageRow, err error) {
	value, err := getOrNil(tx, usageTable, []byte(repo))
	if err != nil || value == nil {
		return u, err
	}
	return decodeUsage(value), nil
}

// countUsage counts a change of what a repository uses, in the transaction that makes it. Error: a failure, where a quota has no
// room for it.
func (g *Registry) countUsage(tx storage.Tx, repo string, change Usage) error {
	lost, err := addUsage(tx, repo, change)
	if lost {
		wake(g.uncounted)
	}
	return errors.Join(err, g.countQuotas(tx, repo, change))
}

// addUsage adds a change to what a repository uses, and says whether that cannot be read. A repository that uses nothing has no row.
func addUsage(tx storage.Tx, repo string, change Usage) (lost bool, err error) {
	if change == (Usage{}) {
		return false, nil
	}
	row, err := readUsage(tx, repo)
	if err != nil {
		return false, err
	}
	row.changes++
	if !row.lost {
		row.Usage = row.Plus(change)
	}
	putUsage(tx, repo, row)
	return row.lost, nil
}

func putUsage(tx storage.Tx, repo string, row usageRow) {
	if row.Usage == (Usage{}) && !row.lost {
		tx.Delete(usageTable, []byte(repo))
		return
	}
	tx.Put(usageTable, []byte(repo), row.encode())
}

// countLink counts a blob that is linked.
func (g *Registry) countLink(tx storage.Tx, repo string, d digest.Digest) error {
	used, err := linkUsage(tx, d)
	if err != nil {
		return err
	}
	return g.countUsage(tx, repo, used)
}

// uncountLink counts a blob that is about to be unlinked.
func (g *Registry) uncountLink(tx storage.Tx, repo string, d digest.Digest) error {
	used, err := linkUsage(tx, d)
	if err != nil {
		return err
	}
	return g.countUsage(tx, repo, Usage{}.minus(used))
}

// uncountManifest counts a manifest that is about to be removed, by its key.
func (g *Registry) uncountManifest(tx storage.Tx, repo string, key []byte) error {
	row, err := getOrNil(tx, manifestTable, key)
	if err != nil {
		return err
	}
	used, err := usageOf(row)
	if err != nil {
		return err
	}
	return g.countUsage(tx, repo, Usage{}.minus(used))
}

// linkUsage is what the link of a blob uses.
func linkUsage(tx storage.Reader, d digest.Digest) (Usage, error) {
	row, err := readBlobRow(tx, d)
	return Usage{Blobs: 1, BlobBytes: row.size}, err
}

// usage is what a manifest uses.
func (m manifestRow) usage() Usage {
	return Usage{Manifests: 1, ManifestBytes: int64(len(m.content))}
}

// usageOf is what the manifest of a row uses: nothing, where there is none.
func usageOf(row []byte) (Usage, error) {
	if row == nil {
		return Usage{}, nil
	}
	m, err := decodeManifestRow(row)
	return m.usage(), err
}

// minus returns the difference of two.
func (u Usage) minus(v Usage) Usage {
	return u.Plus(Usage{Blobs: -v.Blobs, BlobBytes: -v.BlobBytes, Manifests: -v.Manifests, ManifestBytes: -v.ManifestBytes, Tags: -v.Tags})
}

// UsageOf returns what some repositories use, in their order: nothing of one that is being counted again.
func (g *Registry) UsageOf(ctx context.Context, repos []string) (used []Usage, err error) {
	keys := make([][]byte, len(repos))
	for i, repo := range repos {
		keys[i] = []byte(repo)
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		used = make([]Usage, len(repos))
		rows, err := tx.GetMany(usageTable, keys)
		for i := range rows {
			if rows[i] == nil {
				continue
			}
			row := decodeUsage(rows[i])
			if row.lost {
				wake(g.uncounted)
			}
			used[i] = row.Usage
		}
		return err
	})
	return used, err
}

// countedTables are those whose rows are counted, with what each row uses.
var countedTables = []struct {
	table storage.Table
	uses  func(tx storage.Reader, key, value []byte) (Usage, error) // key is without REPO
}{
	{linkTable, func(tx storage.Reader, key, _ []byte) (Usage, error) {
		d, _, err := cutDigest(key)
		if err != nil {
			return Usage{}, err
		}
		used, err := linkUsage(tx, d)
		if errors.Is(err, storage.ErrNotFound) {
			return Usage{Blobs: 1}, nil // fsck says that there is no such blob
		}
		return used, err
	}},
	{manifestTable, func(_ storage.Reader, _, value []byte) (Usage, error) { return usageOf(value) }},
	{tagTable, func(storage.Reader, []byte, []byte) (Usage, error) { return Usage{Tags: 1}, nil }},
}

// usageStep is how many rows one transaction of CountUsage counts.
const usageStep = 1000

// CountUsage counts what every repository of an older store uses. If we stop within it, it is run again, from its beginning.
func CountUsage(ctx context.Context, store storage.Store) error {
	if err := clearTable(ctx, store, usageTable); err != nil {
		return err
	}
	for _, t := range countedTables {
		err := changeRows(ctx, store, t.table, usageStep, func(tx storage.Tx, item storage.Item) error {
			repo, key := cutRepo(item.Key)
			used, err := t.uses(tx, key, item.Value)
			if err != nil {
				return err
			}
			_, err = addUsage(tx, repo, used)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func clearTable(ctx context.Context, store storage.Store, table storage.Table) error {
	return changeRows(ctx, store, table, usageStep, func(tx storage.Tx, item storage.Item) error {
		tx.Delete(table, item.Key)
		return nil
	})
}

// recount counts what the rows of a repository use that lie behind a place, at most n of them, and returns the next place, or
// a zero one at the end.
func recount(tx storage.Reader, repo string, at place, n int) (used Usage, next place, err error) {
	prefix := repoKey(repo)
	t := countedTables[at.table]
	from := at.key
	if from == nil {
		from = prefix
	}
	key, err := storage.SomeRows(tx, t.table, from, storage.PrefixEnd(prefix), n, func(item storage.Item) error {
		one, err := t.uses(tx, item.Key[len(prefix):], item.Value)
		used = used.Plus(one)
		return err
	})
	next = place{table: at.table, key: key}
	if key == nil {
		next.table++
	}
	return used, next, err
}

// place is where a count of a repository is.
type place struct {
	table int    // in countedTables
	key   []byte // nil is the first of the repository's
}

func (p place) ended() bool { return p.table == len(countedTables) }

// usage wants what is said that a repository uses to be what its rows come to. It counts some of them in each View; where the
// repository changed meanwhile, it counts again, and one that never rests in a single View.
func (c *checker) usage(ctx context.Context, repo string) error {
	for range usageTries {
		said, used, same, err := countWhileSame(ctx, c.g.store, repo)
		if err != nil {
			return err
		}
		if same {
			return wantUsage(repo, said, used)
		}
	}
	return c.g.store.View(ctx, func(tx storage.Reader) error {
		said, err := readUsage(tx, repo)
		if err != nil {
			return err
		}
		used, err := countAtOnce(tx, repo)
		return errors.Join(err, wantUsage(repo, said, used))
	})
}

// usageTries is how often a repository is counted that changes meanwhile.
const usageTries = 5

func wantUsage(repo string, said usageRow, used Usage) error {
	switch {
	case said.lost:
		return damaged("what repository %s uses cannot be read; a start, or a push into it, has it counted again", repo)
	case said.Usage != used:
		return damaged("repository %s is said to use %s, and uses %s", repo, said.Usage, used)
	}
	return nil
}

// usages checks what every repository uses.
func (c *checker) usages(ctx context.Context) error {
	var repos []string
	err := storage.EachRow(ctx, c.g.store, usageTable, func(_ storage.Reader, item storage.Item) error {
		repos = append(repos, string(item.Key))
		return nil
	})
	for _, repo := range repos {
		if err == nil {
			err = c.report(c.usage(ctx, repo))
		}
	}
	return err
}
