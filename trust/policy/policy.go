// Package policy decides by rules what may be pushed, tagged and pulled.
//
// A rule names repositories, the moments when it is evaluated, and what it requires: an expression in CEL
// over the same report and image that the API returns, and over who pushes. Rules are compiled and
// type-checked when they are read, and their cost is limited before and during evaluation. A rule that
// fails to evaluate denies.
//
// [Parse] reads a file of rules (file.go, compile.go), [Rule.Ask] evaluates one (ask.go). The package makes no
// reports and grants no rights: package access decides who may do what, and rules only restrict that.
package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
)

// A Point is a moment at which rules are asked.
type Point string

// The points.
const (
	Push Point = "push" // a manifest arrives, by digest or by tag
	Tag  Point = "tag"  // a tag is set or moved
	Pull Point = "pull" // a manifest is read
)

// Points lists every Point.
var Points = []Point{Push, Tag, Pull}

// An Effect is what comes of what a rule requires and is not there.
type Effect string

// The effects.
const (
	Deny Effect = "deny" // it is refused
	Warn Effect = "warn" // it happens, with a warning
)

// The bounds of a file of rules.
const (
	MaxFile       = 1 << 20 // bytes
	maxRules      = 256
	maxExpression = 4096 // characters
	maxName       = 40   // bytes; these are as they are so that a refusal can name all of them
	maxMessage    = 100
	maxOwner      = 60
)

// A Rule is one rule. It is never changed.
type Rule struct {
	Name         string           `json:"name"`
	Repositories []access.Pattern `json:"repositories"`
	At           []Point          `json:"at"`
	Effect       Effect           `json:"effect"`
	When         string           `json:"when,omitempty"` // where it is asked at all; empty is everywhere
	Require      string           `json:"require"`
	Message      string           `json:"message,omitempty"`
	Owner        string           `json:"owner"` // who can change it

	when, require cel.Program
	reads         reads
}

// A Set is the rules of one file, in their order. A nil one has none.
type Set struct {
	Rules  []*Rule
	Digest digest.Digest // of the file that they are from
	Text   []byte        // of it, as it was read
}

// For returns the rules that are asked at a point in a repository.
func (s *Set) For(p Point, repository string) (found []*Rule) {
	if s == nil {
		return nil
	}
	for _, r := range s.Rules {
		if r.askedAt(p) && r.covers(repository) {
			found = append(found, r)
		}
	}
	return found
}

// asksAny says whether any rule is asked in a repository at one of some points. It takes no memory.
func (s *Set) asksAny(repository string, points ...Point) bool {
	if s == nil {
		return false
	}
	for _, r := range s.Rules {
		for _, p := range points {
			if r.askedAt(p) && r.covers(repository) {
				return true
			}
		}
	}
	return false
}

func (r *Rule) askedAt(p Point) bool { return slices.Contains(r.At, p) }

func (r *Rule) covers(repository string) bool {
	return slices.ContainsFunc(r.Repositories, func(p access.Pattern) bool { return p.Matches(repository) })
}

// NeedsReport says that the rule cannot be asked without a report about the image. Such a rule is not asked
// of signatures, attestations and other documents about images.
func (r *Rule) NeedsReport() bool { return r.reads.report || r.reads.image }

// reads are the parts of the object that a rule looks at. They decide what it has to be given, and what a
// refusal names.
type reads struct {
	report, image, manifest, who, tag bool
	grade                             bool
	acts                              bool     // who did what with the image
	checks                            []string // ids of checks
	facts                             []string // as source
	signers, verified                 []string
}

// attachable are the checks that what is pushed beside an image can change.
var attachable = "signature build-provenance sbom vulnerabilities"

// mendedBeside says that a refusal may go away when something is pushed beside the image.
func (r reads) mendedBeside() bool {
	return r.grade || len(r.signers)+len(r.verified) > 0 || slices.ContainsFunc(r.checks, func(id string) bool { return strings.Contains(attachable, id) })
}
