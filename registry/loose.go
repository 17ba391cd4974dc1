package registry

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A commit is a wait for the disk, and most images have a handful of small blobs. So the small blobs of an image from elsewhere are
// linked in the transaction of its manifest. A large one is linked by itself when it has come: an import that stops before its
// manifest need not fetch it again.

// maxLoose is how large a blob is at most, in bytes, that waits for its manifest.
const maxLoose = 1 << 20

// A LooseBlob is a blob whose bytes are here and that no repository has. Its manifest links it: until then no row names
// it, and if we stop, its bytes are a stray, which sweep.go removes, or gone, where they are so few that they come to live in the store. Whoever has one and no manifest for it gives it to Drop.
type LooseBlob struct {
	digest  digest.Digest
	row     blobRow
	content []byte // of one that is to live in the store; nil of any other
	held    reservation
	now     blobRow // the row as it was linked; set in the transaction
	late    bool    // set in the transaction, as putLink tells
}

// arrive makes the bytes of an upload, whose digest was checked, durable. They are a LooseBlob where they are few, and new here; else
// they are linked at once.
func (i *Importer) arrive(ctx context.Context, c *call, d digest.Digest, up storage.Upload) (*LooseBlob, error) {
	if up.Size() > maxLoose {
		return nil, i.g.storeBlob(ctx, c, d, up)
	}
	if row, err := i.g.blobRow(ctx, d); err != nil {
		return nil, errors.Join(err, up.Cancel())
	} else if row.at != "" {
		return nil, i.g.storeBlob(ctx, c, d, up)
	}
	size := up.Size()
	content, err := i.g.smallBytes(up)
	if err != nil {
		return nil, errors.Join(err, up.Cancel())
	}
	if content != nil { // durable with the row that will name it
		_ = up.Cancel() // what is left is an idle upload
		i.g.waiting.add(d, content)
		return &LooseBlob{digest: d, row: blobRow{size: size, at: inStore}, content: content}, nil
	}
	at, err := up.Seal(ctx, label(d))
	if err != nil {
		return nil, err
	}
	return &LooseBlob{digest: d, row: blobRow{size: size, at: at}}, nil
}

// waiting are the bytes of small blobs that wait for their manifest, for those who look at them before the store has them.
type waiting struct {
	mu sync.Mutex
	of map[digest.Digest]*waits // guarded by mu
}

type waits struct {
	content []byte
	times   int // how many wait with these bytes
}

func (w *waiting) add(d digest.Digest, content []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[digest.Digest]*waits{}
	}
	if w.of[d] == nil {
		w.of[d] = &waits{content: content}
	}
	w.of[d].times++
}

// end is told when an arrival waits no more.
func (w *waiting) end(a *LooseBlob) {
	if !a.row.inStore() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.of[a.digest]; one != nil {
		if one.times--; one.times == 0 {
			delete(w.of, a.digest)
		}
	}
}

func (w *waiting) get(d digest.Digest) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.of[d]; one != nil {
		return one.content
	}
	return nil
}

// remove removes the bytes of an arrival that nothing names.
func (i *Importer) remove(ctx context.Context, a *LooseBlob) error {
	if a.row.inStore() {
		return nil // its bytes are nowhere but in memory
	}
	return i.g.blobs.Remove(context.WithoutCancel(ctx), a.row.at)
}

// Drop gives back the bytes of what arrived for a manifest that does not come.
func (i *Importer) Drop(ctx context.Context, arrived []*LooseBlob) (err error) {
	defer i.tell(&err)
	for _, a := range arrived {
		i.g.unreserve(&a.held)
		i.g.waiting.end(a)
		err = errors.Join(err, i.remove(ctx, a))
	}
	return err
}

// Keep links what arrived without a manifest, in one transaction.
func (i *Importer) Keep(ctx context.Context, repo string, arrived []*LooseBlob) (err error) {
	defer i.tell(&err)
	if len(arrived) == 0 {
		return nil
	}
	c, err := i.call(ctx, repo)
	if err != nil {
		return errors.Join(err, i.Drop(ctx, arrived))
	}
	return i.link(ctx, repo, arrived, func(link func(storage.Tx) error) error { return i.g.update(ctx, c, noReads, link) })
}

// link links what arrived in the transaction of commit, which it is given to. Whatever happens, nothing has to be dropped after it.
func (i *Importer) link(ctx context.Context, repo string, arrived []*LooseBlob, commit func(link func(storage.Tx) error) error) error {
	err := commit(func(tx storage.Tx) error {
		for _, a := range arrived {
			if err := i.linkOne(tx, repo, a); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, i.linked(ctx, arrived, err))
}

func (i *Importer) linkOne(tx storage.Tx, repo string, a *LooseBlob) (err error) {
	if a.now, err = putBlob(tx, a.digest, a.row, a.content, ""); err != nil {
		return err
	}
	a.late, err = i.g.putLink(tx, repo, a.digest, "")
	return err
}

// linked ends what arrived, as the outcome of its transaction has it. Where that is not known, rows may name the bytes.
func (i *Importer) linked(ctx context.Context, arrived []*LooseBlob, outcome error) (err error) {
	for _, a := range arrived {
		i.g.unreserve(&a.held)
		i.g.waiting.end(a)
		if outcome == nil || errors.Is(outcome, storage.ErrUnknownOutcome) {
			i.g.arrived(a.digest, a.late)
		}
		if !errors.Is(outcome, storage.ErrUnknownOutcome) && (outcome != nil || a.now.at != a.row.at) { // a parallel push of the same bytes was first
			err = errors.Join(err, i.remove(ctx, a))
		}
	}
	return err
}

// coming is what a transaction sees, with what arrived for a repository as if it were linked.
type coming struct {
	storage.Reader
	repo    string
	arrived []*LooseBlob
}

// Get implements storage.Reader.
func (c coming) Get(table storage.Table, key []byte) ([]byte, error) {
	value, err := c.Reader.Get(table, key)
	if errors.Is(err, storage.ErrNotFound) {
		if arrives := c.arrives(table, key); arrives != nil {
			return arrives, nil
		}
	}
	return value, err
}

// GetMany implements storage.Reader.
func (c coming) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	values, err := c.Reader.GetMany(table, keys)
	for i := range values {
		if values[i] == nil {
			values[i] = c.arrives(table, keys[i])
		}
	}
	return values, err
}

// arrives returns the row that a key will have, or nil.
func (c coming) arrives(table storage.Table, key []byte) []byte {
	if table != linkTable && table != blobTable {
		return nil
	}
	for _, a := range c.arrived {
		switch blob := digestKey(a.digest); {
		case table == blobTable && string(key) == string(blob):
			return a.row.encode()
		case table == linkTable && string(key) == string(repoKey(c.repo, blob)):
			return linkRow{}.encode()
		}
	}
	return nil
}
