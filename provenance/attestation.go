package provenance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// This is the one reader of attestations: of layers that hold in-toto statements, bare, in DSSE envelopes or in sigstore
// bundles. Push, reports, signatures and policy ask it what a layer may hold, and what the statements in it say.

// The sizes in bytes above which an attestation is not read: one in an envelope or a bundle, and one that is bare, as
// BuildKit writes it.
const (
	MaxAttestation = 16 << 20
	MaxBare        = 40 << 20
)

// MaxOf is the size above which a layer of a media type is not read, by anyone who reads it: as it comes, and for a report.
func MaxOf(mediaType string) int64 {
	base := baseType(mediaType)
	if base == EnvelopeType || IsBundle(mediaType) || isInToto(base) && strings.HasSuffix(base, "+dsse") {
		return MaxAttestation
	}
	return MaxBare
}

// TooLarge says in words that a document has more bytes than are read.
func TooLarge(size, most int64) string {
	return fmt.Sprintf("it has %d bytes, and at most %d are read", size, most)
}

// maxLines bounds the documents in one layer of JSON lines.
const maxLines = 64

// TooManyLines says in words that a document has more lines than are read.
func TooManyLines() string {
	return fmt.Sprintf("it has more than %d lines, and those behind are not read", maxLines)
}

// HoldsStatement says whether a layer of a media type may hold an in-toto statement, in whatever form.
func HoldsStatement(mediaType string) bool {
	base := baseType(mediaType)
	return isInToto(base) || base == EnvelopeType || IsBundle(mediaType)
}

// ReferrerType is the artifactType of the artifact that a registry attaches to an image of its own: the record of its arrival. It goes
// wherever the image is copied with its referrers, and anybody may push others of the type.
const ReferrerType = "application/vnd.hallmark.provenance.v1"

// OwnAnnotations begin the names of the annotations that only a registry itself may give.
const OwnAnnotations = "vnd.hallmark."

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
	packed   map[string][]byte        // payloads of envelopes, by where they are
}

// Room returns memory for n bytes.
type Room func(n int) ([]byte, error)

// heap is a Room of its own each time.
func heap(n int) ([]byte, error) { return make([]byte, n), nil }

// OpenAttestation returns the statements in a document: one, or one in each line. Of the images that are named it is
// known whether the statements are about them, however many others they name. What cannot be parsed, or is of another
// kind, is none.
func OpenAttestation(text []byte, named ...digest.Digest) (all []*InToto) {
	return OpenAttestationIn(heap, text, named...)
}

// OpenAttestationIn is OpenAttestation for who has room for what is packed in the document. Of several lines each needs its
// own, so it is taken for the whole document alone.
func OpenAttestationIn(room Room, text []byte, named ...digest.Digest) []*InToto {
	lines, _ := Lines(text)
	return OpenLines(room, lines, named...)
}

// OpenLines is OpenAttestationIn for who has the [Lines] of the document.
func OpenLines(room Room, lines [][]byte, named ...digest.Digest) (all []*InToto) {
	if len(lines) > 1 {
		room = heap
	}
	for _, line := range lines {
		if s, err := openStatement(line, room, named); err == nil && (s.PredicateType != "" || len(lines) == 1) {
			all = append(all, s)
		}
	}
	return all
}

// Lines returns the documents in a layer where they lie: one, or one in each line (JSON lines). Of those there are more where
// more than are read.
func Lines(text []byte) (lines [][]byte, more bool) {
	first, rest, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	if len(rest) == 0 || json.Valid(text) {
		return [][]byte{text}, false
	}
	for ; len(first)+len(rest) > 0; first, rest, _ = bytes.Cut(rest, []byte("\n")) {
		if first = bytes.TrimSpace(first); len(first) == 0 {
			continue
		}
		if len(lines) == maxLines {
			return lines, true
		}
		lines = append(lines, first)
	}
	return lines, false
}

// openStatement reads a statement, in an envelope or bare. Error: what is wrong with it as JSON.
func openStatement(text []byte, room Room, named []digest.Digest) (*InToto, error) {
	s, err := readStatementOf(text, room, named)
	if err != nil {
		return nil, err
	}
	if payload, sealed := s.payload(); sealed {
		if s, err = readStatementOf(payload, nil, named); err != nil {
			return nil, err
		}
		s.Sealed = true
	}
	return s, nil
}

// readStatementOf reads a statement or an envelope. Of an envelope the payload is unpacked into room; without one it is
// passed over.
func readStatementOf(text []byte, room Room, named []digest.Digest) (*InToto, error) {
	s := &InToto{Payload: text, subjects: &subjects{wanted: named}, used: map[string]*dependencies{}, steps: &collection{}, packed: map[string][]byte{}}
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
	for _, at := range envelopes {
		lists[at+"/payload"] = packed(func(b []byte) { s.packed[at] = unpack(b, room) })
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

// envelopes are where a DSSE envelope is: bare, or in a sigstore bundle.
var envelopes = []string{"", "/dsseEnvelope"}

// payload is what the envelope holds, or nothing where that is no base64. It is not sealed where the document is no
// envelope.
func (s *InToto) payload() (text []byte, sealed bool) {
	for _, at := range envelopes {
		if IsStatement(s.document[at+"/payloadType"]) {
			return s.packed[at], true
		}
	}
	return nil, false
}

// unpack decodes base64 into room, or returns nothing.
func unpack(text []byte, room Room) []byte {
	if room == nil {
		return nil
	}
	alphabet := AlphabetOf(text)
	b, err := room(alphabet.DecodedLen(len(text)))
	if err != nil {
		return nil
	}
	n, err := alphabet.Decode(b, text)
	if err != nil {
		return nil
	}
	return b[:n]
}

// AlphabetOf returns the base64 that a text is in: of either alphabet, as DSSE allows, and with padding or without.
func AlphabetOf(text []byte) *base64.Encoding {
	encoding := base64.StdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if len(text)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	return encoding
}

// Base64 is bytes as an envelope has them.
type Base64 []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Base64) UnmarshalText(text []byte) (err error) {
	*b, err = AlphabetOf(text).DecodeString(string(text))
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

// Unread says why not all that the statement claims was read, or "".
func (s *InToto) Unread() string { return s.unread((*dependencies).unread) }

// UnreadSource says why the source may be named in what was not read, or "". What else was not read does not matter to it.
func (s *InToto) UnreadSource() string { return s.unread((*dependencies).unreadSource) }

func (s *InToto) unread(of func(*dependencies) string) string {
	if isWitness(s.PredicateType) {
		return s.steps.unread(of)
	}
	if p, ok := predicateOf(s.PredicateType); ok {
		return of(s.used[p.used])
	}
	return ""
}

// Names says whether the statement itself names an image, of those that it was read for.
func (s *InToto) Names(d digest.Digest) bool { return slices.Contains(s.subjects.found, d) }

// NamesOf are what the statement calls an image, of those that it was read for.
func (s *InToto) NamesOf(d digest.Digest) Names {
	if n := s.subjects.names[d]; n != nil {
		return *n
	}
	return Names{}
}

// About returns the images that the statement is about.
func (s *InToto) About(attachedTo digest.Digest) []digest.Digest { return s.subjects.about(attachedTo) }

// ClaimsOfAttestation reads what the statements in a document of a size claim: signatures are not looked at, so all is
// claimed, and no more. from is the digest of the document, and subject the image that it was attached to, which counts
// where a statement itself names no image; it may be empty. What cannot be parsed, or is of another kind, claims nothing.
// unread says why not all of it was read, or is "". Of large documents one is read at a time.
func ClaimsOfAttestation(ctx context.Context, r io.Reader, size int64, from, subject digest.Digest) (claims []Claim, unread string) {
	if size > MaxBare {
		return nil, TooLarge(size, MaxBare)
	}
	d := desk.Sit(ctx)
	defer d.Leave()
	text, err := d.Whole(int(size))
	if err != nil {
		return nil, "its turn did not come"
	}
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, "it could not be read"
	}
	lines, more := Lines(text)
	if more {
		unread = TooManyLines()
	}
	for _, s := range OpenLines(d.Packed, lines, subject) {
		unread = cmp.Or(unread, s.Unread())
		for _, c := range s.Claims(from, subject) {
			if !slices.Contains(claims, c) {
				claims = append(claims, c)
			}
		}
	}
	return claims, unread
}
