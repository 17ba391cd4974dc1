package access

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// A record names the secret of a login by an id that is a hash of the account and of what is stored of the secret. So a row
// whose secret somebody changed past the registry is not the one that a record introduced: `hallmark fsck` says so, and
// nobody signs in with it.

// credentialOf returns the id of a secret, of which hash is stored: bcrypt's, or a SHA-256.
func credentialOf(account string, hash []byte) string {
	sum := sha256.Sum256([]byte("hallmark credential\x00" + account + "\x00" + string(hash)))
	return replay.HashedPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26]) // 130 bits
}

// isItsOwn says that a credential is the id of the secret that is stored beside it. Of older ids, which were drawn at random
// and stay until the secret changes, it cannot be told.
func isItsOwn(credential, account string, hash []byte) bool {
	return !replay.IsOnRecord(credential) || strings.TrimPrefix(credential, string(TokenSession)+"-") == credentialOf(account, hash)
}
