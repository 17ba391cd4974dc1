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

// The steps at which a check has some of its points.
const (
	StepSoon    = "soon"    // the certificate ends in less than ExpirySoon
	StepNo13    = "no-13"   // TLS 1.2 is the newest
	StepBasic   = "basic"   // the password itself travels with each request
	StepCatalog = "catalog" // strangers cannot list; whether they can pull is not known
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

// Rubric is the table: the checks of a host, 100 points.
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
}

// The thresholds of a host.
const (
	ExpiryGood = 30 * 24 * time.Hour  // a certificate valid for longer has all points
	ExpirySoon = 7 * 24 * time.Hour   // one valid for longer has half of them
	HSTSLeast  = 180 * 24 * time.Hour // that browsers are to remember
	RSALeast   = 2048                 // bits
	ECLeast    = 256                  // bits
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
