package registry

import (
	"bytes"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A link whose lease has ended is hidden where a manifest in the trash holds its blob: nobody can read or mount the blob
// there, and its bytes stay. A push or a mount of it makes a link of it again, and so does who brings the manifest back.
// With the last hold the hidden link goes, and with the last link of either kind the blob.

// takeAway takes a blob out of a repository: out of sight where the trash holds it there, which it says, else for good. hidden
// says that this transaction has hidden the blob in another repository.
func (g *Registry) takeAway(tx storage.Tx, repo string, d digest.Digest, row linkRow, hidden bool) (held bool, err error) {
	key := digestKey(d)
	held, err = anyRow(tx, trashHeldTable, repoKey(repo, key))
	if err != nil {
		return false, err
	}
	if held {
		putHidden(tx, repo, key, row)
	}
	return held, g.unlink(tx, repo, d, held || hidden)
}

// putHidden and deleteHidden are how a hidden link comes and goes.
func putHidden(tx storage.Tx, repo string, blob []byte, row linkRow) {
	tx.Put(hiddenTable, repoKey(repo, blob), row.encode())
	tx.Put(hiddenInTable, append(bytes.Clone(blob), repo...), nil)
}

func deleteHidden(tx storage.Tx, repo string, blob []byte) {
	tx.Delete(hiddenTable, repoKey(repo, blob))
	tx.Delete(hiddenInTable, append(bytes.Clone(blob), repo...))
}

// unlink removes a link. With the last one the blob goes, unless it is hidden somewhere: then only the trash holds it. hidden says
// that this transaction has hidden it, which a scan does not see.
func (g *Registry) unlink(tx storage.Tx, repo string, d digest.Digest, hidden bool) error {
	key := digestKey(d)
	if err := g.uncountLink(tx, repo, d); err != nil {
		return err
	}
	tx.Delete(linkTable, repoKey(repo, key))
	tx.Delete(linkedTable, append(bytes.Clone(key), repo...))
	linked, err := anyRow(tx, linkedTable, key)
	if err != nil || linked {
		return err
	}
	if !hidden {
		if hidden, err = anyRow(tx, hiddenInTable, key); err != nil {
			return err
		}
	}
	row, err := readBlobRow(tx, d)
	if err != nil {
		return err
	}
	if hidden {
		return addToTrash(tx, Trashed{Bytes: row.size})
	}
	giveUp(tx, d, row)
	return nil
}

// giveUp removes a blob that is in no repository.
func giveUp(tx storage.Tx, d digest.Digest, row blobRow) {
	tx.Delete(blobTable, digestKey(d))
	dropFile(tx, d, row)
}

// unhide makes room for a link of a blob that may be hidden. It is called before the link is put.
func unhide(tx storage.Tx, repo string, blob []byte) error {
	hidden, err := anyRow(tx, hiddenInTable, blob)
	if err != nil || !hidden {
		return err
	}
	deleteHidden(tx, repo, blob)
	linked, err := anyRow(tx, linkedTable, blob)
	if err != nil || linked {
		return err
	}
	_, _, err = uncountHidden(tx, blob)
	return err
}

// uncountHidden counts a blob no more that only the trash held, and returns it.
func uncountHidden(tx storage.Tx, blob []byte) (d digest.Digest, row blobRow, err error) {
	if d, _, err = cutDigest(blob); err != nil {
		return d, row, err
	}
	if row, err = readBlobRow(tx, d); err != nil {
		return d, row, err
	}
	return d, row, addToTrash(tx, Trashed{Bytes: -row.size})
}

// dropHidden removes the hidden link of a blob that the trash does not hold any more.
func dropHidden(tx storage.Tx, repo string, blob []byte) error {
	row, err := getOrNil(tx, hiddenTable, repoKey(repo, blob))
	if err != nil || row == nil {
		return err
	}
	held, err := anyRow(tx, trashHeldTable, repoKey(repo, blob))
	if err != nil || held {
		return err
	}
	deleteHidden(tx, repo, blob)
	for _, table := range []storage.Table{linkedTable, hiddenInTable} {
		if other, err := anyRow(tx, table, blob); err != nil || other {
			return err
		}
	}
	d, b, err := uncountHidden(tx, blob)
	if err == nil {
		giveUp(tx, d, b)
	}
	return err
}
