package access

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// A record names the secret of a login by an id that is a hash of the account and of what is stored of the secret. So a row
// whose secret somebody changed past the registry is not the one that a record introduced: `hallmark fsck` says so, and
// nobody signs in with it.

// credentialPrefix begins the ids that are such hashes. Older ones were drawn at random, and stay until the secret changes.
const credentialPrefix = "s-"

// credentialOf returns the id of a secret, of which hash is stored: bcrypt's, or a SHA-256.
func credentialOf(account string, hash []byte) string {
	sum := sha256.Sum256([]byte("hallmark credential\x00" + account + "\x00" + string(hash)))
	return credentialPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26]) // 130 bits
}

// isItsOwn says that a credential is the id of the secret that is stored beside it, as far as it can be told.
func isItsOwn(credential, account string, hash []byte) bool {
	id := strings.TrimPrefix(credential, string(TokenSession)+"-")
	return !strings.HasPrefix(id, credentialPrefix) || id == credentialOf(account, hash)
}
