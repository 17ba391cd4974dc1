package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"net/http"
)

// Where a page of images ends may name a repository that the caller may not know of. So it is encrypted, with a
// key of this process: after a restart a list is begun anew.

func newCursorCipher() cipher.AEAD {
	key := make([]byte, 32)
	rand.Read(key) // which never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // a bug: the key has the length that it should have
	}
	made, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // a bug: the block has the size that it should have
	}
	return made
}

// hidden returns where the page of a question ends, as its caller is shown it, or "".
func (a *API) hidden(question string, position []byte) string {
	if position == nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(a.cursors.Seal(nil, nil, position, []byte(question)))
}

// position returns where a page begins, as hidden made it for the same question: the parameter after, or nil.
func (a *API) position(q *query, question string) []byte {
	s := q.text("after")
	if s == "" {
		return nil
	}
	box, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		if position, err := a.cursors.Open(nil, nil, box, []byte(question)); err == nil {
			return position
		}
	}
	q.fail("after is no page that is known here, or from before a restart: begin at the first page")
	return nil
}

// errNoPage answers ErrNoPage: the question is another than that of the page before.
func errNoPage() error {
	return problemf(http.StatusBadRequest, "after belongs to another question: begin at the first page")
}
