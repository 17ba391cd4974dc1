package trust

import (
	"fmt"
	"time"
)

// This file is the one place where weights and thresholds are. docs/design/grades.md says why each is as
// it is; docs/trust.md says it to users. A test holds both against the table.

// Version is raised when the meaning of a report's fields changes.
const Version = 1

// The grades: the least share of the points that were known.
const (
	shareA = 0.90
	shareB = 0.75
	shareC = 0.60
	shareD = 0.40
)

// minCoverage is the share of the points that has to be known for there to be a grade.
const minCoverage = 0.60

// The checks of a host.
const (
	HostChain      = "tls-chain"
	HostKey        = "tls-key"
	HostIssuer     = "tls-issuer"
	HostExpiry     = "tls-expiry"
	HostVersions   = "tls-versions"
	HostPlain      = "plain-http"
	HostHSTS       = "hsts"
	HostChallenge  = "login-challenge"
	HostAnonymous  = "anonymous-read"
	HostConformity = "pull-conformance"
	HostReferrers  = "referrers"
	HostDigests    = "digests"
	HostLog        = "transparency-log"
)

// The checks of an image.
const (
	ImageSource          = "source-known"
	ImageSignature       = "signature"
	ImageBuild           = "build-provenance"
	ImageBase            = "base-current"
	ImageTag             = "tag-stable"
	ImageSBOM            = "sbom"
	ImageFresh           = "fresh"
	ImageSecrets         = "no-secrets"
	ImageUser            = "not-root"
	ImageVulnerabilities = "vulnerabilities"
	ImageLicences        = "licences"
	ImagePlatforms       = "platforms"
	ImageHealth          = "health-check"
	ImageSize            = "size"
	ImageSizes           = "sizes-true"
)

// The steps at which a check has some of its points.
const (
	StepSoon    = "soon"    // the certificate ends in less than ExpirySoon
	StepNo13    = "no-13"   // TLS 1.2 is the newest
	StepBasic   = "basic"   // the password itself travels with each request
	StepCatalog = "catalog" // strangers cannot list; whether they can pull is not known

	StepSourceOnly    = "source-only"   // a source is claimed, and no revision of it
	StepClaimed       = "claimed"       // source and revision are claimed
	StepPushed        = "pushed"        // a CI job of this source was the first to push it, by its login
	StepAuthenticated = "authenticated" // and the image claims the same
	StepUnsigned      = "unsigned"      // provenance without a signature
	StepSigned        = "signed"        // it is signed by somebody who is trusted, and who may not vouch for the builder
	StepDeclared      = "declared"      // a base is named; what its tag means now is not known
	StepOnce          = "once"          // pushed lately, and nothing else in half a year
	StepAging         = "aging"         // not pushed for a month
	StepStale         = "stale"         // a vulnerability report of last month
)

// A Rule is what a check asks, and what the answer is worth.
type Rule struct {
	ID       string
	Question Question
	Of       int
	Cap      Grade          // the best grade with a failure here
	Steps    map[string]int // points of answers between nothing and all
	Asks     string
}

// Rubric is the table: the checks of a host, 100 points; then those of an image, 100 points.
var Rubric = []Rule{
	{ID: HostChain, Question: Source, Of: 15, Cap: "D", Asks: "Is the certificate's chain trusted, and is it for this name?"},
	{ID: HostKey, Question: Source, Of: 5, Cap: "B", Asks: "Is the certificate's key strong?"},
	{ID: HostIssuer, Question: Source, Of: 5, Asks: "Does the certificate say which organisation vouches for it?"},
	{ID: HostExpiry, Question: Source, Of: 10, Steps: map[string]int{StepSoon: 5}, Asks: "Is the certificate valid for a while yet?"},
	{ID: HostVersions, Question: Source, Of: 10, Cap: "B", Steps: map[string]int{StepNo13: 5}, Asks: "Are only current versions of TLS spoken?"},
	{ID: HostPlain, Question: Source, Of: 5, Cap: "C", Asks: "Is plain HTTP refused, or redirected?"},
	{ID: HostHSTS, Question: Source, Of: 5, Asks: "Are browsers told to use HTTPS only?"},
	{ID: HostChallenge, Question: Source, Of: 10, Cap: "C", Steps: map[string]int{StepBasic: 5}, Asks: "Are clients asked to sign in, at an HTTPS address?"},
	{ID: HostAnonymous, Question: Source, Of: 10, Cap: "C", Steps: map[string]int{StepCatalog: 6}, Asks: "Can strangers read no more than they are meant to?"},
	{ID: HostConformity, Question: Source, Of: 10, Asks: "Does the pull side do what OCI's specification says?"},
	{ID: HostReferrers, Question: Source, Of: 5, Asks: "Does it list signatures and SBOMs (the referrers API)?"},
	{ID: HostDigests, Question: Source, Of: 5, Cap: "F", Asks: "Are the bytes those that the digests name?"},
	{ID: HostLog, Question: Source, Of: 5, Cap: "D", Asks: "Is there a transparency log, and does its checkpoint verify?"},

	{ID: ImageSource, Question: Provenance, Of: 12, Steps: map[string]int{StepSourceOnly: 2, StepClaimed: 4, StepPushed: 6, StepAuthenticated: 8, StepSigned: 9}, Asks: "From which source and revision was it built, and who says so?"},
	{ID: ImageSignature, Question: Provenance, Of: 12, Cap: "D", Asks: "Is it signed by a key or an identity that is trusted?"},
	{ID: ImageBuild, Question: Provenance, Of: 10, Steps: map[string]int{StepUnsigned: 3, StepSigned: 7}, Asks: "Does it come with provenance of its build, by a trusted builder?"},
	{ID: ImageBase, Question: Provenance, Of: 8, Steps: map[string]int{StepDeclared: 4}, Asks: "Is its base known, and still the current one?"},
	{ID: ImageTag, Question: Provenance, Of: 6, Asks: "Has the tag meant the same for a while?"},
	{ID: ImageSBOM, Question: Quality, Of: 8, Asks: "Is there an SBOM of exactly this image?"},
	{ID: ImageFresh, Question: Quality, Of: 8, Steps: map[string]int{StepAging: 4, StepOnce: 6}, Asks: "Was it pushed lately, and is its repository cared for?"},
	{ID: ImageSecrets, Question: Quality, Of: 10, Cap: "D", Asks: "Are there no secrets in its config, environment and history?"},
	{ID: ImageUser, Question: Quality, Of: 6, Asks: "Does it run as another user than root?"},
	{ID: ImageVulnerabilities, Question: Quality, Of: 8, Steps: map[string]int{StepStale: 4}, Asks: "Is there a recent report of its vulnerabilities?"},
	{ID: ImageLicences, Question: Quality, Of: 4, Asks: "Does it state its licences?"},
	{ID: ImagePlatforms, Question: Quality, Of: 3, Asks: "Is it there for more than one platform?"},
	{ID: ImageHealth, Question: Quality, Of: 2, Asks: "Does it say how to tell that it is well?"},
	{ID: ImageSize, Question: Quality, Of: 3, Asks: "Is it about as large as it was before?"},
	{ID: ImageSizes, Question: Quality, Of: 0, Asks: "Are the sizes in its manifest those that its parts have?"},
}

// The thresholds of a host.
const (
	ExpiryGood = 30 * 24 * time.Hour  // a certificate valid for longer has all points
	ExpirySoon = 7 * 24 * time.Hour   // one valid for longer has half of them
	HSTSLeast  = 180 * 24 * time.Hour // that browsers are to remember
	RSALeast   = 2048                 // bits
	ECLeast    = 256                  // bits
)

// The thresholds of an image.
const (
	FreshGood   = 30 * 24 * time.Hour  // pushed since
	FreshLeast  = 90 * 24 * time.Hour  // pushed since: half the points
	CadenceSpan = 180 * 24 * time.Hour // in which a repository should have had two pushes
	TagStill    = 90 * 24 * time.Hour  // without a move of the tag
	ReportGood  = 7 * 24 * time.Hour   // age of a vulnerability report
	ReportLeast = 30 * 24 * time.Hour  // its age for half the points
	SizeGrowth  = 1.5                  // times the median of its own history
)

// ruleOf returns the rule of a check. An unknown one is a bug in this program.
func ruleOf(id string) Rule {
	for _, r := range Rubric {
		if r.ID == id {
			return r
		}
	}
	panic(fmt.Sprintf("trust: there is no check %q", id))
}

func stepOf(id, step string) int {
	points, ok := ruleOf(id).Steps[step]
	if !ok {
		panic(fmt.Sprintf("trust: the check %s has no step %q", id, step))
	}
	return points
}
