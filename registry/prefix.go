package registry

import (
	"context"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// ValidPrefix says whether a text can be how a digest begins: an algorithm, a colon, and at least one hexadecimal digit.
func ValidPrefix(s string) bool {
	_, _, ok := prefixRange(s)
	return ok
}

// DigestsLike returns the digests of up to n manifests of a repository that begin with a prefix, in order.
func (g *Registry) DigestsLike(ctx context.Context, repo, prefix string, n int) (found []digest.Digest, err error) {
	from, to, ok := prefixRange(prefix)
	if !ok || !validName(repo) {
		return nil, nil
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		found = nil
		for item, err := range tx.Scan(manifestTable, repoKey(repo, from), storage.PrefixEnd(repoKey(repo, to))) {
			if err != nil || len(found) == n {
				return err
			}
			_, rest := cutRepo(item.Key)
			d, _, err := cutDigest(rest)
			if err != nil {
				return err
			}
			found = append(found, d)
		}
		return nil
	})
	return found, err
}

// prefixRange returns what the first and the last DIGEST begin with whose digest has a prefix. An odd number of digits ends
// within a byte.
func prefixRange(prefix string) (from, to []byte, ok bool) {
	algorithm, digits, _ := strings.Cut(prefix, ":")
	kind, most := byte(sha256Byte), 64
	if algorithm == string(digest.SHA512) {
		kind, most = sha512Byte, 128
	}
	known := algorithm == string(digest.SHA256) || algorithm == string(digest.SHA512)
	if !known || len(digits) > most {
		return nil, nil, false
	}
	from, to, ok = provenance.HexRange(digits)
	return append([]byte{kind}, from...), append([]byte{kind}, to...), ok
}
