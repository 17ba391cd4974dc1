package access

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A SubjectKind says what sort of subject a grant is given to.
type SubjectKind string

// The kinds of subjects.
const (
	UserSubject      SubjectKind = "user"
	TeamSubject      SubjectKind = "team"
	RobotSubject     SubjectKind = "robot"
	CISubject        SubjectKind = "ci"        // CI jobs with certain claims of one issuer
	EveryoneSubject  SubjectKind = "everyone"  // users and robots, once signed in
	AnonymousSubject SubjectKind = "anonymous" // anybody at all
)

// A Subject is who a grant is given to. As text it is user:NAME, team:NAME, robot:NAME,
// ci:ISSUER:CLAIM=GLOB,…, everyone or anonymous.
type Subject struct {
	Kind SubjectKind
	// Name is the handle of a user or robot, or the name of a team. In a Document it is the account of a
	// user or robot, so that a name that is given away takes no rights along.
	Name   string
	Issuer string       // of a CI subject, a URL
	Claims []ClaimMatch // of a CI subject: all have to match. In the order of their names.
}

// A ClaimMatch is what a claim of a CI job has to look like.
type ClaimMatch struct {
	Name  string
	Value Glob
}

// The bounds of a subject.
const (
	maxSubject = 1024 // bytes
	maxClaims  = 16
)

// The errors of subjects.
var (
	ErrSubject = errors.New("a subject is user:NAME, team:NAME, robot:NAME, ci:ISSUER:CLAIM=GLOB,…, everyone or anonymous")
	// ErrClaims: anyone in the world can have such claims, or take them over.
	ErrClaims = fault.New(fault.Invalid, "a CI subject names an id that its issuer never gives to another, without *: names can be taken over by others")
)

// knownIDs are the ids of issuers that are not configured, or not yet: those of GitHub and GitLab. What others
// call so is not known, and sub is made of names with most.
var knownIDs = []string{"repository_id", "repository_owner_id", "project_id", "namespace_id"}

// ParseSubject reads a subject. Errors: ErrSubject, ErrGlob.
func ParseSubject(s string) (Subject, error) {
	kind, rest, named := strings.Cut(s, ":")
	sub := Subject{Kind: SubjectKind(kind), Name: rest}
	switch {
	case len(s) > maxSubject:
	case !named && (sub.Kind == EveryoneSubject || sub.Kind == AnonymousSubject):
		return sub, nil
	case sub.Kind == CISubject:
		return parseCI(rest)
	case (sub.Kind == UserSubject || sub.Kind == TeamSubject || sub.Kind == RobotSubject) && validUserName(rest):
		return sub, nil
	}
	return Subject{}, fmt.Errorf("subject %.60q: %w", s, ErrSubject)
}

// parseCI reads ISSUER:CLAIM=GLOB,…: the issuer holds colons, the names of claims do not.
func parseCI(s string) (Subject, error) {
	before, _, _ := strings.Cut(s, "=")
	end := strings.LastIndexByte(before, ':')
	if end < 0 {
		return Subject{}, fmt.Errorf("subject %.60q: %w", "ci:"+s, ErrSubject)
	}
	sub := Subject{Kind: CISubject, Issuer: s[:end]}
	if u, err := url.Parse(sub.Issuer); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(sub.Issuer, ", =") {
		return Subject{}, fmt.Errorf("%.60q is no issuer, which is a URL: %w", sub.Issuer, ErrSubject)
	}
	for claim := range strings.SplitSeq(s[end+1:], ",") {
		if err := sub.addClaim(claim); err != nil {
			return Subject{}, err
		}
	}
	slices.SortFunc(sub.Claims, func(a, b ClaimMatch) int { return cmp.Compare(a.Name, b.Name) })
	return sub, nil
}

func (s *Subject) addClaim(claim string) error {
	name, value, ok := strings.Cut(claim, "=")
	if !ok || !oidc.ValidClaim(name) {
		return fmt.Errorf("claim %.60q: %w", claim, ErrSubject)
	}
	if len(s.Claims) == maxClaims || slices.ContainsFunc(s.Claims, func(c ClaimMatch) bool { return c.Name == name }) {
		return fmt.Errorf("a CI subject names up to %d claims, each once: %w", maxClaims, ErrSubject)
	}
	glob, err := ParseGlob(value)
	if err != nil {
		return fmt.Errorf("claim %s: %w", name, err)
	}
	s.Claims = append(s.Claims, ClaimMatch{name, glob})
	return nil
}

// String returns the subject as ParseSubject reads it, always in the same way.
func (s Subject) String() string {
	switch s.Kind {
	case EveryoneSubject, AnonymousSubject:
		return string(s.Kind)
	case CISubject:
		claims := make([]string, len(s.Claims))
		for i, c := range s.Claims {
			claims[i] = c.Name + "=" + c.Value.String()
		}
		return "ci:" + s.Issuer + ":" + strings.Join(claims, ",")
	default:
		return string(s.Kind) + ":" + s.Name
	}
}

// MarshalText implements encoding.TextMarshaler.
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Subject) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSubject(string(text))
	return err
}

// highest is the highest role that such a subject can be given: strangers only read, and who may give
// rights away is somebody whom an administrator has named.
func (s Subject) highest() Right {
	switch s.Kind {
	case AnonymousSubject:
		return Pull
	case EveryoneSubject, CISubject:
		return Delete
	default:
		return Admin
	}
}

// hasAccount says that the subject is bound to an account in a Document.
func (s Subject) hasAccount() bool { return s.Kind == UserSubject || s.Kind == RobotSubject }

// bound wants a CI subject to name one of its issuer's ids. A grant that does not is worth nothing, even one from
// a time when another claim passed for an id. Error: ErrClaims.
func (a *Access) bound(s Subject) error {
	if s.Kind != CISubject {
		return nil
	}
	ids := a.issuers.Load().IDs(s.Issuer)
	known := ids != nil
	if !known {
		ids = knownIDs
	}
	if slices.ContainsFunc(s.Claims, func(c ClaimMatch) bool { return slices.Contains(ids, c.Name) && c.Value.isLiteral() }) {
		return nil
	}
	if !known {
		return fmt.Errorf("%w. %s is not configured here: name it under `oidc` first, or name one of %s", ErrClaims, s.Issuer, strings.Join(ids, ", "))
	}
	return fmt.Errorf("%w; those of %s are %s", ErrClaims, s.Issuer, strings.Join(ids, ", "))
}

// matchable refuses a CI subject that no job can match, when a grant to it is made. Error: oidc.ErrNeverMatches.
func (a *Access) matchable(s Subject) error {
	var names []string
	for _, c := range s.Claims {
		names = append(names, c.Name)
	}
	for _, c := range s.Claims {
		value := ""
		if c.Value.isLiteral() {
			value = c.Value.String()
		}
		if err := a.issuers.Load().Matchable(s.Issuer, c.Name, value, names); err != nil {
			return err
		}
	}
	return nil
}

// grantable wants a subject of a new grant to be bound to an id, and to match some job. Errors: ErrClaims,
// oidc.ErrNeverMatches.
func (a *Access) grantable(s Subject) error {
	if err := a.bound(s); err != nil {
		return err
	}
	return a.matchable(s)
}

// Names says whether an identity is one that the subject names by itself. Who is in a team it does not know.
func (s Subject) Names(who provenance.Identity) bool {
	switch s.Kind {
	case UserSubject, RobotSubject:
		return string(s.Kind) == string(who.Actor.Kind) && s.Name == who.Actor.Handle
	case CISubject:
		return who.Actor.Kind == provenance.CI && s.isCI(who)
	case EveryoneSubject:
		return who.Login != nil
	default:
		return false
	}
}

// isCI says whether an identity is one of the CI jobs that the subject stands for. The issuer and each
// claim are compared one by one: joined into one string, what a job chooses itself, as the name of a
// branch, could look like the rest.
func (s Subject) isCI(who provenance.Identity) bool {
	if who.Login == nil || who.Login.Issuer != s.Issuer {
		return false
	}
	for _, want := range s.Claims {
		if value, ok := who.Login.Claims[want.Name]; !ok || !want.Value.Matches(value) || slices.Contains(who.Login.Cut, want.Name) {
			return false
		}
	}
	return true
}
