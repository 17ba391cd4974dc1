package access

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// rules are a Document made ready for questions. They are never changed: a change of the document makes
// new ones, which are put into place with one pointer. So a request asks without a lock or the store, and
// the next one has the new answer.
type rules struct {
	document *Document
	digest   digest.Digest

	fixedDigest digest.Digest // of the rules for tags alone

	accounts  map[string]ruleSet // of users and robots: their own, and those of their teams
	ci        map[string][]ciRule
	everyone  ruleSet
	anonymous ruleSet
}

// rule gives a role in the repositories of a pattern.
type rule struct {
	pattern Pattern
	role    Right
}

// ruleSet is sorted, the highest role first.
type ruleSet []rule

type ciRule struct {
	subject Subject
	rule
}

// compile makes rules of all grants but those to subjects that are not bound.
func compile(d *Document, sum digest.Digest, bound func(Subject) error) *rules {
	fixed, _ := json.Marshal(d.Fixed) // what was read as JSON can be written
	r := &rules{document: d, digest: sum, fixedDigest: digest.FromBytes(fixed), accounts: map[string]ruleSet{}, ci: map[string][]ciRule{}}
	for _, g := range d.Grants {
		one := rule{g.Pattern, g.Role}
		switch s := g.Subject; s.Kind {
		case UserSubject, RobotSubject:
			r.accounts[s.Name] = append(r.accounts[s.Name], one)
		case TeamSubject:
			for _, m := range d.team(s.Name).Members {
				r.accounts[m] = append(r.accounts[m], one)
			}
		case CISubject:
			if bound(s) == nil {
				r.ci[s.Issuer] = append(r.ci[s.Issuer], ciRule{s, one})
			}
		case EveryoneSubject:
			r.everyone = append(r.everyone, one)
		case AnonymousSubject:
			r.anonymous = append(r.anonymous, one)
		}
	}
	for _, set := range r.accounts {
		set.sort()
	}
	r.everyone.sort()
	r.anonymous.sort()
	return r
}

func (s ruleSet) sort() {
	slices.SortStableFunc(s, func(a, b rule) int { return cmp.Compare(b.role, a.role) })
}

// role is the highest role that the set gives in a repository. Its time is that of comparing the
// beginnings of names: it runs in each request.
func (s ruleSet) role(repository string) Right {
	for i := range s {
		if r := &s[i]; strings.HasPrefix(repository, r.pattern.prefix) && r.pattern.matches(repository) {
			return r.role
		}
	}
	return 0
}

// may says whether an identity has a right in a repository.
func (r *rules) may(who provenance.Identity, right Right, repository string) bool {
	if who.Actor.Kind == provenance.System {
		return true
	}
	if who.Ceiling != nil && !who.Ceiling.Allows(right.String(), repository) {
		return false
	}
	return r.role(who, repository) >= right
}

// role is the highest role of an identity in a repository, whatever its token allows of it.
func (r *rules) role(who provenance.Identity, repository string) Right {
	if hasStars(repository) {
		return 0 // that is no name
	}
	best := r.anonymous.role(repository)
	switch who.Actor.Kind {
	case provenance.User, provenance.Robot:
		best = max(best, r.everyone.role(repository), r.accounts[who.Actor.Account].role(repository))
	case provenance.CI:
		for _, c := range r.ciRules(who) {
			if c.role > best && c.pattern.Matches(repository) && c.subject.isCI(who) {
				best = c.role
			}
		}
	}
	return best
}

func (r *rules) ciRules(who provenance.Identity) []ciRule {
	if who.Login == nil {
		return nil
	}
	return r.ci[who.Login.Issuer]
}

// of lists every rule that counts for an identity.
func (r *rules) of(who provenance.Identity) ruleSet {
	list := slices.Clone(r.anonymous)
	switch who.Actor.Kind {
	case provenance.System:
		return ruleSet{{Everything, Admin}}
	case provenance.User, provenance.Robot:
		list = append(append(list, r.everyone...), r.accounts[who.Actor.Account]...)
	case provenance.CI:
		for _, c := range r.ciRules(who) {
			if c.subject.isCI(who) {
				list = append(list, c.rule)
			}
		}
	}
	return list
}

// administers says whether an identity may grant rights in all repositories of a pattern.
func (r *rules) administers(who provenance.Identity, p Pattern) bool {
	if who.Ceiling != nil && !who.Ceiling.Allows(Admin.String(), p.String()) {
		return false
	}
	return slices.ContainsFunc(r.of(who), func(r rule) bool { return r.role == Admin && r.pattern.Contains(p) })
}

// prefixes are what the names of all repositories begin with that an identity may pull from, in order,
// none of them the beginning of another.
func (r *rules) prefixes(who provenance.Identity) (list []string) {
	rules := r.of(who)
	slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(a.pattern.prefix, b.pattern.prefix) })
	for _, next := range rules {
		if n := len(list); n == 0 || !strings.HasPrefix(next.pattern.prefix, list[n-1]) {
			list = append(list, next.pattern.prefix)
		}
	}
	return list
}

// fixed returns the rule that keeps a tag as it is, or nil.
func (r *rules) fixed(repository, tag string) *FixedTags {
	for i, f := range r.document.Fixed {
		if f.Covers(repository, tag) {
			return &r.document.Fixed[i]
		}
	}
	return nil
}
