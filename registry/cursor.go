package registry

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// A page of repositories can end at one that the caller may not know of. Its name is sealed then, in what
// the caller is given to go on from.

// cursorMark begins a sealed cursor. No repository's name holds it.
const cursorMark = "~"

// newCursors returns the cipher of sealed cursors, with a key of its own made from the registry's secret.
func newCursors(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "catalog cursor", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nextCursor is where the page behind this one begins.
func (g *Registry) nextCursor(p repositoryPage) string {
	switch {
	case p.n == 0:
		return "" // nothing was asked for, and would never be
	case len(p.names) == p.n:
		return p.names[p.n-1]
	}
	nonce := make([]byte, g.cursors.NonceSize())
	rand.Read(nonce) // which never fails
	return cursorMark + base64.RawURLEncoding.EncodeToString(g.cursors.Seal(nonce, nonce, []byte(p.last), nil))
}

// openCursor returns the name behind which a page begins. What is no cursor of ours is a name, be there
// such a repository or not.
func (g *Registry) openCursor(s string) string {
	sealed, ok := strings.CutPrefix(s, cursorMark)
	data, err := base64.RawURLEncoding.DecodeString(sealed)
	if !ok || err != nil || len(data) < g.cursors.NonceSize() {
		return s
	}
	name, err := g.cursors.Open(nil, data[:g.cursors.NonceSize()], data[g.cursors.NonceSize():], nil)
	if err != nil {
		return s
	}
	return string(name)
}
