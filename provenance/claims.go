package provenance

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The facts that records are searched by.
const (
	FactSource   = "source"    // where the source code is
	FactRevision = "revision"  // which revision of it
	FactBase     = "base"      // the digest of the base image
	FactBaseName = "base-name" // what the image calls its base
	FactMaterial = "material"  // the digest of an image that the build used: a base, or of a stage before
	FactBuilder  = "builder"   // what built it; not searched by
	// FactMaterialsLeft is how many materials a list has beyond those that are read: any image may be among them.
	FactMaterialsLeft = "materials-left-out"
	// FactPushedAt is when an image came to the place that it was imported from, as that place has it; not searched by.
	FactPushedAt = "pushed-at"
)

// factOf names the fact that an OCI annotation, or a label of the same name, claims. Others, such as
// authors, may hold e-mail addresses or nothing of use here, and stay out of records.
var factOf = map[string]string{
	ocispec.AnnotationSource:          FactSource,
	ocispec.AnnotationRevision:        FactRevision,
	ocispec.AnnotationVersion:         "version",
	ocispec.AnnotationCreated:         "created",
	ocispec.AnnotationBaseImageDigest: FactBase,
	ocispec.AnnotationBaseImageName:   FactBaseName,
}

// ClaimsOf reads what an image claims about itself: the annotations of its manifest, and the labels and
// the time of creation in its config. A config that not everybody reads alike claims nothing.
func ClaimsOf(about digest.Digest, annotations map[string]string, config Config) []Claim {
	created, labels, ok := config.said()
	if !ok {
		return claimsIn(about, "annotation", annotations)
	}
	claims := NotesOf(about, annotations, labels)
	if created != "" {
		claims = append(claims, claim("created", created, about, "config created"))
	}
	return claims
}

// NotesOf reads what an image claims about itself in the annotations of its manifest and the labels in its config.
func NotesOf(about digest.Digest, annotations, labels map[string]string) []Claim {
	return slices.Concat(claimsIn(about, "annotation", annotations), claimsIn(about, "label", labels), claimsOfBuildpacks(about, labels))
}

// IsOrigin says whether a claim says where an image comes from. Only such claims are repeated in the record
// of an index, so that it stays small.
func (c Claim) IsOrigin() bool {
	switch c.Fact {
	case FactSource, FactRevision, FactBase, FactMaterial, FactMaterialsLeft, FactBuilder:
		return true
	}
	return false
}

func claimsIn(about digest.Digest, kind string, stated map[string]string) (claims []Claim) {
	for name, fact := range factOf {
		if value := strings.TrimSpace(stated[name]); value != "" {
			claims = append(claims, claim(fact, value, about, kind+" "+name))
		}
	}
	sort.Slice(claims, func(i, j int) bool { return claims[i].From < claims[j].From })
	return claims
}

// claim makes a Claim within the bounds of a record and without credentials.
func claim(fact, value string, about digest.Digest, from string) Claim {
	c := Claim{Fact: fact, About: about, From: from}
	c.Value, c.Cut = bound(CutSecrets(value))
	return c
}

// bound cuts a text to MaxValue bytes, and says whether it did.
func bound(text string) (string, bool) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= MaxValue {
		return text, false
	}
	end := MaxValue
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], true
}
