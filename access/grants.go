package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// The errors of grants.
var (
	ErrNotAdmin     = fault.New(fault.Denied, "you need admin on the whole pattern to change its grants")
	ErrUnknownGrant = fault.New(fault.Missing, "there is no such grant; `hallmark grants` lists what there is")
)

// Grant gives a role to a subject. It says whether that is new. Errors: ErrNotAdmin, ErrTooHigh, ErrClaims,
// oidc.ErrNeverMatches, ErrTooMuch, ErrUnknownUser, ErrUnknownTeam, ErrUnknownRobot.
func (a *Access) Grant(ctx context.Context, by provenance.Identity, g Grant) (isNew bool, err error) {
	err = a.change(ctx, func(tx storage.Tx) error {
		list, err := a.editGrant(tx, by, g, func(d *Document, g Grant) error {
			d.Grants = append(d.Grants, g)
			return a.grantable(g.Subject)
		})
		isNew = len(list) > 0
		return err
	})
	return isNew, err
}

// Revoke takes a role from a subject, as it was granted. Errors: ErrUnknownGrant, ErrLastAdmin, and those
// of Grant.
func (a *Access) Revoke(ctx context.Context, by provenance.Identity, g Grant) error {
	return a.change(ctx, func(tx storage.Tx) error {
		_, err := a.editGrant(tx, by, g, func(d *Document, g Grant) error {
			before := len(d.Grants)
			d.Grants = slices.DeleteFunc(d.Grants, func(other Grant) bool { return other.key() == g.key() })
			if len(d.Grants) == before {
				return ErrUnknownGrant
			}
			return nil
		})
		return err
	})
}

// editGrant edits the document for a grant whose subject is bound to an account, and that the caller may
// change.
func (a *Access) editGrant(tx storage.Tx, by provenance.Identity, g Grant, change func(*Document, Grant) error) ([]Change, error) {
	now, err := a.rulesIn(tx)
	if err != nil {
		return nil, err
	}
	if !now.administers(by, g.Pattern) {
		return nil, ErrNotAdmin
	}
	if g.Subject, err = bind(tx, g.Subject); err != nil {
		return nil, err
	}
	return a.edit(tx, by, func(d *Document) error { return change(d, g) })
}

// bind puts the account in the place of the name that a user or robot has now.
func bind(tx storage.Reader, s Subject) (Subject, error) {
	switch s.Kind {
	case UserSubject:
		u, err := readUser(tx, s.Name)
		if err != nil {
			return s, fmt.Errorf("user %s: %w", s.Name, err)
		}
		s.Name = u.Account
	case RobotSubject:
		r, err := readRobot(tx, s.Name)
		if err != nil {
			return s, fmt.Errorf("robot %s: %w", s.Name, err)
		}
		s.Name = r.Account
	}
	return s, nil
}

// A GrantEntry is a grant as it is shown: its subject by the name that it has now.
type GrantEntry struct {
	Grant
	Account string `json:"account,omitempty"` // of a user or robot; never used again
}

// String is the grant as the arguments of `hallmark grant`. It orders grants.
func (g GrantEntry) String() string {
	return g.Subject.String() + " " + g.Pattern.String() + " " + g.Role.String()
}

// A GrantQuery says which grants are wanted. The zero value of a field asks for nothing.
type GrantQuery struct {
	Repository string   // those that count in it
	Subjects   []string // those given to one of them, as GrantEntry shows it
}

// Grants returns the grants that somebody may know of, in order: those under patterns that they
// administrate, and those that count for themselves. With a token that is narrower than its owner, they are those that
// have to do with what it is for: it tells nothing of where else its owner may go.
func (a *Access) Grants(ctx context.Context, who provenance.Identity, q GrantQuery) ([]GrantEntry, error) {
	r := a.rules.Load()
	entries := []GrantEntry{}
	for _, g := range r.document.Grants {
		if (q.Repository == "" || g.Pattern.Matches(q.Repository)) && (r.administers(who, g.Pattern) || r.concerns(g.Subject, who) && touches(who.Ceiling, g.Pattern)) {
			entries = append(entries, GrantEntry{Grant: g})
		}
	}
	err := a.store.View(ctx, func(tx storage.Reader) error { return nameAll(tx, entries) })
	if err != nil {
		return nil, err
	}
	if len(q.Subjects) > 0 {
		entries = slices.DeleteFunc(entries, func(e GrantEntry) bool { return !slices.Contains(q.Subjects, e.Subject.String()) })
	}
	slices.SortFunc(entries, compareText)
	return entries, nil
}

// touches says whether a pattern lies within what a ceiling is for, or around it.
func touches(c provenance.Ceiling, p Pattern) bool {
	switch c := c.(type) {
	case nil:
		return true
	case Scopes:
		return slices.ContainsFunc(c, func(s Scope) bool { return s.Pattern.Contains(p) || p.Contains(s.Pattern) })
	case *tokenScopes:
		named := func(r repositoryScope) bool { return p.Matches(r.name) }
		return (c.all || slices.ContainsFunc(c.repositories, named)) && touches(c.under, p)
	default:
		return c.Allows(Pull.String(), p.String())
	}
}

func compareText(a, b GrantEntry) int { return cmp.Compare(a.String(), b.String()) }

// nameAll puts names in the place of accounts. One that was removed since is shown as it is.
func nameAll(tx storage.Reader, entries []GrantEntry) error {
	for i, e := range entries {
		if !e.Subject.hasAccount() || e.Account != "" {
			continue
		}
		text, err := readAccount(tx, e.Subject.Name)
		if err != nil && !errors.Is(err, ErrUnknownUser) {
			return err
		}
		entries[i].Account = e.Subject.Name
		if named, err := ParseSubject(text); err == nil {
			entries[i].Subject = named
		}
	}
	return nil
}

// concerns says whether a grant to a subject counts for an identity.
func (r *rules) concerns(s Subject, who provenance.Identity) bool {
	person := who.Actor.Kind == provenance.User || who.Actor.Kind == provenance.Robot
	switch s.Kind {
	case AnonymousSubject:
		return true
	case EveryoneSubject:
		return person
	case TeamSubject:
		return person && slices.Contains(r.document.team(s.Name).Members, who.Actor.Account)
	case CISubject:
		return who.Actor.Kind == provenance.CI && s.isCI(who)
	default:
		return person && s.Name == who.Actor.Account
	}
}
