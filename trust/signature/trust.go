package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust/word"
)

// Trust is whom an operator trusts to sign which images. It is never changed once it was read; the nil Trust
// trusts nobody. It is safe for concurrent use.
type Trust struct {
	keys       []*key
	roots      []*root
	identities []*identity // of all roots
	builders   []builder
	hosts      []string // of the registry, for what is said about resources
	words      *word.Trust
	// fingerprint is the SHA-256 of text: every byte that was read, in the order of reading.
	fingerprint string
	text        []byte
}

// Text is what the fingerprint is the SHA-256 of: the file of whom to trust, and behind it those that it names. It is not to
// be changed; it is empty for the nil Trust.
func (t *Trust) Text() []byte {
	if t == nil {
		return nil
	}
	return t.text
}

// Fingerprint tells whom is trusted from any other choice: what was thought of a signature holds as long as it is
// the same. It is empty for the nil Trust.
func (t *Trust) Fingerprint() string {
	if t == nil {
		return ""
	}
	return t.fingerprint
}

// Of returns who is trusted, for a registry of these hosts, each with its port or without one: a verification summary
// may name the image by any of them.
func (t *Trust) Of(hosts ...string) *Trust {
	if t == nil {
		return nil
	}
	of := *t
	of.hosts = hosts
	return &of
}

// Stamp tells apart what signatures are worth: by who is trusted, and for a registry of which names.
func (t *Trust) Stamp() string {
	if t == nil {
		return ""
	}
	return strings.Join(append([]string{t.fingerprint + t.words.Stamp()}, t.hosts...), " ")
}

// Words is the registries whose word counts, or nil.
func (t *Trust) Words() *word.Trust {
	if t == nil {
		return nil
	}
	return t.words
}

// forked is the same trust where logs of other registries are known to have forked.
func (t *Trust) forked(by map[string]uint64) *Trust {
	if t == nil {
		return nil
	}
	of := *t
	of.words = t.words.Forked(by)
	return &of
}

// repositories are those that a signer is trusted for.
type repositories []access.Pattern

func (r repositories) match(repository string) bool {
	return slices.ContainsFunc(r, func(p access.Pattern) bool { return p.Matches(repository) })
}

// vouches are the kinds that a signer vouches for. What it signs of another kind counts for nothing.
type vouches []provenance.StatementKind

// byDefault is what a signer vouches for who is not said to vouch for something else.
var byDefault = vouches{provenance.ImageKind, provenance.ProvenanceKind}

func (w vouches) forWhat(v *provenance.Verdict) bool { return slices.ContainsFunc(w, v.Is) }

// standing says that a signature is of a kind that its signer does not vouch for, or "".
func (w vouches) standing(v *provenance.Verdict) (provenance.Reason, string) {
	if w.forWhat(v) {
		return "", ""
	}
	return provenance.OtherKind, fmt.Sprintf("%s vouches for %s, and not for what it has signed here: %s", v.Signer, w, v.KindOf())
}

func (w vouches) String() string {
	var names []string
	for _, k := range w {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
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
	vouches     vouches
	named       named
	verifiers   verifiers
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
// since, or an identity be trusted no more; or the signer does not vouch for what was signed, or not by that name. It returns "" for a good
// verdict that stands.
func (t *Trust) Standing(v *provenance.Verdict, repository string, at time.Time) (provenance.Reason, string) {
	if v.Result != provenance.Good {
		return v.Reason, v.Detail
	}
	who, why, detail := t.speaks(v, repository, at)
	if why != "" || v.KindOf() != provenance.VSAKind {
		return why, detail
	}
	return who.verifiers.timely(v, at)
}

// speaks says who made a good verdict's signature, and why that does not count whenever it says that it was made, or "".
func (t *Trust) speaks(v *provenance.Verdict, repository string, at time.Time) (who *signer, why provenance.Reason, detail string) {
	if who = t.signerOf(v); who == nil {
		return nil, provenance.NotTrusted, v.Signer + " is not among those who are trusted any more"
	}
	if why, detail = who.standing(repository, at); why == "" {
		why, detail = who.vouches.standing(v)
	}
	if why == "" {
		why, detail = who.named.standing(v, repository, t.hosts)
	}
	if why == "" && v.KindOf() == provenance.VSAKind {
		why, detail = t.entitled(who, v, repository)
	}
	return who, why, detail
}

// signerOf is the key or the identity that a verdict names, or nil where it is trusted no more.
func (t *Trust) signerOf(v *provenance.Verdict) *signer {
	if t == nil {
		return nil
	}
	for _, k := range t.keys {
		if k.digest == v.TrustRoot {
			return k.signer()
		}
	}
	for _, i := range t.identities {
		if i.root.digest == v.TrustRoot && i.name == v.Signer {
			return i.signer()
		}
	}
	return nil
}

// Until is the moment from which a good verdict does not stand any more, or zero where none is set.
func (t *Trust) Until(v *provenance.Verdict) time.Time {
	var until time.Time
	for _, k := range t.keys {
		if k.digest == v.TrustRoot {
			until = earlier(k.notAfter, k.withdrawn)
		}
	}
	if who := t.signerOf(v); who != nil && v.Summary != nil {
		until = earlier(until, who.verifiers.of(v.Summary).until(v.Summary))
	}
	return until
}

// Turns is the moment at which a verdict will be worth something else than it is, by itself, or zero where none is set: one
// that counts ends, and a summary of a time to come begins, as a key does that is not valid yet.
func (t *Trust) Turns(v *provenance.Verdict, is provenance.Standing, now time.Time) time.Time {
	switch {
	case is.Counts:
		return t.Until(v)
	case is.Reason == provenance.NotYetValid:
		return t.begins(v)
	case v.Summary != nil && v.Summary.Verified != nil && v.Summary.Verified.After(now):
		return v.Summary.Verified.Time
	}
	return time.Time{}
}

// begins is the moment from which the key that a verdict names is valid, or zero.
func (t *Trust) begins(v *provenance.Verdict) time.Time {
	if t == nil {
		return time.Time{}
	}
	for _, k := range t.keys {
		if k.digest == v.TrustRoot {
			return k.notBefore
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
