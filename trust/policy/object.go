package policy

import (
	"time"

	"github.com/seed-260924e6/hallmark/trust/image"
)

// What rules see has the shape and the names of what the API returns: these types mirror it, so that a rule
// is type-checked when it is read. TestObject holds them against real answers.

// Report is the body of GET /api/v1/report.
type Report struct {
	Version   int              `json:"version"`
	Subject   string           `json:"subject"`
	Time      time.Time        `json:"time"`
	Grade     string           `json:"grade"`    // empty where there is none
	Ungraded  string           `json:"ungraded"` // why there is none whatever the checks say
	Kind      string           `json:"kind"`     // image, chart, files, wasm, model, cache, document or unknown
	Grades    map[string]Score `json:"grades"`
	Checks    []Check          `json:"checks"`
	Digest    string           `json:"digest"`
	Platforms []Platform       `json:"platforms"`

	// What functions read of the checks' evidence, once they have.
	source    *image.SourceEvidence
	signature *image.SignatureEvidence
}

// Score is a question's grade.
type Score struct {
	Grade    string  `json:"grade"`
	Score    int     `json:"score"`
	Of       int     `json:"of"`
	Coverage float64 `json:"coverage"`
	Capped   string  `json:"capped"`
	NextDrop string  `json:"nextDrop"`
	Part     string  `json:"part"` // the platform whose score it is, of several
}

// Check is one check of a report.
type Check struct {
	ID       string `json:"id"`
	Question string `json:"question"`
	Result   string `json:"result"`
	Points   int    `json:"points"`
	Of       int    `json:"of"`
	Cap      string `json:"cap"`
	Says     string `json:"says"`
	Evidence any    `json:"evidence"`
	Advice   string `json:"advice"`
	Drops    []Drop `json:"drops"`
}

// Drop is when a check will be worth less.
type Drop struct {
	At     time.Time `json:"at"`
	Points int       `json:"points"`
}

// Platform is one platform of an image.
type Platform struct {
	Platform string           `json:"platform"`
	Digest   string           `json:"digest"`
	Grade    string           `json:"grade"`
	Grades   map[string]Score `json:"grades"`
	Checks   []Check          `json:"checks"`
}

// Fact is what somebody says of an image, and how well it is known. report.facts(…) returns them.
type Fact image.Fact

// Image is the body of GET /api/v1/image, as far as it is of this repository.
type Image struct {
	Repository string     `json:"repository"`
	Reference  string     `json:"reference"`
	Descriptor Descriptor `json:"descriptor"`
	Children   []Child    `json:"children"`
	Tags       []string   `json:"tags"`
	Provenance Provenance `json:"provenance"`

	Arrivals    []Act         `json:"arrivals"`    // pushes and imports of the digest, anywhere in the registry, oldest first
	ArrivalsCut bool          `json:"arrivalsCut"` // there may be others
	First       Act           `json:"first"`       // the earliest in the registry
	Platforms   []PlatformAct `json:"platforms"`
	Tagged      Act           `json:"tagged"` // the act that sets or set the tag; of a pull it is not known
	Removals    []Act         `json:"removals"`
	Built       Built         `json:"built"`
}

// Act is something that somebody did with the image.
type Act struct {
	Action     string    `json:"action"`
	Repository string    `json:"repository"`
	Tag        string    `json:"tag"`
	Record     int64     `json:"record"`
	Time       time.Time `json:"time"`
	Actor      Actor     `json:"actor"`
	Means      string    `json:"means"` // password, token, robot or CI
	Issuer     string    `json:"issuer"`
	Job        Job       `json:"job"`
}

// Job is where a CI job ran that did something. Counts says that the image counts as first pushed by it.
type Job struct {
	Source   string `json:"source"`
	Revision string `json:"revision"`
	Event    string `json:"event"`
	Counts   bool   `json:"counts"`
	Why      string `json:"why"`
}

// PlatformAct is the first arrival of a platform.
type PlatformAct struct {
	Digest string `json:"digest"`
	First  Act    `json:"first"`
}

// Built is what provenance says of the build, attested or claimed.
type Built struct {
	Class    string   `json:"class"`
	Source   string   `json:"source"`
	Revision string   `json:"revision"`
	Builder  string   `json:"builder"`
	Signer   string   `json:"signer"`
	From     string   `json:"from"`
	Disputed []string `json:"disputed"`
	Unread   string   `json:"unread"` // what may say more, and was not read
}

// Descriptor is what a manifest is.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations"`
}

// Child is a manifest that an index lists.
type Child struct {
	Digest   string `json:"digest"`
	Platform string `json:"platform"`
}

// Provenance is what records say, by class of evidence.
type Provenance struct {
	Observed      []Observed      `json:"observed"`
	Authenticated []Authenticated `json:"authenticated"`
	Attested      []Attested      `json:"attested"`
	Claimed       []Claimed       `json:"claimed"`
	Verdicts      []Signature     `json:"verdicts"`
}

// Observed is one thing that happened to the image.
type Observed struct {
	Record int64     `json:"record"`
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Tags   []TagMove `json:"tags"`
}

// TagMove is a tag that was set.
type TagMove struct {
	Name     string `json:"name"`
	Previous string `json:"previous"`
	Now      string `json:"now"`
	Since    int64  `json:"since"` // the record that set Previous, where there is one
}

// Authenticated is who did some of it.
type Authenticated struct {
	Method     string            `json:"method"`
	Issuer     string            `json:"issuer"`
	Identity   string            `json:"identity"`
	Credential string            `json:"credential"`
	Claims     map[string]string `json:"claims"`
	Means      string            `json:"means"`
	Action     string            `json:"action"`
	Actor      Actor             `json:"actor"`
	Records    []int64           `json:"records"`
}

// Actor is who did something.
type Actor struct {
	Kind    string `json:"kind"`
	Handle  string `json:"handle"`
	Account string `json:"account"`
}

// Attested is what a statement says whose signature was good when it came.
type Attested struct {
	Fact      string   `json:"fact"`
	Value     string   `json:"value"`
	About     string   `json:"about"`
	From      string   `json:"from"`
	Name      string   `json:"name"`
	Cut       bool     `json:"cut"`
	Evidence  Evidence `json:"evidence"`
	Signer    string   `json:"signer"`
	TrustRoot string   `json:"trustRoot"`
	Records   []int64  `json:"records"`
}

// Signature is what was found of a signature when it came. What it is worth now is in the report's check of
// signatures.
type Signature struct {
	Result    string    `json:"result"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	Form      string    `json:"form"`
	Kind      string    `json:"kind"`  // of what was signed
	Names     []string  `json:"names"` // that it gives the image
	NamesCut  bool      `json:"namesCut"`
	Evidence  Evidence  `json:"evidence"`
	Line      int64     `json:"line"` // of the document, where it has several
	Manifest  string    `json:"manifest"`
	Signer    string    `json:"signer"`
	TrustRoot string    `json:"trustRoot"`
	Record    int64     `json:"record"`
	Time      time.Time `json:"time"`
	Standing  Standing  `json:"standing"`
}

// Standing is what a signature is worth now.
type Standing struct {
	Counts bool   `json:"counts"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Claimed is what the image or a client says.
type Claimed struct {
	Fact     string   `json:"fact"`
	Value    string   `json:"value"`
	About    string   `json:"about"`
	From     string   `json:"from"`
	Name     string   `json:"name"`
	Cut      bool     `json:"cut"`
	Evidence Evidence `json:"evidence"`
	Records  []int64  `json:"records"`
}

// Evidence names a document.
type Evidence struct {
	Digest        string `json:"digest"`
	PredicateType string `json:"predicateType"`
}

// Who is the login behind a push: an actor, and what the login proved. Claims are those of a CI job.
type Who struct {
	Kind     string            `json:"kind"` // user, robot, ci, anonymous or system
	Handle   string            `json:"handle"`
	Account  string            `json:"account"`
	Method   string            `json:"method"`
	Issuer   string            `json:"issuer"`
	Identity string            `json:"identity"`
	Claims   map[string]string `json:"claims"`
}

// Manifest is what the registry saw of a manifest itself. It is there for everything that has one, signatures and
// other documents too.
type Manifest struct {
	MediaType    string `json:"mediaType"`
	ArtifactType string `json:"artifactType"`
	Size         int64  `json:"size"`      // of the manifest, in bytes
	ImageSize    int64  `json:"imageSize"` // of what is in the repository of its config, layers and blobs
	SizesTrue    bool   `json:"sizesTrue"` // the sizes that it states are those that its parts have
}

// Object is what a rule is asked about. Where a rule is asked at a pull, only Repository, Manifest, Report and Image
// are there for it to read.
type Object struct {
	Repository string
	Action     Point
	Tag        string // that is set, or empty
	Previous   string // the digest that it meant before, or empty
	Who        Who
	Manifest   *Manifest
	Report     *Report
	Image      *Image

	acts string // who did what with the image, in words that the one who is refused may read
}
