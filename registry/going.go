package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A manifest may have more tags, and refer to more, than one transaction should change: all who push wait for
// it. Then the transaction of its deletion removes the manifest, which ends its tags for anyone who asks, and
// notes that it is going. Others remove the rows that are left, some at a time, with a record of the tags in
// each, which names that of the deletion.
//
// If we stop between them, the next start goes on, as the system: who ordered it is in the record of the
// deletion. A tag that somebody set again meanwhile is not among those that are left. Only the manifest itself
// cannot come back before all of its rows are gone.

// goingStep is how many references of a manifest go in one transaction.
const goingStep = 200

// putGoing notes that rows of a manifest are left after the record of its deletion.
func putGoing(tx storage.Tx, repo string, d digest.Digest, record uint64) {
	tx.Put(goingTable, repoKey(repo, digestKey(d)), binary.AppendUvarint(nil, record))
}

func isGoing(tx storage.Reader, repo string, manifest []byte) (bool, error) {
	row, err := getOrNil(tx, goingTable, repoKey(repo, manifest))
	return row != nil, err
}

// mustNotGo asks for patience where a manifest is on its way out.
func mustNotGo(tx storage.Reader, repo string, manifest []byte) error {
	going, err := isGoing(tx, repo, manifest)
	if err != nil || !going {
		return err
	}
	d, _, err := cutDigest(manifest)
	if err != nil {
		return err
	}
	return errBusy("the manifest %s was deleted, and the last of it is being removed; try again in a moment", d)
}

// errBusy is the answer to what can be done in a moment.
func errBusy(format string, args ...any) error {
	f := newFailure(http.StatusServiceUnavailable, "UNAVAILABLE", format, args...)
	f.header = http.Header{"Retry-After": {"1"}}
	return f
}

// goingIn returns the DIGESTs of the manifests of a repository that are going. There are hardly ever any.
func goingIn(tx storage.Reader, repo string) (going map[string]bool, err error) {
	prefix := repoKey(repo)
	for item, err := range tx.Scan(goingTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		if going == nil {
			going = make(map[string]bool)
		}
		going[string(item.Key[len(prefix):])] = true
	}
	return going, nil
}

// tagMeans is the DIGEST in a row of a tag.
func tagMeans(row []byte) string {
	f := fields{rest: row}
	f.number()
	return string(f.rest)
}

// checked is the state of things in which the tags of a manifest were looked at: the last record that is about
// it, and the rules for tags. Anyone who gives it a tag, or makes such a rule, changes it.
type checked struct {
	tags  uint64
	rules digest.Digest
}

// errUnchecked: nobody has looked at the tags of a manifest as they are now.
var errUnchecked = errors.New("the tags have changed")

func (g *Registry) checkedNow(tx storage.Reader, repo string, d digest.Digest) (c checked, err error) {
	if c.tags, err = knownVersion(tx, repo, []digest.Digest{d}); err != nil {
		return c, err
	}
	c.rules, err = g.gate.FixedRules(tx)
	return c, err
}

// checkTags wants none of the tags of a manifest to be immutable, and says of which state that holds. It looks
// at some of them in each View: what changes meanwhile changes the state.
func (g *Registry) checkTags(ctx context.Context, repo string, d digest.Digest) (state checked, err error) {
	prefix := repoKey(repo, digestKey(d))
	for from, first := prefix, true; from != nil; first = false {
		var next []byte
		err := g.store.View(ctx, func(tx storage.Reader) (err error) {
			if first {
				if state, err = g.checkedNow(tx, repo, d); err != nil {
					return err
				}
			}
			next, err = g.checkSomeTags(tx, repo, from, prefix)
			return err
		})
		if err != nil {
			return state, err
		}
		from = next
	}
	return state, nil
}

// maxLooks is how often the tags of a manifest are looked at anew, because somebody changed them meanwhile.
const maxLooks = 5

// whileChecked changes a manifest that may have more tags than one transaction looks at. Where it does, change ends with
// errUnchecked: then the tags are looked at, of which state changes, and it is tried again.
func (g *Registry) whileChecked(ctx context.Context, repo string, d digest.Digest, state *checked, change func() error) error {
	err := change()
	for look := 0; errors.Is(err, errUnchecked) && look < maxLooks; look++ {
		if *state, err = g.checkTags(ctx, repo, d); err == nil {
			err = change()
		}
	}
	if errors.Is(err, errUnchecked) {
		return errBusy("the tags of %s change faster than they can be looked at; try again", d)
	}
	return err
}

// freeTags returns the first tags of a manifest, as many as a record may move, and says whether there are more. None of them all may
// be immutable: those that are not returned were looked at in a state. Error: errUnchecked where it is another one by now.
func (g *Registry) freeTags(tx storage.Reader, repo string, d digest.Digest, state checked) (tags []string, more bool, err error) {
	tags, err = someTags(tx, repo, d, provenance.MaxTags+1)
	if err != nil {
		return nil, false, err
	}
	if more = len(tags) > provenance.MaxTags; more {
		tags = tags[:provenance.MaxTags]
		now, err := g.checkedNow(tx, repo, d)
		if err != nil {
			return nil, false, err
		}
		if now != state {
			return nil, false, errUnchecked
		}
	}
	for _, tag := range tags {
		if err := g.mayMove(tx, repo, tag); err != nil {
			return nil, false, err
		}
	}
	return tags, more, nil
}

func (g *Registry) checkSomeTags(tx storage.Reader, repo string, from, prefix []byte) (next []byte, err error) {
	return storage.SomeRows(tx, taggedTable, from, storage.PrefixEnd(prefix), checkStep, func(item storage.Item) error {
		return g.mayMove(tx, repo, string(item.Key[len(prefix):]))
	})
}

// ending are the manifests whose last rows a request is removing.
type ending struct {
	mu   sync.Mutex
	busy map[RepoDigest]bool // guarded by mu
}

func (e *ending) set(p RepoDigest, busy bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy == nil {
		e.busy = make(map[RepoDigest]bool)
	}
	if e.busy[p] = busy; !busy {
		delete(e.busy, p)
	}
}

func (e *ending) has(p RepoDigest) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.busy[p]
}

// endByRequest removes the last rows of a manifest whose deletion a request has committed, also when its
// client is gone by now. What fails is left to EndDeletions: the manifest is deleted all the same.
func (g *Registry) endByRequest(ctx context.Context, c *call) {
	manifest := RepoDigest{c.repo, c.digest}
	g.ending.set(manifest, true)
	defer g.ending.set(manifest, false)
	if err := g.end(context.WithoutCancel(ctx), manifest, c.event(provenance.Untag)); err != nil {
		g.log.Error("removing the last tags of a deleted manifest failed; it is tried again", "id", obs.RequestID(ctx), "repository", c.repo, "digest", c.digest, "err", err)
	}
}

// systemEnds is who removes the last rows of manifests that were deleted before a restart.
var systemEnds = provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "system"}}

// EndDeletions removes, until ctx ends, the last rows of manifests whose deletion has been committed: once,
// those that an earlier process left; then, every interval, those that a request could not.
func (g *Registry) EndDeletions(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if n, err := g.endDeletions(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("removing the last rows of deleted manifests failed; it is tried again", "err", err)
		} else if n > 0 {
			g.log.Info("removed the last rows of deleted manifests", "manifests", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *Registry) endDeletions(ctx context.Context) (ended int, err error) {
	var left []RepoDigest
	var refused []error
	err = storage.EachRow(ctx, g.store, goingTable, func(_ storage.Reader, item storage.Item) error {
		repo, key := cutRepo(item.Key)
		d, _, err := cutDigest(key)
		if p := (RepoDigest{repo, d}); err == nil && !g.ending.has(p) {
			left = append(left, p)
		}
		return err
	})
	for _, p := range left {
		if err != nil {
			return ended, err
		}
		e := provenance.Event{Action: provenance.Untag, Repository: p.Repository, Who: systemEnds}
		switch err = g.end(ctx, p, e); {
		case errors.Is(err, errNoDeletion):
			refused, err = append(refused, err), nil // the others wait for no one
		case err == nil:
			ended++
		}
	}
	return ended, errors.Join(append(refused, err)...)
}

// end removes the rows that are left of a manifest, some at a time. The event is that of their records.
func (g *Registry) end(ctx context.Context, p RepoDigest, e provenance.Event) error {
	e.Digest = p.Digest
	for more := true; more; {
		var about []digest.Digest
		err := g.store.Update(ctx, func(tx storage.Tx) (err error) {
			more, about, err = g.endSome(tx, p, e)
			return err
		})
		if err != nil {
			return err
		}
		g.changed(about)
	}
	return nil
}

// endSome removes some tags of a manifest that is going, or, when it has none, some of its references, and says
// whether there is more to do, and of what less is known now.
func (g *Registry) endSome(tx storage.Tx, p RepoDigest, e provenance.Event) (more bool, about []digest.Digest, err error) {
	key := digestKey(p.Digest)
	row, err := getOrNil(tx, goingTable, repoKey(p.Repository, key))
	if err != nil || row == nil {
		return false, nil, err
	}
	f := fields{rest: row}
	of := f.number()
	if err := f.err("going"); err != nil {
		return false, nil, err
	}
	if err := mustBeDeletion(tx, p, of); err != nil {
		return false, nil, err
	}
	tags, err := someTags(tx, p.Repository, p.Digest, provenance.MaxTags)
	if err != nil {
		return false, nil, err
	}
	trash, err := readTrash(tx, p.Repository, key)
	if err != nil {
		return false, nil, err
	}
	if len(tags) > 0 {
		e.Of = &of
		about, err = g.endTags(tx, p, tags, e, trash != nil)
		return true, about, err
	}
	if more, err = g.removeReferences(tx, p.Repository, key, goingStep, trash != nil); err != nil || more {
		return more, nil, err
	}
	tx.Delete(goingTable, repoKey(p.Repository, key))
	return false, nil, nil
}

// errNoDeletion: a row says that a manifest is going, and nobody is on record to have deleted it.
var errNoDeletion = errors.New("nobody deleted it: the row was not written by this registry, so nothing is removed; run `hallmark fsck`")

// mustBeDeletion wants a manifest that is on its way out to have been deleted by a record, as it was signed then. A row
// that somebody put into the store has no tag removed, and nothing signed.
func mustBeDeletion(tx storage.Reader, p RepoDigest, record uint64) error {
	refuse := func() error {
		return fmt.Errorf("%s@%s is said to be deleted by record %d: %w", p.Repository, p.Digest, record, errNoDeletion)
	}
	there, err := getOrNil(tx, manifestTable, repoKey(p.Repository, digestKey(p.Digest)))
	if err != nil {
		return err
	}
	signed, err := provenance.ReadSignedRecord(tx, record)
	switch {
	case errors.Is(err, provenance.ErrNotSigned), errors.Is(err, provenance.ErrNoRecord):
		return refuse()
	case err != nil:
		return err
	}
	r, err := provenance.ReadRecord(tx, record)
	if err != nil {
		return err
	}
	if there != nil || !signed.Key.Verify(signed.Payload, signed.Signature) || r.Action != provenance.Delete || r.Repository != p.Repository || r.Digest != p.Digest {
		return refuse()
	}
	return nil
}

// endTags removes tags that have ended, and records it. The trash keeps them with their manifest, if it keeps that.
func (g *Registry) endTags(tx storage.Tx, p RepoDigest, tags []string, e provenance.Event, keep bool) (about []digest.Digest, err error) {
	if e.Tags, err = g.removeTags(tx, p.Repository, p.Digest, tags); err != nil {
		return nil, err
	}
	for _, tag := range tags {
		about = append(about, tagIsAbout(tag))
	}
	record, err := g.book.Append(tx, e)
	if err != nil {
		return nil, err
	}
	if keep {
		putTrashTags(tx, p.Repository, digestKey(p.Digest), tags, record.Index)
	}
	return about, errors.Join(touchAll(tx, p.Repository, about, record.Index), g.noteMoves(tx, about...))
}

// going wants a manifest that is on its way out to be gone for readers, and deleted by its record.
func (c *checker) going(_ context.Context, tx storage.Reader, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	there, err := getOrNil(tx, manifestTable, item.Key)
	if err != nil {
		return err
	}
	if there != nil {
		return damaged("%s@%s is there, and is said to be on its way out", repo, d)
	}
	f := fields{rest: item.Value}
	index := f.number()
	if err := f.err("going"); err != nil {
		return err
	}
	r, err := provenance.ReadRecord(tx, index)
	if err == nil && (r.Action != provenance.Delete || r.Repository != repo || r.Digest != d) {
		return damaged("%s@%s was deleted by record %d, which does not say so", repo, d, index)
	}
	if errors.Is(err, provenance.ErrNoRecord) {
		return fmt.Errorf("%s@%s was deleted by record %d: %w", repo, d, index, err)
	}
	return err
}

// wantManifest wants a manifest to be there, or to be on its way out.
func wantManifest(tx storage.Reader, repo string, manifest []byte, format string, args ...any) error {
	going, err := isGoing(tx, repo, manifest)
	if err != nil || going {
		return err
	}
	return want(tx, manifestTable, repoKey(repo, manifest), format, args...)
}
