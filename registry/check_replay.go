package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/beside"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"github.com/seed-260924e6/hallmark/storage"
)

// What is served must follow from the records: they are replayed, and compared with the tables in both directions. Others may
// push meanwhile: each View first brings what is replayed to the records that it has itself, so that the two are always
// of one moment, and no difference needs a second look.

// replayAtOnce bounds what a replay keeps in memory, as the number of records for which one pass over all of them is made:
// a manifest costs some 300 bytes.
const replayAtOnce = 500_000

// replay compares what the records give with the tables.
func (c *checker) replay(ctx context.Context) error {
	var records uint64
	err := c.g.store.View(ctx, func(tx storage.Reader) (err error) {
		records, err = provenance.Kept(tx)
		return err
	})
	said := make(map[string]bool) // rights are followed in each pass
	for part, parts := uint64(0), 1+records/replayAtOnce; part < parts && err == nil; part++ {
		f := &follower{
			g: c.g,
			mine: func(repository string) bool {
				h := fnv.New64a()
				_, _ = h.Write([]byte(repository)) // which never fails
				return h.Sum64()%parts == part
			},
			bad: func(err error) {
				if !said[err.Error()] {
					said[err.Error()] = true
					c.bad(fmt.Errorf("%w: %w", storage.ErrCorrupt, err))
				}
			},
		}
		err = f.check(ctx)
	}
	return err
}

// follower compares what the records give for some repositories with the tables.
type follower struct {
	*beside.Follower
	g    *Registry
	mine func(repository string) bool
	bad  func(error)
}

func (f *follower) badf(format string, args ...any) { f.bad(fmt.Errorf(format, args...)) }

func (f *follower) check(ctx context.Context) (err error) {
	o := replay.Options{Only: f.mine, Covers: covers, About: tagIsAbout}
	f.Follower, err = beside.New(ctx, f.g.store, o, "what follows from the records is not known", f.bad)
	if err != nil || f.Blind {
		return err
	}
	for _, t := range []struct {
		table storage.Table
		row   func(tx storage.Reader, in *replay.Repository, repo string, key, value []byte) error
	}{{tagTable, f.tagRow}, {manifestTable, f.manifestRow}, {provenanceTable, f.provenanceRow}, {knownTable, f.knownRow}, {heldTable, f.heldRow}, {trashTable, f.trashRow}} {
		err := storage.EachRow(ctx, f.g.store, t.table, func(tx storage.Reader, item storage.Item) error {
			repo, key := cutRepo(item.Key)
			in, err := f.known(tx, repo)
			if err != nil || in == nil {
				return err
			}
			return t.row(tx, in, repo, key, item.Value)
		})
		if err != nil {
			return err
		}
	}
	return f.missing(ctx)
}

// covers says whether a rule for tags, as a record has it, covers a tag.
func covers(rule provenance.RightsChange, repository, tag string) bool {
	f, err := access.ParseFixed(rule)
	return err == nil && f.Covers(repository, tag)
}

// known returns what the records say of a repository at the moment of a View: nil where that is not known, or is not
// asked for.
func (f *follower) known(tx storage.Reader, repo string) (*replay.Repository, error) {
	if !f.mine(repo) {
		return nil, nil
	}
	if err := f.Follow(tx); err != nil || f.Blind {
		return nil, err
	}
	in := f.State.Repositories[repo]
	if in == nil {
		return &replay.Repository{}, nil
	}
	if in.Unknown != nil {
		return nil, nil
	}
	return in, nil
}

func (f *follower) tagRow(tx storage.Reader, in *replay.Repository, repo string, key, value []byte) error {
	row, err := decodeTagRow(value)
	if err != nil {
		return nil // reported with the row
	}
	is := replay.Tag{Digest: row.digest, Since: row.record}
	should, ok := in.Tag(string(key))
	if ok && is != should {
		f.badf("%s:%s means %s since record %d; by the records it means %s since record %d", repo, key, is.Digest, is.Since, should.Digest, should.Since)
	}
	if ok {
		return nil
	}
	going, err := isGoing(tx, repo, digestKey(row.digest))
	if err != nil {
		return err
	}
	if ended, ok := in.Ended(string(key)); going && ok && ended == is {
		return nil
	}
	f.badf("%s:%s means %s since record %d; by the records it means nothing", repo, key, is.Digest, is.Since)
	return nil
}

func (f *follower) manifestRow(_ storage.Reader, in *replay.Repository, repo string, key, value []byte) error {
	d, _, err := cutDigest(key)
	if err != nil {
		return nil // reported with the row
	}
	row, err := decodeManifestRow(value)
	if err != nil {
		return nil
	}
	switch m := in.Manifests[d]; {
	case m == nil:
		f.badf("%s@%s is there since record %d; by the records it is not", repo, d, row.record)
	case m.Added != row.record:
		f.badf("%s@%s is there since record %d; by the records it came with record %d", repo, d, row.record, m.Added)
	case m.Type != "" && m.Type != row.mediaType:
		f.badf("%s@%s is served as %s; by the records it is %s", repo, d, row.mediaType, m.Type)
	}
	return nil
}

// provenanceRow wants an image to have the provenance of its arrival, or of its first tag.
func (f *follower) provenanceRow(_ storage.Reader, in *replay.Repository, repo string, key, value []byte) error {
	d, _, err := cutDigest(key)
	if err != nil {
		return nil // reported with the row
	}
	row, err := decodeProvenanceRow(value)
	if err != nil {
		return nil
	}
	switch m := in.Manifests[d]; {
	case m == nil: // reported with the row
	case !m.HadTag:
		f.badf("%s@%s has record %d as its provenance; by the records it never had a tag", repo, d, row.record)
	case row.record != m.First && row.record != m.Tagged:
		f.badf("%s@%s has record %d as its provenance; it came with record %d, and had its first tag with record %d", repo, d, row.record, m.First, m.Tagged)
	}
	return nil
}

func (f *follower) knownRow(_ storage.Reader, in *replay.Repository, repo string, key, value []byte) error {
	d, _, err := cutDigest(key)
	if err != nil {
		return nil // reported with the row
	}
	row := fields{rest: value}
	last := row.number()
	m := in.Manifests[d]
	if row.bad || m == nil || last == m.Known || last < f.State.States && m.Known < f.State.States {
		return nil // older versions noted more
	}
	f.badf("what is known of %s@%s is said to have changed last with record %d; by the records it did with record %d", repo, d, last, m.Known)
	return nil
}

// missing looks for what the records give and the tables have not.
func (f *follower) missing(ctx context.Context) error {
	for _, repo := range slices.Sorted(maps.Keys(f.State.Repositories)) {
		in := f.State.Repositories[repo]
		err := inSteps(ctx, f, repo, []string{""}, f.newest)
		if err == nil {
			err = inSteps(ctx, f, repo, in.Tags(), f.missingTag)
		}
		if err == nil {
			err = inSteps(ctx, f, repo, slices.Sorted(maps.Keys(in.Manifests)), f.missingManifest)
		}
		if err == nil {
			err = inSteps(ctx, f, repo, slices.Sorted(maps.Keys(in.Holds)), f.missingHold)
		}
		if err == nil {
			err = inSteps(ctx, f, repo, slices.Sorted(maps.Keys(in.Trash)), f.missingTrash)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inSteps calls fn for each name, within Views of which none is long, where the repository is known.
func inSteps[N any](ctx context.Context, f *follower, repo string, names []N, fn func(tx storage.Reader, in *replay.Repository, repo string, name N) error) error {
	for some := range slices.Chunk(names, checkStep) {
		err := f.g.store.View(ctx, func(tx storage.Reader) error {
			in, err := f.known(tx, repo)
			for i := 0; err == nil && in != nil && i < len(some); i++ {
				err = fn(tx, in, repo, some[i])
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// newest wants the row of the newest record of a repository to name it.
func (f *follower) newest(tx storage.Reader, in *replay.Repository, repo, _ string) error {
	newest, err := provenance.Newest(tx, repo)
	switch {
	case errors.Is(err, storage.ErrCorrupt):
		f.bad(err)
		return nil
	case errors.Is(err, provenance.ErrNoRecord) && in.Newest < f.State.States:
		return nil // it has none since there are such rows
	case err != nil && !errors.Is(err, provenance.ErrNoRecord):
		return err
	case err != nil:
		f.badf("%s has no row of its newest record; by the records it is %d", repo, in.Newest)
	case newest != in.Newest:
		f.badf("the newest record of %s is said to be %d; by the records it is %d", repo, newest, in.Newest)
	}
	return nil
}

func (f *follower) missingTag(tx storage.Reader, in *replay.Repository, repo, tag string) error {
	should, ok := in.Tag(tag)
	if !ok { // it was removed meanwhile
		return nil
	}
	row, err := getOrNil(tx, tagTable, repoKey(repo, []byte(tag)))
	if err == nil && row == nil {
		f.badf("%s:%s is not there; by the records it means %s since record %d", repo, tag, should.Digest, should.Since)
	}
	return err
}

// missingManifest wants a manifest with what follows from its records: its provenance as a referrer, once it had a tag, and
// the mark of what is known of it.
func (f *follower) missingManifest(tx storage.Reader, in *replay.Repository, repo string, d digest.Digest) error {
	m := in.Manifests[d]
	if m == nil { // it was removed meanwhile
		return nil
	}
	key := repoKey(repo, digestKey(d))
	row, err := getOrNil(tx, manifestTable, key)
	if err == nil && row == nil {
		f.badf("%s@%s is not there; by the records it is, since record %d", repo, d, m.Added)
	}
	if err != nil || row == nil {
		return err
	}
	return errors.Join(f.missingProvenance(tx, m, repo, key), f.missingKnown(tx, m, repo, key))
}

// missingProvenance wants what RenderOld and pushes make: nothing of a record that is not signed.
func (f *follower) missingProvenance(tx storage.Reader, m *replay.Manifest, repo string, key []byte) error {
	if !m.HadTag || m.Subject != "" {
		return nil
	}
	row, err := getOrNil(tx, provenanceTable, key)
	if err != nil || row != nil {
		return err
	}
	if m.Tagged < f.State.States { // an older version left it to RenderOld
		done, err := getOrNil(tx, doneTable, renderedMark)
		if err != nil || done == nil {
			return err
		}
		if _, err := provenance.ReadSignedRecord(tx, m.First); errors.Is(err, provenance.ErrNotSigned) {
			return nil
		}
	}
	f.badf("%s@%s has no provenance among its referrers; by the records it has had a tag since record %d", repo, m.Digest, m.Tagged)
	return nil
}

func (f *follower) missingKnown(tx storage.Reader, m *replay.Manifest, repo string, key []byte) error {
	if m.Known < f.State.States || m.Known == 0 {
		return nil
	}
	row, err := getOrNil(tx, knownTable, key)
	if err == nil && row == nil {
		f.badf("what is known of %s@%s is not said to have changed; by the records it did with record %d", repo, m.Digest, m.Known)
	}
	return err
}

// trashRow wants what is in the trash to be there by the records.
func (f *follower) trashRow(_ storage.Reader, in *replay.Repository, repo string, key, value []byte) error {
	d, _, err := cutDigest(key)
	if err != nil {
		return nil // reported with the row
	}
	row, err := decodeTrashRow(value)
	if err != nil {
		return nil
	}
	switch t, ok := in.Trash[d]; {
	case !ok:
		f.badf("%s@%s is in the trash since record %d; by the records it is not", repo, d, row.record)
	case t.Record != row.record:
		f.badf("%s@%s is in the trash since record %d; by the records it was deleted with record %d", repo, d, row.record, t.Record)
	default:
		f.trashedAs(repo, d, row, t)
	}
	return nil
}

// trashedAs wants a manifest in the trash to keep the provenance that it had.
func (f *follower) trashedAs(repo string, d digest.Digest, row trashRow, t replay.Trashed) {
	if len(row.provenance) == 0 {
		return // an image of an older version may have none
	}
	p, err := decodeProvenanceRow(row.provenance)
	if err != nil || p.record != t.First && p.record != t.Tagged || !t.HadTag {
		f.badf("%s@%s in the trash has record %d as its provenance; it came with record %d, and had its first tag with record %d", repo, d, p.record, t.First, t.Tagged)
	}
}

// missingTrash wants what was deleted to be in the trash for as long as its record says. That time is the machine's, and the
// trash goes by a clock of its own: what may be due by either is not missed.
func (f *follower) missingTrash(tx storage.Reader, in *replay.Repository, repo string, d digest.Digest) error {
	t, ok := in.Trash[d]
	if !ok { // it was brought back meanwhile
		return nil
	}
	deleted, err := provenance.ReadRecord(tx, t.Record)
	if err != nil {
		return nil //nolint:nilerr // a record's own check reports it
	}
	if now := f.g.machine(); now.Before(deleted.Time.Time) || !now.Before(t.Until.Time) {
		return nil
	}
	row, err := getOrNil(tx, trashTable, repoKey(repo, digestKey(d)))
	if err == nil && row == nil {
		f.badf("%s@%s is not in the trash; by record %d it is, until %s", repo, d, t.Record, t.Until)
	}
	return err
}
