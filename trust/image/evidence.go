package image

import (
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// The evidence of each check, as the check writes it and as the one who uses it reads it: rules, through trust/policy.
// Reports are kept and returned as JSON, so its form is for good: a member can be added, and none renamed. Members that a
// check has always written stand in the order of their names.

// SourceEvidence is what trust.ImageSource rests on.
type SourceEvidence struct {
	Facts  []Fact                   `json:"facts"`
	First  *provenance.Act          `json:"first,omitempty"`  // who was the first in the registry to push it
	Tagged *provenance.Act          `json:"tagged,omitempty"` // who set the tag
	Words  []provenance.WeighedWord `json:"words,omitempty"`  // of other registries
}

// A Fact is a source, a revision, or who pushed the image elsewhere, and who says so. report.facts(…) gives them to rules.
type Fact struct {
	Name  string           `json:"fact"`
	Value string           `json:"value"`
	Class provenance.Class `json:"class"`
	From  string           `json:"from"`
	// Elsewhere says that it is of a record of another repository.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// By is the signer, or the other registry, that attests it.
	By string `json:"by,omitempty"`
}

// SignatureEvidence is what trust.ImageSignature rests on: everything that was signed, and the records of when it came.
// report.signedBy(…), named(…) and verified(…) read the documents.
type SignatureEvidence struct {
	Documents []Document      `json:"documents"`
	Records   []VerdictRecord `json:"records"`
}

// A Document is something that is attached to the image.
type Document struct {
	About      []digest.Digest `json:"about"`      // that it says it is about
	AttachedTo digest.Digest   `json:"attachedTo"` // the image or a platform
	Digest     digest.Digest   `json:"digest"`
	Kind       string          `json:"kind"`
	MediaType  string          `json:"mediaType"`
	// Signed is what was found of its signature; nil where nobody's signature counts here, and for what is not signed.
	*Signed
}

// Signed is what was found of a document's signature, and what that is worth now.
type Signed struct {
	NamesRepository bool                `json:"namesRepository"` // what was signed calls the image by its name here
	Standing        provenance.Standing `json:"standing"`
	Verdict         provenance.Verdict  `json:"verdict"`
}

// A VerdictRecord is the record of what was found of a signature when it came.
type VerdictRecord struct {
	Record  uint64              `json:"record"`
	Time    provenance.Time     `json:"time"`
	Verdict *provenance.Verdict `json:"verdict"`
}

// BuildEvidence is what trust.ImageBuild rests on.
type BuildEvidence struct {
	Builder   string     `json:"builder"` // that the first document claims
	Documents []Document `json:"documents"`
}

// BaseEvidence is what trust.ImageBase rests on, where the image names one base.
type BaseEvidence struct {
	Digest digest.Digest `json:"digest"`
	Left   *Moment       `json:"left,omitempty"`
	Looked time.Time     `json:"looked,omitzero"` // when Now was looked up
	Name   string        `json:"name"`
	Now    digest.Digest `json:"now,omitempty"`
	Since  *Moment       `json:"since,omitempty"`
}

// BasesEvidence is what trust.ImageBase rests on, where the build used several images.
type BasesEvidence struct {
	Images int            `json:"images"`
	Used   []BaseEvidence `json:"used"` // the first of them
}

// SBOMEvidence is what trust.ImageSBOM rests on.
type SBOMEvidence struct {
	Documents []Document `json:"documents"`
}

// VulnerabilityEvidence is what trust.ImageVulnerabilities rests on.
type VulnerabilityEvidence struct {
	Documents []Document `json:"documents"`
	Made      time.Time  `json:"made"` // the newest
}

// LicencesEvidence is what trust.ImageLicences rests on, where the image states its licences. Where its SBOM does, it is
// that Document.
type LicencesEvidence struct {
	Licences string `json:"licences"`
}

// TagEvidence is what trust.ImageTag rests on: a rule that keeps the tag, or how often it was set, or its moves of late.
type TagEvidence struct {
	Moves   []TagChange `json:"moves,omitempty"`
	Records int         `json:"records,omitempty"`
	Rule    string      `json:"rule,omitempty"`
}

// A TagChange is one move of a tag.
type TagChange struct {
	From   digest.Digest   `json:"from"`
	Record uint64          `json:"record"`
	Time   provenance.Time `json:"time"`
	To     digest.Digest   `json:"to"`
}

// FreshEvidence is what trust.ImageFresh rests on.
type FreshEvidence struct {
	ImagesTaggedInHalfAYear int       `json:"imagesTaggedInHalfAYear"` // counted up to enoughImages
	Pushed                  time.Time `json:"pushed"`
}

// PlatformsEvidence is what trust.ImagePlatforms rests on.
type PlatformsEvidence struct {
	Platforms []string `json:"platforms"`
}

// SecretsEvidence is what trust.ImageSecrets rests on.
type SecretsEvidence struct {
	Found []Secret `json:"found"`
}

// UserEvidence is what trust.ImageUser rests on.
type UserEvidence struct {
	User string `json:"user"`
}

// SizeEvidence is what trust.ImageSize rests on, in bytes.
type SizeEvidence struct {
	Before []int64 `json:"before"` // of earlier images
	Size   int64   `json:"size"`
}

// SizesEvidence is what trust.ImageSizes rests on.
type SizesEvidence struct {
	WrongSizes []provenance.WrongSize `json:"wrongSizes"`
}
