package provenance

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// VSAType is the predicate type of the verification summaries that are read.
const VSAType = "https://slsa.dev/verification_summary/v1"

// Passed is the result of a verification that counts. Anything else is a failure.
const Passed = "PASSED"

// A Summary is what a verification summary says (SLSA's VSA, version 1), without credentials. It is what its verifier
// found, and not whether that counts here.
type Summary struct {
	Verifier string   `json:"verifier"`           // its id
	Resource string   `json:"resource"`           // the URI under which the image was asked for
	Result   string   `json:"result"`             // PASSED or FAILED
	Verified *Time    `json:"verified,omitempty"` // when; absent where it does not say that
	Levels   []string `json:"levels,omitempty"`   // that the image has
	Policy   string   `json:"policy,omitempty"`   // its URI
	// PolicyDigests are the policy's, as sha256:….
	PolicyDigests []string `json:"policyDigests,omitempty"`
	// Cut says that something in it was longer than is kept. Such a summary counts for nothing.
	Cut bool `json:"cut,omitempty"`
}

// The bounds of a summary.
const (
	maxVSA     = 1 << 20 // bytes of the statement
	maxSummary = 512     // of one value
	maxLevels  = 16
)

// policyHashes are the algorithms of a policy's digests that are kept.
var policyHashes = []string{"sha256", "sha384", "sha512", "sha1", "gitCommit"}

// vsa is a statement that is a verification summary, as far as it is read.
type vsa struct {
	PredicateType string `json:"predicateType"`
	Predicate     struct {
		Verifier struct {
			ID string `json:"id"`
		} `json:"verifier"`
		TimeVerified string `json:"timeVerified"`
		ResourceURI  string `json:"resourceUri"`
		Policy       struct {
			URI    string            `json:"uri"`
			Digest map[string]string `json:"digest"`
		} `json:"policy"`
		Result string   `json:"verificationResult"`
		Levels []string `json:"verifiedLevels"`
	} `json:"predicate"`
}

// SummaryOf is what a statement says whose signature was verified, where it is a verification summary, or nil.
func SummaryOf(predicateType string, payload []byte) *Summary {
	if predicateType != VSAType {
		return nil
	}
	var said vsa
	if len(payload) > maxVSA || strictjson.Unmarshal(payload, &said) != nil {
		return &Summary{Cut: true}
	}
	return said.summary()
}

func (said *vsa) summary() *Summary {
	p, s := &said.Predicate, &Summary{}
	text := func(value string) string {
		if value = Bounded(value); len(value) > maxSummary {
			s.Cut, value = true, strings.ToValidUTF8(value[:maxSummary], "")
		}
		return value
	}
	s.Verifier, s.Resource, s.Result, s.Policy = text(p.Verifier.ID), text(p.ResourceURI), text(p.Result), text(p.Policy.URI)
	if at, err := time.Parse(time.RFC3339, p.TimeVerified); err == nil {
		verified := At(at)
		s.Verified = &verified
	}
	for _, hash := range policyHashes {
		if hex := p.Policy.Digest[hash]; hex != "" {
			s.PolicyDigests = append(s.PolicyDigests, hash+":"+text(hex))
		}
	}
	s.Cut = s.Cut || len(p.Levels) > maxLevels
	for _, level := range p.Levels[:min(len(p.Levels), maxLevels)] {
		s.Levels = append(s.Levels, text(level))
	}
	return s
}

// MayGoOn says whether a value of the summary may have been longer than it is kept.
func (s *Summary) MayGoOn(value string) bool { return s.Cut && len(value) > maxSummary-utf8.UTFMax }

// HasLevel says whether the summary says that the image has a level, or a higher one of the same track.
func (s *Summary) HasLevel(want string) bool {
	return slices.ContainsFunc(s.Levels, func(has string) bool { return impliesLevel(has, want) })
}

var slsaLevel = regexp.MustCompile(`^SLSA_([A-Z]+)_LEVEL_([0-9]{1,2})$`)

// impliesLevel says whether who has a level has another. A label that is none of SLSA's implies itself alone.
func impliesLevel(has, want string) bool {
	h, w := slsaLevel.FindStringSubmatch(has), slsaLevel.FindStringSubmatch(want)
	if h == nil || w == nil || h[1] != w[1] {
		return has == want
	}
	high, _ := strconv.Atoi(h[2])
	low, _ := strconv.Atoi(w[2])
	return high >= low
}
