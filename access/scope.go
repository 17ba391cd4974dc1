package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
)

// The bounds of what one token is asked for.
const (
	maxScopes = 64
	maxScope  = 512 // bytes of one
)

// accountScope is the scope of everything that its owner may do: what commands ask for that hold a
// refresh token.
const accountScope = "hallmark:account:*"

// catalogScope is the scope that clients ask for to list repositories.
const catalogScope = "registry:catalog:*"

// tokenScopes are what a token may be used for: some repositories by name, the catalog, or all of the
// account. They are a ceiling alone: what they allow is asked of the grants at each request.
type tokenScopes struct {
	repositories []repositoryScope
	catalog, all bool
	under        provenance.Ceiling // of the credential that the token was given for; may be nil
}

type repositoryScope struct {
	name   string
	rights []string
}

// Allows implements provenance.Ceiling.
func (s *tokenScopes) Allows(right, on string) bool {
	return s.names(right, on) && (s.under == nil || s.under.Allows(right, on))
}

// names says whether the token itself is for something, whatever its credential is for.
func (s *tokenScopes) names(right, on string) bool {
	return s.all || slices.ContainsFunc(s.repositories, func(r repositoryScope) bool {
		return r.name == on && slices.Contains(r.rights, right)
	})
}

// NeedsScope says that a token is too narrow for a request, so that another one is worth asking for.
func NeedsScope(who provenance.Identity, right Right, repository string) bool {
	s, ok := who.Ceiling.(*tokenScopes)
	return ok && !s.names(right.String(), repository)
}

// Owner returns who without the scopes of the token at hand, within those of what the token was got with.
func Owner(who provenance.Identity) provenance.Identity {
	if s, ok := who.Ceiling.(*tokenScopes); ok {
		who.Ceiling = s.under
	}
	return who
}

// NeedsCatalog says that a token is not for the list of repositories, of which it would show a part.
func NeedsCatalog(who provenance.Identity) bool {
	s, ok := who.Ceiling.(*tokenScopes)
	return ok && !s.catalog && !s.all
}

// Lister returns who as they list repositories: the owner of a token for the catalog sees the names of all
// that they may pull from, though the token pulls nothing.
func Lister(who provenance.Identity) provenance.Identity {
	if s, ok := who.Ceiling.(*tokenScopes); ok && s.catalog {
		return Owner(who)
	}
	return who
}

// parseScopes reads scopes as clients write them: TYPE:NAME:ACTION,… where NAME may hold colons. What is
// of no type that we know, and what names nothing that there could be, is left out, as the protocol wants.
// The kept ones come back in their shortest form.
func parseScopes(asked []string) (s *tokenScopes, kept []string, err error) {
	s = &tokenScopes{}
	for _, text := range asked {
		for one := range strings.FieldsSeq(text) {
			if len(kept) == maxScopes || len(one) > maxScope {
				return nil, nil, fmt.Errorf("a token has at most %d scopes of %d bytes", maxScopes, maxScope)
			}
			if s.add(one) {
				kept = append(kept, one)
			}
		}
	}
	return s, kept, nil
}

func (s *tokenScopes) add(scope string) bool {
	kind, rest, _ := strings.Cut(scope, ":")
	kind, _, _ = strings.Cut(kind, "(") // repository(class)
	end := strings.LastIndexByte(rest, ':')
	switch {
	case scope == accountScope:
		s.all = true
	case scope == catalogScope:
		s.catalog = true
	case kind == "repository" && end > 0:
		return s.addRepository(rest[:end], rest[end+1:])
	default:
		return false
	}
	return true
}

func (s *tokenScopes) addRepository(name, actions string) bool {
	if p, err := ParsePattern(name); err != nil || !p.isLiteral() {
		return false
	}
	r := repositoryScope{name: name}
	for action := range strings.SplitSeq(actions, ",") {
		switch action {
		case "pull", "push", "delete":
			r.rights = append(r.rights, action)
		case "*":
			r.rights = append(r.rights, "pull", "push", "delete")
		}
	}
	if len(r.rights) == 0 {
		return false
	}
	s.repositories = append(s.repositories, r)
	return true
}
