// Package signature says who signed an image: which of the keys and identities that the operator named, and
// whether that holds.
//
// One file says whom to trust; it is read into a [Trust] (file.go). What is attached to an image is a
// [Document]: a layer of cosign's older .sig and .att tags, or a sigstore bundle. A [Scheme] knows one way
// to sign, opens a document and asks the Trust who made it. The answer is a [provenance.Finding]: a verdict, and the
// facts that a verified statement attests.
//
// A signature counts only if it is bound to the digest of the image in question: by the payload of a simple
// signature, or among the subjects of a statement. The package works offline: it asks no log or authority. It knows
// nothing of HTTP, of grades, or of how records are kept.
package signature

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/provenance"
)

// The bounds of what is read, in bytes.
const (
	MaxDocument = provenance.MaxAttestation // a document
	maxSimple   = 64 << 10                  // the payload of a simple signature
)

// A Document is a layer that may hold a signature of an image.
type Document struct {
	Subject  digest.Digest // the image that it is attached to
	Manifest digest.Digest // the manifest that it is a layer of
	Layer    ocispec.Descriptor
	Body     []byte     // at most MaxDocument
	Desk     *desk.Desk // where what is packed in it is laid; nil for one of its own
}

// A Scheme is a way to sign images. There are two, Older and Bundles; Notation's would be the third, with a
// kind of its own in the file of whom to trust.
type Scheme interface {
	// Look returns what it finds of a document that Reads has taken, as of a moment.
	Look(t *Trust, repository string, d Document, now time.Time) provenance.Finding
}

// schemeOf returns the scheme that reads a media type, or nil.
func schemeOf(mediaType string) Scheme {
	switch {
	case mediaType == simpleType || mediaType == provenance.EnvelopeType:
		return Older{}
	case provenance.IsBundle(mediaType):
		return Bundles{}
	}
	return nil
}

// Reads says whether a layer of this media type may be a signature.
func Reads(mediaType string) bool { return schemeOf(mediaType) != nil }

func isSignature(layer ocispec.Descriptor) bool { return Reads(layer.MediaType) }

// LookAtEach returns what is found of each document in a layer, whose media type Reads: of one, or of one in each line.
func (t *Trust) LookAtEach(repository string, d Document, now time.Time) (found []provenance.Finding) {
	if !provenance.HoldsStatement(d.Layer.MediaType) {
		return []provenance.Finding{t.Look(repository, d, now)}
	}
	lines, more := provenance.Lines(d.Body)
	for i, line := range lines {
		one := d
		one.Body = line
		f := t.Look(repository, one, now)
		if len(lines) > 1 {
			f.Verdict.Line = i + 1
		}
		found = append(found, f)
	}
	if more {
		found = append(found, unread(d, "", provenance.TooManyLines()))
	}
	return found
}

// Look returns what is found of a document, whose media type Reads, in a repository.
func (t *Trust) Look(repository string, d Document, now time.Time) provenance.Finding {
	if len(d.Body) > MaxDocument {
		return unread(d, "", provenance.TooLarge(int64(len(d.Body)), MaxDocument))
	}
	if d.Desk == nil {
		d.Desk = desk.Sit(context.Background())
		defer d.Desk.Leave()
	}
	return schemeOf(d.Layer.MediaType).Look(t, repository, d, now)
}

// foreign is the finding about what none of those who are trusted here has made.
func foreign(d Document, form, detail string) provenance.Finding {
	f := newFinding(d, form)
	f.Verdict.Result, f.Verdict.Detail = provenance.Foreign, provenance.Bounded(detail)
	return f
}

// unread is the finding about what was not read to its end: anybody may have made it.
func unread(d Document, form, detail string) provenance.Finding {
	f := foreign(d, form, detail)
	f.Verdict.Result = provenance.Unread
	return f
}

// errUnread is about a bound of ours, and not about what was read.
type errUnread string

func (e errUnread) Error() string { return string(e) }

// refused is the finding about a document that cannot be opened.
func refused(d Document, form string, err error) provenance.Finding {
	var bound errUnread
	if errors.As(err, &bound) {
		return unread(d, form, err.Error())
	}
	return foreign(d, form, err.Error())
}

func newFinding(d Document, form string) provenance.Finding {
	return provenance.Finding{Verdict: provenance.Verdict{Form: form, Manifest: d.Manifest, Evidence: provenance.Evidence{Digest: d.Layer.Digest}}}
}

// The forms of a verdict.
const (
	formSimple = "simple signing"
	formDSSE   = "dsse"
	formBundle = "sigstore bundle"
)

// signed is what a document says was signed, however it is packed. Nothing in it was verified.
type signed struct {
	form      string
	payload   []byte                 // a statement, or the payload of a simple signature; nil where the image itself was signed
	encoded   []byte                 // what a signature of a statement is over: its payload, in DSSE's encoding
	as        []byte                 // the payload of a statement in standard base64, where it came in that
	statement bool                   // the payload is an in-toto statement, signed in a DSSE envelope
	kind      string                 // the payload type of the envelope
	over      digest.Algorithm       // of the hash of the image that was signed itself
	sums      map[crypto.Hash][]byte // of the message, where they were made
	sigs      [][]byte               // any of them will do
	hints     []string               // by what they say the key is known
	entity    entity                 // what sigstore's verifier takes; nil where there is no certificate
}

// verdict finds out who made it, what it is about, and whether that counts in a repository now.
func (s *signed) verdict(t *Trust, repository string, d Document, now time.Time) provenance.Finding {
	if s.payload == nil && s.over != d.Subject.Algorithm() {
		return unread(d, s.form, fmt.Sprintf("it is over the %s of the manifest, which is known here by its %s", s.over, d.Subject.Algorithm()))
	}
	f := newFinding(d, s.form)
	v := &f.Verdict
	who, err := t.signer(s, d.Subject, repository)
	if who == nil {
		return refused(d, s.form, err)
	}
	v.Signer, v.TrustRoot, v.Certificate, v.SignedAt = who.name, who.root, who.certificate, who.signedAt
	fail := func(why provenance.Reason, detail string) provenance.Finding {
		v.Result, v.Reason, v.Detail = provenance.Failed, why, provenance.Bounded(detail)
		return f
	}
	if err != nil {
		return fail(provenance.BadSignature, err.Error())
	}
	about, err := s.subject(d.Subject)
	v.Kind, v.Names = provenance.ImageKind, about.names
	if about.statement != nil {
		v.Evidence.PredicateType = about.statement.PredicateType()
		v.Kind, v.Summary = provenance.KindOf(v.Evidence.PredicateType), provenance.SummaryOf(v.Evidence.PredicateType, s.payload)
	}
	if err != nil {
		return fail(provenance.OtherDigest, err.Error())
	}
	if why, detail := who.standing(repository, now); why != "" {
		return fail(why, detail)
	}
	v.Result = provenance.Good
	if _, why, _ := t.speaks(v, repository, now); why == "" && about.statement != nil {
		f.Attested = about.statement.Attested(d.Subject, v)
		if why := about.statement.Unread(); why != "" {
			f.LeaveUnread(provenance.UnreadDocument{Document: d.Layer.Digest, About: d.Subject, Why: why})
		}
	}
	return f
}

// verified is a payload whose signature was verified.
type verified struct {
	statement *provenance.SignedStatement // nil for a signature of the image itself
	names     provenance.Names            // what it calls the image
}

// subject reads a payload whose signature was verified. It is an error where it is about another image.
func (s *signed) subject(want digest.Digest) (v verified, err error) {
	switch {
	case s.payload == nil: // it was verified over the digest itself
		return v, nil
	case !s.statement:
		name, err := simpleIsAbout(s.payload, want)
		v.names.Add(name)
		return v, err
	}
	if v.statement, err = provenance.ParseSignedStatement(s.payload, want); err != nil {
		return verified{}, fmt.Errorf("its statement cannot be read: %w", err)
	}
	if !v.statement.Names(want) {
		return v, fmt.Errorf("its statement does not name %s", want)
	}
	v.names = v.statement.NamesOf(want)
	return v, nil
}
