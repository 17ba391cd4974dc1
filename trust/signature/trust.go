package signature

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Trust is whom an operator trusts to sign which images. It is never changed once it was read; the nil Trust
// trusts nobody. It is safe for concurrent use.
type Trust struct {
	keys       []*key
	roots      []*root
	identities []*identity // of all roots
	builders   []builder
	// fingerprint is of every byte that was read.
	fingerprint string
}

// Fingerprint tells whom is trusted from any other choice: what was thought of a signature holds as long as it is
// the same. It is empty for the nil Trust.
func (t *Trust) Fingerprint() string {
	if t == nil {
		return ""
	}
	return t.fingerprint
}

// repositories are those that a signer is trusted for.
type repositories []access.Pattern

func (r repositories) match(repository string) bool {
	return slices.ContainsFunc(r, func(p access.Pattern) bool { return p.Matches(repository) })
}

// A builder may be vouched for by some signers.
type builder struct {
	id access.Glob
	by []string // names of keys and identities
}

// signer is a key or an identity, as far as a verdict names it.
type signer struct {
	name        string
	root        digest.Digest
	certificate *provenance.Certificate
	signedAt    *provenance.Time
	// standing says why the signer does not count in a repository at a moment, or "".
	standing func(repository string, at time.Time) (provenance.Reason, string)
}

// Expects says whether there is anybody whose signature would count in a repository, now or at some time.
func (t *Trust) Expects(repository string) bool {
	return t != nil && (slices.ContainsFunc(t.keys, func(k *key) bool { return k.repositories.match(repository) }) ||
		slices.ContainsFunc(t.identities, func(i *identity) bool { return i.repositories.match(repository) }))
}

// Vouches says whether a signer, by the name that a good verdict has, may say that a builder made something.
func (t *Trust) Vouches(signer, builderID string) bool {
	return t != nil && slices.ContainsFunc(t.builders, func(b builder) bool {
		return b.id.Matches(builderID) && slices.Contains(b.by, signer)
	})
}

// Standing says what a verdict of before is worth in a repository at a moment: a key may have been withdrawn
// since, or an identity be trusted no more. It returns "" for a good verdict that stands.
func (t *Trust) Standing(v *provenance.Verdict, repository string, at time.Time) (provenance.Reason, string) {
	if v.Result != provenance.Good {
		return v.Reason, v.Detail
	}
	if t != nil {
		for _, k := range t.keys {
			if k.digest == v.TrustRoot {
				return k.standing(repository, at)
			}
		}
		for _, i := range t.identities {
			if i.root.digest == v.TrustRoot && i.name == v.Signer {
				return i.standing(repository, at)
			}
		}
	}
	return provenance.NotTrusted, v.Signer + " is not among those who are trusted any more"
}

// Until is the moment from which a good verdict does not stand any more, or zero where none is set.
func (t *Trust) Until(v *provenance.Verdict) time.Time {
	for _, k := range t.keys {
		if k.digest == v.TrustRoot {
			return earlier(k.notAfter, k.withdrawn)
		}
	}
	return time.Time{}
}

// earlier is the first of two moments that are set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// errNobody says that none of those who are trusted made a signature.
var errNobody = errors.New("none of the keys and identities that are trusted here has made it")

// signer finds out who made a signature. The signer is nil where it is none of those who are trusted; where
// it is one, by its own account, and an error comes with it, the signature does not hold.
func (t *Trust) signer(s *signed, subject digest.Digest, repository string) (*signer, error) {
	if s.entity != nil {
		return t.certified(s, subject, repository)
	}
	for _, k := range t.keys {
		if k.made(s, subject) {
			return k.signer(), nil
		}
	}
	for _, k := range t.keys {
		if slices.ContainsFunc(s.hints, k.isCalled) {
			return k.signer(), fmt.Errorf("it says that the key %s made it, and it does not verify with that key", k.name)
		}
	}
	return nil, errNobody
}
