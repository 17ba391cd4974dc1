package independent

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// rightsChange is what a record of a right or an account is about.
type rightsChange struct {
	Subject, Account, Team, Pattern, Role, Tags string

	Except         []string
	Version        uint64
	Change, Former string
	Credential     string
	reach
}

// reach is what a personal token may do, and until when. Records of older versions state neither.
type reach struct {
	Scopes []struct {
		Pattern string
		Rights  []string
	}
	Expires string
}

// token is a personal token that was made and not ended.
type token struct {
	account string
	reach
}

// access is the access document in force.
type access struct {
	version uint64
	digest  string
}

// right is something given, or withheld by a rule for tags.
type right struct {
	rightsChange
	record        uint64
	pattern, tags *regexp.Regexp // of a rule
	except        []*regexp.Regexp
}

func (s *state) right(r *record) {
	g := r.Grant
	if was := s.access; was != nil && (g.Version < was.version || g.Version == was.version && r.Digest != was.digest) {
		s.wrongf(r, "version %d of the access document is %s, and version %d was %s", g.Version, r.Digest, was.version, was.digest)
	}
	s.access = &access{g.Version, r.Digest}
	if g.Credential != "" && g.Change != "token-ended" {
		s.introduced[g.Credential] = g.Account
	}
	switch g.Change {
	case "added", "renamed", "secret", "adopted":
		s.account(r)
	case "removed":
		delete(s.accounts, g.Account)
		maps.DeleteFunc(s.tokens, func(_ string, t token) bool { return t.account == g.Account })
	case "token":
		s.tokens[g.Credential] = token{g.Account, g.reach}
	case "token-ended":
		if _, ok := s.tokens[g.Credential]; !ok && strings.HasPrefix(g.Credential, "token-s-") {
			s.wrongf(r, "it ends the token %s, which no record made", g.Credential)
		}
		delete(s.tokens, g.Credential)
	}
	if g.Change != "" && g.Role == "" {
		return
	}
	key := fmt.Sprintf("%q %q %q %q %q %q", cmp.Or(g.Account, g.Subject), g.Team, g.Pattern, g.Role, g.Tags, g.Except)
	if comes := (r.Action == "grant") == (g.Tags == ""); !comes {
		if _, ok := s.rights[key]; !ok {
			s.wrongf(r, "it ends a right that no record gave: %s", key)
		}
		delete(s.rights, key)
		return
	}
	made := right{rightsChange: *g, record: r.Index, pattern: glob(g.Pattern), tags: glob(g.Tags)}
	for _, e := range g.Except {
		made.except = append(made.except, glob(e))
	}
	s.rights[key] = made
}

// login wants what somebody signed in with to be theirs, by an earlier record.
func (s *state) login(r *record) {
	if r.Authenticated == nil {
		return
	}
	for _, id := range []string{r.Authenticated.Credential, r.Authenticated.RestsOn} {
		if !strings.HasPrefix(id, "s-") && !strings.HasPrefix(id, "token-s-") {
			continue
		}
		if account, ok := s.introduced[id]; !ok || account != r.Actor.Account {
			s.wrongf(r, "account %q signed in with %s, which is of account %q", r.Actor.Account, id, account)
		}
	}
}

// account notes the name of an account.
func (s *state) account(r *record) {
	g := r.Grant
	was, known := s.accounts[g.Account]
	before := g.Subject
	if g.Change == "renamed" {
		before = g.Former
	}
	switch {
	case known && g.Change == "added":
		s.wrongf(r, "it adds the account %s, which is there as %s", g.Account, was)
	case known && g.Change != "adopted" && before != was:
		s.wrongf(r, "it says that account %s was %s, and it was %s", g.Account, before, was)
	}
	s.accounts[g.Account] = g.Subject
}

// glob is a pattern in which * stands for any characters but /, and ** for any.
func glob(pattern string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(pattern)
	return regexp.MustCompile("^" + strings.NewReplacer(`\*\*`, `.*`, `\*`, `[^/]*`).Replace(quoted) + "$")
}

// forbidden says of a move that a rule in force forbade it.
func (s *state) forbidden(r *record, tag string) {
	for _, of := range s.rights {
		if of.Tags == "" || !of.pattern.MatchString(r.Repository) || !of.tags.MatchString(tag) ||
			slices.ContainsFunc(of.except, func(e *regexp.Regexp) bool { return e.MatchString(tag) }) {
			continue
		}
		s.wrongf(r, "%s:%s was moved against the rule that record %d made: tags %s in %s stay as they are", r.Repository, tag, of.record, of.Tags, of.Pattern)
	}
}
