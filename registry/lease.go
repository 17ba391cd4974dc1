package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// A blob is in a repository by a link. A link that no manifest of its repository needs has a lease: it
// begins when the blob is pushed or mounted, when a push or a mount finds it there, and when the last manifest
// that needed it goes. When the lease ends the collector takes the link away, and with the last link the blob.
//
// A row of leaseTable stands for the begin of each lease, in the order of time. Nobody removes one when the
// blob comes to be needed, or its lease begins anew: the collector sees that when it comes to the row.

// putLink makes a blob readable in a repository, and begins its lease. It says whether a manifest there has named it before it
// came: then its mark has to move when this is committed.
func (g *Registry) putLink(tx storage.Tx, repo string, d digest.Digest, from string) (late bool, err error) {
	key := digestKey(d)
	if err := unhide(tx, repo, key); err != nil {
		return false, err
	}
	if late, err = awaited(tx, repo, key); err != nil {
		return false, err
	}
	if late {
		if err := g.noteMoves(tx, d); err != nil {
			return false, err
		}
	}
	there, err := getOrNil(tx, linkTable, repoKey(repo, key))
	if err == nil && there == nil {
		err = g.countLink(tx, repo, d)
	}
	if err != nil {
		return false, err
	}
	tx.Put(linkedTable, append(bytes.Clone(key), repo...), nil)
	putLease(tx, repo, key, linkRow{from: from, lease: g.now()})
	return late, nil
}

// arrived moves the mark of a blob that came late.
func (g *Registry) arrived(d digest.Digest, late bool) {
	if late {
		g.changed([]digest.Digest{d})
	}
}

func putLease(tx storage.Tx, repo string, blob []byte, row linkRow) {
	tx.Put(linkTable, repoKey(repo, blob), row.encode())
	tx.Put(leaseTable, leaseKey(row.lease, repo, blob), nil)
}

func leaseKey(begin uint64, repo string, blob []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, begin), repoKey(repo, blob)...)
}

// cutLease reads a key of leaseTable.
func cutLease(key []byte) (begin uint64, repo string, d digest.Digest, err error) {
	if len(key) < 8 {
		return 0, "", "", damaged("a lease has no time")
	}
	repo, rest := cutRepo(key[8:])
	d, _, err = cutDigest(rest)
	return binary.BigEndian.Uint64(key), repo, d, err
}

// beginLease begins the lease of a link anew. Error: storage.ErrNotFound.
func (g *Registry) beginLease(tx storage.Tx, repo string, blob []byte) error {
	value, err := tx.Get(linkTable, repoKey(repo, blob))
	if err != nil {
		return err
	}
	row, err := decodeLinkRow(value)
	if err != nil {
		return err
	}
	row.lease = g.now()
	putLease(tx, repo, blob, row)
	return nil
}

// promised is how long a blob stays, while the registry runs, that a HEAD found whose caller may leave out sending it: as long as the
// renewal of its lease may take to be committed, and it is not committed if we are killed.
func (g *Registry) promised() time.Duration { return min(time.Duration(g.c.Lease)/8, 15*time.Minute) }

// renew begins a lease anew for someone who asked whether a blob is there, because they may leave out
// sending it. It does so only where the lease is half over, and no manifest needs the blob.
//
// Nobody waits for that to be committed: until it is, what is left of the lease keeps the blob, and the collector ends no lease before
// it. So where less is left than is promised, or there is no room for the renewal, the blob is not there for who may push: sending it is
// never wrong.
func (g *Registry) renew(ctx context.Context, c *call, row linkRow) error {
	now, lease := g.now(), time.Duration(g.c.Lease)
	if now < row.lease+uint64(lease.Microseconds())/2 || !g.gate.May(c.who, access.Push, c.repo) {
		return nil
	}
	needed := false
	err := g.store.View(ctx, func(tx storage.Reader) error {
		manifest, err := neededBy(tx, c.repo, digestKey(c.digest), nil)
		needed = manifest != ""
		return err
	})
	if err != nil || needed {
		return err
	}
	enough := now <= row.lease+uint64((lease-g.promised()).Microseconds())
	if enough && g.noteLease(c.repo, c.digest, now) {
		return nil
	}
	return errBlobUnknown(c.repo, c.digest)
}
