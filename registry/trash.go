package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A deleted manifest goes into the trash, from where it can be brought back. Readers do not find it from the record of its
// deletion on. Its row is kept whole, with its tags, and what it refers to becomes what the trash holds: a blob whose lease
// ends meanwhile is hidden instead of given up (hidden.go).
//
// A manifest leaves the trash when its time is over, when somebody empties it, when it is pushed again, and when it is
// brought back (undelete.go). The transaction that decides so takes its row and notes that it is leaving; the collector then
// removes what was held, some of it at a time. If we stop between them, the next start goes on.

// TrashConfig says for how long, and up to which size, what was deleted can be brought back.
type TrashConfig struct {
	// Keep is how long a deleted image stays in the trash, from where it can be brought back. The clock that counts cannot
	// be set, and does not run while the registry is stopped. 0: what is deleted is gone at once. Default: 7d.
	Keep units.Duration `yaml:"keep"`
	// Max is how many bytes the trash may hold: of its manifests, and of blobs that nothing else needs. Beyond it, and while less
	// of the disk is free than registry.reserve, what was deleted first is removed before its time. 0: no bound. Default: 0.
	Max units.Size `yaml:"max"`
}

// UseTrash says what happens to what is deleted, before the registry serves anybody. Without it, it is gone at once.
func (g *Registry) UseTrash(c TrashConfig) { g.trash = c }

// trashRow is a manifest in the trash.
type trashRow struct {
	record     uint64 // that of its deletion
	end        uint64 // until when it stays, by the registry's clock
	provenance []byte // its provenanceRow, or empty
	manifest   []byte // its manifestRow
}

func (t trashRow) encode() []byte {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, t.record), t.end)
	return append(appendString(b, string(t.provenance)), t.manifest...)
}

// decodeTrashRow reads a row. Its manifest is a part of value, not a copy.
func decodeTrashRow(value []byte) (trashRow, error) {
	f := fields{rest: value}
	t := trashRow{record: f.number(), end: f.number(), provenance: []byte(f.string()), manifest: f.rest}
	return t, f.err("trash")
}

// readTrash returns a manifest in the trash, or nil.
func readTrash(tx storage.Reader, repo string, manifest []byte) (*trashRow, error) {
	value, err := getOrNil(tx, trashTable, repoKey(repo, manifest))
	if err != nil || value == nil {
		return nil, err
	}
	t, err := decodeTrashRow(value)
	return &t, err
}

// intoTrash is the row that a manifest will have when it is deleted; nil where deletions are final.
func (g *Registry) intoTrash(tx storage.Reader, f *found) (*trashRow, error) {
	keep := time.Duration(g.trash.Keep)
	if keep <= 0 {
		return nil, nil
	}
	row, err := getOrNil(tx, provenanceTable, repoKey(f.repo, digestKey(f.digest)))
	return &trashRow{end: g.now() + uint64(keep.Microseconds()), provenance: bytes.Clone(row), manifest: f.encode()}, err
}

// keptUntil is what the record of a deletion says of the trash: the machine's clock, as all times in records are.
func (g *Registry) keptUntil(t *trashRow) *provenance.Time {
	if t == nil {
		return nil
	}
	until := provenance.At(g.machine().Add(time.Duration(g.trash.Keep)))
	return &until
}

// put writes the rows of a manifest in the trash, with those of its tags that ended with the record of its deletion.
func (t *trashRow) put(tx storage.Tx, repo string, d digest.Digest, tags []string) error {
	key := digestKey(d)
	tx.Put(trashTable, repoKey(repo, key), t.encode())
	tx.Put(trashEndTable, trashEndKey(t.end, repo, key), nil)
	putTrashTags(tx, repo, key, tags, t.record)
	return addToTrash(tx, t.counts())
}

// counts is what the manifest itself is in the sum of the trash.
func (t *trashRow) counts() Trashed {
	return Trashed{Manifests: 1, ManifestBytes: int64(len(t.manifest))}
}

// putTrashTags keeps tags that ended with a manifest, with the record that says so: by that they are told from those of an
// earlier deletion.
func putTrashTags(tx storage.Tx, repo string, manifest []byte, tags []string, record uint64) {
	for _, tag := range tags {
		tx.Put(trashTagTable, repoKey(repo, manifest, []byte(tag)), binary.AppendUvarint(nil, record))
	}
}

func trashEndKey(end uint64, repo string, manifest []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, end), repoKey(repo, manifest)...)
}

// cutTrashEnd reads a key of trashEndTable.
func cutTrashEnd(key []byte) (end uint64, p RepoDigest, err error) {
	if len(key) < 8 {
		return 0, p, damaged("a row of the trash has no time")
	}
	repo, rest := cutRepo(key[8:])
	p.Repository = repo
	p.Digest, _, err = cutDigest(rest)
	return binary.BigEndian.Uint64(key), p, err
}

// What a hold is of. A manifest may name the same digest in several ways.
const (
	holdNeeds    = 1 << iota // it has to be there when the manifest is
	holdOptional             // it may be absent
	holdSubject              // it is what the manifest refers to
)

// holdAs is how the trash holds what a row of needsTable names.
func holdAs(row []byte) byte {
	if bytes.Equal(row, optionalRow) {
		return holdOptional
	}
	return holdNeeds
}

// putHold lets the trash hold what a manifest in it names.
func putHold(tx storage.Tx, repo string, manifest, named []byte, as byte) error {
	key := repoKey(repo, manifest, named)
	before, err := getOrNil(tx, trashHoldTable, key)
	if err != nil {
		return err
	}
	if len(before) == 1 {
		as |= before[0]
	}
	tx.Put(trashHoldTable, key, []byte{as})
	tx.Put(trashHeldTable, repoKey(repo, named, manifest), []byte{as})
	return nil
}

// leave takes a manifest out of the trash, whatever becomes of it. What it held and its tags are removed after that.
func (t *trashRow) leave(tx storage.Tx, repo string, manifest []byte) error {
	tx.Delete(trashTable, repoKey(repo, manifest))
	tx.Delete(trashEndTable, trashEndKey(t.end, repo, manifest))
	tx.Put(leavingTable, repoKey(repo, manifest), nil)
	return addToTrash(tx, t.counts().times(-1))
}

// leaveTrash takes the manifest that is pushed out of the trash.
func (p *push) leaveTrash(tx storage.Tx) error {
	key := digestKey(p.digest)
	t, err := readTrash(tx, p.repo, key)
	if err == nil && t != nil {
		err = t.leave(tx, p.repo, key)
	}
	p.tagsLater(tx)
	return err
}

// purgeDue removes from the trash what has been in it for as long as it was to be kept. A row that cannot be read keeps nothing
// else there.
func (g *Registry) purgeDue(ctx context.Context) (bad error) {
	due := binary.BigEndian.AppendUint64(nil, g.now())
	for from := []byte(nil); ; {
		var next []byte
		var unread error
		err := g.store.Update(ctx, func(tx storage.Tx) (err error) {
			unread = nil
			next, err = storage.SomeRows(tx, trashEndTable, from, due, collectStep, func(item storage.Item) error {
				return passDamaged(&unread, purgeAt(tx, item.Key))
			})
			return err
		})
		if bad = errors.Join(bad, unread, err); err != nil || next == nil {
			return bad
		}
		from = next
	}
}

// passDamaged adds an error to those of rows that are damaged, and returns any other.
func passDamaged(bad *error, err error) error {
	if errors.Is(err, storage.ErrCorrupt) {
		*bad = errors.Join(*bad, err)
		return nil
	}
	return err
}

// purgeAt purges the manifest of a row of trashEndTable. A row that is not that of a manifest in the trash goes.
func purgeAt(tx storage.Tx, key []byte) error {
	end, p, err := cutTrashEnd(key)
	if err != nil {
		return err
	}
	t, err := readTrash(tx, p.Repository, digestKey(p.Digest))
	if err != nil {
		return err
	}
	if t == nil || t.end != end {
		tx.Delete(trashEndTable, key)
		return nil
	}
	_, err = purge(tx, p)
	return err
}

// isDue says whether something has been in the trash for as long as it was to be kept: it spares a transaction where
// nothing has.
func (g *Registry) isDue(ctx context.Context) (due bool, err error) {
	now := binary.BigEndian.AppendUint64(nil, g.now())
	err = g.store.View(ctx, func(tx storage.Reader) (err error) {
		due, err = anyRowIn(tx, trashEndTable, nil, now)
		return err
	})
	return due, err
}

// purge takes a manifest out of the trash for good, and says whether it was there. One whose deletion has not come to its
// end stays: it is for another time.
func purge(tx storage.Tx, p RepoDigest) (bool, error) {
	key := digestKey(p.Digest)
	t, err := readTrash(tx, p.Repository, key)
	if err != nil || t == nil {
		return false, err
	}
	going, err := isGoing(tx, p.Repository, key)
	if err != nil || going {
		return false, err
	}
	return true, t.leave(tx, p.Repository, key)
}

// emptyTrash removes what is due from the trash, and what manifests held that have left it.
func (g *Registry) emptyTrash(ctx context.Context) error {
	due, err := g.isDue(ctx)
	if err == nil && due {
		err = g.purgeDue(ctx)
	}
	return errors.Join(err, g.endLeaving(ctx))
}

// endLeaving removes what manifests held that have left the trash.
func (g *Registry) endLeaving(ctx context.Context) error {
	var leaving []RepoDigest
	var bad error
	err := storage.EachRow(ctx, g.store, leavingTable, func(_ storage.Reader, item storage.Item) error {
		repo, key := cutRepo(item.Key)
		d, _, err := cutDigest(key)
		if p := (RepoDigest{repo, d}); err == nil && !g.ending.has(p) {
			leaving = append(leaving, p)
		}
		return passDamaged(&bad, err)
	})
	err = errors.Join(bad, err)
	for _, p := range leaving { // one that a quota has no room for keeps nobody else
		e := provenance.Event{Action: provenance.Undelete, Repository: p.Repository, Who: systemEnds}
		err = errors.Join(err, g.endLeavingOf(ctx, p, e))
	}
	return err
}

// endLeavingOf removes what a manifest held that has left the trash. If it was brought back, it first gets the last of its
// tags, whose records are as the event says.
func (g *Registry) endLeavingOf(ctx context.Context, p RepoDigest, e provenance.Event) error {
	for more := true; more; {
		var about []digest.Digest
		err := g.store.Update(ctx, func(tx storage.Tx) (err error) {
			more, about, err = g.leaveSome(tx, p, e)
			return err
		})
		if err != nil {
			return err
		}
		g.changed(about)
	}
	return nil
}

// leaveSome removes some of what a manifest held that has left the trash, and says whether there is more. If the manifest
// was deleted once more meanwhile, it holds all of that again.
func (g *Registry) leaveSome(tx storage.Tx, p RepoDigest, e provenance.Event) (more bool, about []digest.Digest, err error) {
	row := repoKey(p.Repository, digestKey(p.Digest))
	value, err := getOrNil(tx, leavingTable, row)
	if err != nil || value == nil {
		return false, nil, err
	}
	t, err := readTrash(tx, p.Repository, digestKey(p.Digest))
	if err != nil {
		return false, nil, err
	}
	if t != nil {
		tx.Delete(leavingTable, row)
		return false, nil, nil
	}
	if f := (fields{rest: value}); len(value) > 0 {
		more, about, err = g.setLater(tx, p, e, f.number())
		if err == nil && !more {
			tx.Put(leavingTable, row, nil)
		}
		return true, about, err
	}
	more, err = dropSome(tx, p)
	return more, nil, err
}

// dropSome removes some of the rows of a manifest that has left the trash.
func dropSome(tx storage.Tx, p RepoDigest) (more bool, err error) {
	key := digestKey(p.Digest)
	row := repoKey(p.Repository, key)
	next, err := storage.SomeRows(tx, trashHoldTable, row, storage.PrefixEnd(row), goingStep, func(item storage.Item) error {
		named := item.Key[len(row):]
		tx.Delete(trashHoldTable, item.Key)
		tx.Delete(trashHeldTable, repoKey(p.Repository, named, key))
		return dropHidden(tx, p.Repository, named)
	})
	if err != nil || next != nil {
		return true, err
	}
	next, err = storage.SomeRows(tx, trashTagTable, row, storage.PrefixEnd(row), goingStep, func(item storage.Item) error {
		tx.Delete(trashTagTable, item.Key)
		return nil
	})
	if err != nil || next != nil {
		return true, err
	}
	tx.Delete(leavingTable, row)
	return false, nil
}

// Trashed counts what the trash has.
type Trashed struct {
	Manifests     int64
	Bytes         int64 // of blobs that only the trash holds
	ManifestBytes int64 // of the rows of manifests, which are in the store
}

func (t Trashed) times(n int64) Trashed {
	return Trashed{n * t.Manifests, n * t.Bytes, n * t.ManifestBytes}
}

// Trashed returns what the trash has now.
func (g *Registry) Trashed(ctx context.Context) (t Trashed, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		t, err = readTrashed(tx)
		return err
	})
	return t, err
}

var trashSumKey = []byte("sum")

func readTrashed(tx storage.Reader) (Trashed, error) {
	row, err := getOrNil(tx, trashSumTable, trashSumKey)
	if err != nil || row == nil {
		return Trashed{}, err
	}
	f := fields{rest: row}
	t := Trashed{int64(f.number()), int64(f.number()), int64(f.number())}
	return t, f.err("trash sum")
}

// addToTrash counts what comes into the trash, or leaves it.
func addToTrash(tx storage.Tx, more Trashed) error {
	t, err := readTrashed(tx)
	if err != nil {
		return err
	}
	// Where a row was changed by hand there may be less than nothing, which fsck tells.
	var row []byte
	for _, n := range []int64{t.Manifests + more.Manifests, t.Bytes + more.Bytes, t.ManifestBytes + more.ManifestBytes} {
		row = binary.AppendUvarint(row, uint64(max(n, 0)))
	}
	tx.Put(trashSumTable, trashSumKey, row)
	return nil
}

// anyRow says whether there is a row whose key begins with a prefix.
func anyRow(tx storage.Reader, table storage.Table, prefix []byte) (bool, error) {
	return anyRowIn(tx, table, prefix, storage.PrefixEnd(prefix))
}

func anyRowIn(tx storage.Reader, table storage.Table, from, to []byte) (bool, error) {
	for item, err := range tx.Scan(table, from, to) {
		if err != nil {
			return false, err
		}
		// The scan shows also what this transaction has deleted.
		_, err := tx.Get(table, item.Key)
		if !errors.Is(err, storage.ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}
