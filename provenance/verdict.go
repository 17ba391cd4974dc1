package provenance

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// A Result is what was found of a signature.
type Result string

// The results of a look at a signature.
const (
	Good    Result = "good"    // it verifies, by a signer who is trusted for this repository
	Failed  Result = "failed"  // a trusted signer is named by it, or made it, and it does not hold: Reason says why
	Foreign Result = "foreign" // none of those who are trusted here has made it, as far as can be told
	Unread  Result = "unknown" // it was not read to its end, so nothing is known of it: Detail says why
)

// A Reason says why a signature that has to do with a trusted signer is not good.
type Reason string

// The reasons.
const (
	BadSignature Reason = "signature"  // it does not verify
	OtherDigest  Reason = "digest"     // it verifies, and is about another image
	Withdrawn    Reason = "withdrawn"  // the key was withdrawn
	Expired      Reason = "expired"    // the key was valid until before
	NotYetValid  Reason = "not-yet"    // the key is valid from later on
	OtherPlace   Reason = "repository" // the signer is not trusted for this repository
	NotTrusted   Reason = "untrusted"  // the signer is no longer among those who are trusted
	Removed      Reason = "removed"    // it is not attached to the image any more
	OtherKind    Reason = "kind"       // it holds, and the signer does not vouch for this kind
	OtherName    Reason = "name"       // it holds, and was made for another name than its signer's signatures may have

	// Of a verification summary that holds.
	OtherVerifier Reason = "verifier"  // its signer does not speak for this verifier
	OtherResource Reason = "resource"  // it is about another resource
	OtherPolicy   Reason = "policy"    // it was made by a policy that is not listed
	NotOfNow      Reason = "age"       // it is too old, of the future, or does not say when it was made
	NotPassed     Reason = "result"    // it does not say that the image passed
	Overtaken     Reason = "overtaken" // a later one about the same decides
)

// A Verdict is what was found of one signature about one image, at the time of its record. It is never
// changed: what a key that was withdrawn since is worth is asked of the configuration.
type Verdict struct {
	Result Result `json:"result"`
	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"` // for people
	// Form is how it was signed: "simple signing", "dsse", "sigstore bundle" or "helm provenance".
	Form string `json:"form,omitempty"`
	// Kind is what was signed, where the signature was verified: image, provenance, … or a full predicate type. It is
	// absent from records of older versions; KindOf says it in any case.
	Kind StatementKind `json:"kind,omitempty"`
	// Names are what was signed calls the image: the docker-reference of a simple signature, or the names of the subjects of
	// a statement that have the image's digest. Records of older versions have none.
	Names
	// Summary is what a verification summary says.
	Summary *Summary `json:"summary,omitempty"`
	// Evidence is the document that was looked at, and what kind of statement it holds.
	Evidence Evidence `json:"evidence"`
	// Line is the line of the document, from 1, where it holds several, one in a line.
	Line int `json:"line,omitempty"`
	// Manifest is what carried it.
	Manifest digest.Digest `json:"manifest,omitempty"`

	Signer string `json:"signer,omitempty"` // the configuration's name for a key or an identity
	// TrustRoot is the SHA-256 of what vouches for the signer: of the key (SubjectPublicKeyInfo, DER), or of
	// the trusted_root.json.
	TrustRoot digest.Digest `json:"trustRoot,omitempty"`
	// Certificate is whose a certificate is, of one that is no key of its own.
	Certificate *Certificate `json:"certificate,omitempty"`
	// SignedAt is when a log or a timestamp authority of the trust root saw it.
	SignedAt *Time `json:"signedAt,omitempty"`
}

// A Finding is what was found of one signature: the verdict, and what a statement with a good one attests, as far as it was
// read. Or it is what was found of another registry's record, and nothing else.
type Finding struct {
	Verdict  Verdict
	Attested []Attestation
	Unread   []UnreadDocument // what may be attested too, and was not read
	Word     *Word
}

// LeaveUnread notes that not all of a document about an image was read.
func (f *Finding) LeaveUnread(u UnreadDocument) {
	if u.About != "" && !slices.Contains(f.Unread, u) {
		f.Unread = append(f.Unread, u)
	}
}

// A Certificate is whom a certificate authority identified. Subject is absent where it is not a URI: it
// would be a person's address.
type Certificate struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject,omitempty"`
}

// Attestation is a fact in a statement whose signature was verified, and by whom it is. Only a
// SignedStatement makes one, and a statement in a manifest that is signed.
type Attestation struct {
	Fact      string        `json:"fact"`
	Value     string        `json:"value"`
	About     digest.Digest `json:"about"`
	From      string        `json:"from"`
	Name      string        `json:"name,omitempty"` // what the statement calls the image that Value is the digest of
	Cut       bool          `json:"cut,omitempty"`  // the value was longer than MaxValue
	Evidence  Evidence      `json:"evidence"`
	Signer    string        `json:"signer"`
	TrustRoot digest.Digest `json:"trustRoot"`
}

// A SignedStatement is an in-toto statement. Its reader says that the signature over it was verified.
type SignedStatement struct{ *InToto }

// ParseSignedStatement reads the payload of an envelope whose signature was verified, as far as it may be about an image.
// One that not everybody reads alike is refused.
func ParseSignedStatement(payload []byte, about digest.Digest) (*SignedStatement, error) {
	s, err := readStatementOf(payload, nil, []digest.Digest{about})
	if err != nil {
		return nil, err
	}
	return &SignedStatement{s}, nil
}

// PredicateType is the kind of the statement, at most MaxValue bytes of it.
func (s *SignedStatement) PredicateType() string { return Bounded(s.InToto.PredicateType) }

// Attested returns the facts of the statement about an image that it names, from the document that a good
// verdict is about. Another verdict, and another image, attest nothing.
func (s *SignedStatement) Attested(about digest.Digest, v *Verdict) (all []Attestation) {
	if v.Result != Good || !s.Names(about) {
		return nil
	}
	for _, c := range s.Claims(v.Evidence.Digest, about) {
		all = append(all, c.Attested(v))
	}
	return all
}

// Attested is a claim of a statement over which a signature was verified, as the fact that the signer attests.
func (c Claim) Attested(v *Verdict) Attestation {
	return Attestation{
		Fact: c.Fact, Value: c.Value, About: c.About, From: c.From, Name: c.Name, Cut: c.Cut,
		Evidence: v.Evidence, Signer: v.Signer, TrustRoot: v.TrustRoot,
	}
}

// SameAs says whether two verdicts found the same of the same document.
func (v *Verdict) SameAs(other *Verdict) bool {
	return v.Evidence == other.Evidence && v.Result == other.Result && v.Reason == other.Reason &&
		v.Signer == other.Signer && v.TrustRoot == other.TrustRoot
}

// Bounded returns a text as it may stand in a record.
func Bounded(text string) string {
	text, _ = bound(CutSecrets(text))
	return text
}
