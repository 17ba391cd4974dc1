package provenance

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// This is the one reader of attestations: of layers that hold in-toto statements, bare, in DSSE envelopes or in sigstore
// bundles. Push, reports, signatures and policy ask it what a layer may hold, and what the statements in it say.

// MaxAttestation is the size in bytes above which an attestation is not read for claims.
const MaxAttestation = 8 << 20

// maxLines bounds the documents in one layer of JSON lines.
const maxLines = 64

// HoldsStatement says whether a layer of a media type may hold an in-toto statement, in whatever form.
func HoldsStatement(mediaType string) bool {
	base := baseType(mediaType)
	return isInToto(base) || base == EnvelopeType || IsBundle(mediaType)
}

// EnvelopeType is the media type of a layer that holds a DSSE envelope, as cosign's older attestations have it.
const EnvelopeType = "application/vnd.dsse.envelope.v1+json"

// IsBundle says whether a media type is that of a sigstore bundle: of version 0.3, or of one before, which have their
// version in a parameter, or have lost it.
func IsBundle(mediaType string) bool {
	base := baseType(mediaType)
	return base == "application/vnd.dev.sigstore.bundle+json" ||
		strings.HasPrefix(base, "application/vnd.dev.sigstore.bundle.v0.") && strings.HasSuffix(base, "+json")
}

// isInToto says whether a media type is one of in-toto: of a statement, or of an envelope around one of a certain
// predicate, as application/vnd.in-toto.provenance+dsse.
func isInToto(base string) bool {
	rest, ok := strings.CutPrefix(base, "application/vnd.in-toto")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == '.')
}

// baseType is a media type without its parameters, in lower case.
func baseType(mediaType string) string {
	if base, _, err := mime.ParseMediaType(mediaType); err == nil {
		return base
	}
	base, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(base))
}

// IsStatement says whether a payload type of DSSE is that of an in-toto statement: what it is now, or was before there
// was one for all.
func IsStatement(payloadType string) bool {
	return isInToto(baseType(payloadType)) || strings.HasPrefix(payloadType, "https://in-toto.io/Statement/")
}

// StatedPredicate returns the predicate type that the annotations of a layer, or of its manifest, say, or "": BuildKit's,
// that of cosign's older attestations, and that of its bundles.
func StatedPredicate(annotations map[string]string) string {
	for _, name := range []string{"in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType"} {
		if said := annotations[name]; said != "" {
			return said
		}
	}
	return ""
}

// An InToto is an in-toto statement of any version, as far as it is read here. Nothing in it was verified.
type InToto struct {
	PredicateType string
	// Sealed says that it came in an envelope, which has signatures.
	Sealed  bool
	Payload []byte // the statement as it is

	document
	subjects *subjects
	used     map[string]*dependencies // by the pointer of their list
	steps    *collection              // of a witness
}

// OpenAttestation returns the statements in a document: one, or one in each line. Of the images that are named it is
// known whether the statements are about them, however many others they name. What cannot be parsed, or is of another
// kind, is none.
func OpenAttestation(text []byte, named ...digest.Digest) (all []*InToto) {
	if s, err := openStatement(text, named); err == nil {
		return []*InToto{s}
	}
	for n := 0; len(text) > 0 && n < maxLines; n++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if s, err := openStatement(line, named); err == nil && s.PredicateType != "" {
			all = append(all, s)
		}
	}
	return all
}

// openStatement reads a statement, in an envelope or bare. Error: what is wrong with it as JSON.
func openStatement(text []byte, named []digest.Digest) (*InToto, error) {
	s, err := readStatementOf(text, named)
	if err != nil {
		return nil, err
	}
	if payload, sealed := s.payload(); sealed {
		if s, err = readStatementOf(payload, named); err != nil {
			return nil, err
		}
		s.Sealed = true
	}
	return s, nil
}

func readStatementOf(text []byte, named []digest.Digest) (*InToto, error) {
	s := &InToto{Payload: text, subjects: &subjects{wanted: named}, used: map[string]*dependencies{}, steps: &collection{}}
	about := &descriptors{take: s.subjects.take}
	whole := []*descriptors{about}
	lists := map[string]strictjson.Visitor{"/subject": listed(about.element), witnessList: listed(s.steps.element)}
	for _, p := range predicates {
		if s.used[p.used] == nil {
			used := &dependencies{}
			list := &descriptors{take: used.take}
			s.used[p.used], lists[p.used], whole = used, listed(list.element), append(whole, list)
		}
	}
	d, err := readDocument(text, attestationPlaces, lists)
	if err != nil {
		return nil, err
	}
	for _, list := range whole {
		list.end()
	}
	s.document, s.PredicateType = d, d["/predicateType"]
	return s, nil
}

// payload is what the envelope holds, or nothing where that is no base64. It is not sealed where the document is no
// envelope.
func (d document) payload() (text []byte, sealed bool) {
	for _, at := range []string{"", "/dsseEnvelope"} {
		if IsStatement(d[at+"/payloadType"]) {
			var payload Base64
			if payload.UnmarshalText([]byte(d[at+"/payload"])) != nil {
				payload = nil
			}
			return payload, true
		}
	}
	return nil, false
}

// Base64 is bytes as an envelope has them: in either alphabet, as DSSE allows, and with padding or without.
type Base64 []byte

// standardAlphabet turns the URL-safe alphabet of base64 into the standard one.
var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Base64) UnmarshalText(text []byte) error {
	plain := strings.TrimRight(standardAlphabet.Replace(string(text)), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(plain)
	*b = decoded
	return err
}

// Claims are what the statement claims, in a document whose digest is from. attachedTo is the image that the document
// was attached to, which counts where the statement itself names no image; it may be empty.
func (s *InToto) Claims(from, attachedTo digest.Digest) (claims []Claim) {
	facts := s.facts()
	evidence := Evidence{Digest: from, PredicateType: Bounded(s.PredicateType)}
	for _, about := range s.subjects.about(attachedTo) {
		for _, f := range facts {
			claims = append(claims, Claim{Fact: f.fact, Value: f.value, About: about, From: f.from, Name: f.name, Cut: f.cut, Evidence: evidence})
		}
	}
	return claims
}

// About returns the images that the statement is about.
func (s *InToto) About(attachedTo digest.Digest) []digest.Digest { return s.subjects.about(attachedTo) }

// ClaimsOfAttestation reads what the statements in a document claim: signatures are not looked at, so all is claimed, and
// no more. from is the digest of the document, and subject the image that it was attached to, which counts where a
// statement itself names no image; it may be empty. What cannot be parsed, or is of another kind, claims nothing.
func ClaimsOfAttestation(r io.Reader, from, subject digest.Digest) (claims []Claim) {
	text, err := io.ReadAll(io.LimitReader(r, MaxAttestation+1))
	if err != nil || len(text) > MaxAttestation {
		return nil
	}
	for _, s := range OpenAttestation(text, subject) {
		for _, c := range s.Claims(from, subject) {
			if !slices.Contains(claims, c) {
				claims = append(claims, c)
			}
		}
	}
	return claims
}
