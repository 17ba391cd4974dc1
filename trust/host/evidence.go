package host

import "time"

// The evidence of each check, as reports show it. Reports are kept as JSON, so its form is for good: a member can be added,
// and none renamed. Members stand in the order of their names. What a certificate, a handshake or a request is stands beside
// the code that makes it: chain.go, tls.go, ask.go.

// requestsEvidence is what many checks rest on: what was asked, and how it was answered.
type requestsEvidence struct {
	Requests []*answer `json:"requests"`
}

// requests lists answers as evidence.
func requests(answers ...*answer) requestsEvidence { return requestsEvidence{answers} }

// chainEvidence is what trust.HostChain rests on.
type chainEvidence struct {
	Certificates []certificate `json:"certificates"`
	TrustedBy    []string      `json:"trustedBy,omitempty"`
}

// issuerEvidence is what trust.HostIssuer rests on: what the certificate says of who signed it, and for whom.
type issuerEvidence struct {
	Issuer              string   `json:"issuer"`
	Organisation        []string `json:"organisation"`
	SubjectOrganisation []string `json:"subjectOrganisation"`
}

// expiryEvidence is what trust.HostExpiry rests on: when the first certificate that is needed ends.
type expiryEvidence struct {
	NotAfter time.Time `json:"notAfter"`
}

// logEvidence is what trust.HostLog rests on where the checkpoint verifies.
type logEvidence struct {
	Key    string `json:"key"`
	Origin string `json:"origin"`
	Root   string `json:"root"`
	Size   uint64 `json:"size"` // leaves
}

// badLogEvidence is what trust.HostLog rests on where it does not.
type badLogEvidence struct {
	Checkpoint string    `json:"checkpoint"`
	Requests   []*answer `json:"requests"`
}

// hstsEvidence is what trust.HostHSTS rests on.
type hstsEvidence struct {
	Header string `json:"header"` // Strict-Transport-Security
}

// challengeEvidence is what trust.HostChallenge rests on.
type challengeEvidence struct {
	Request      *answer  `json:"request"`
	Authenticate []string `json:"wwwAuthenticate"` // the headers of this name
}

// conformityEvidence is what trust.HostConformity rests on.
type conformityEvidence struct {
	Repository string      `json:"repository"`
	Requests   []conformed `json:"requests"`
}

// conformed is a request of a pull, with what the specification wants of its answer.
type conformed struct {
	*answer
	Wants string `json:"wants"`
	Good  bool   `json:"good"`
}

// digestsEvidence is what trust.HostDigests rests on.
type digestsEvidence struct {
	Contents []hashed `json:"contents"`
}
