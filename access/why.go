package access

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Why returns the grants by which a subject has a right in a repository, in order; where there are none, it has not. A user
// or robot has those of its teams, of everyone and of anonymous too; a CI subject stands for a job that has exactly these
// claims. Errors: ErrUnknownUser, ErrUnknownTeam, ErrUnknownRobot.
func (a *Access) Why(ctx context.Context, s Subject, right Right, repository string) (grants []GrantEntry, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		r, err := a.rulesIn(tx)
		if err != nil {
			return err
		}
		known, err := r.known(tx, s)
		if err != nil {
			return err
		}
		grants = []GrantEntry{}
		for _, g := range r.document.Grants {
			if g.Role >= right && g.Pattern.Matches(repository) && r.reaches(g.Subject, known) && a.bound(g.Subject) == nil {
				grants = append(grants, GrantEntry{Grant: g})
			}
		}
		return nameAll(tx, grants)
	})
	slices.SortFunc(grants, compareText)
	return grants, err
}

// known wants a subject to be there, and binds it to its account.
func (r *rules) known(tx storage.Reader, s Subject) (Subject, error) {
	if s.Kind == TeamSubject && r.document.team(s.Name) == nil {
		return s, fmt.Errorf("team %s: %w", s.Name, ErrUnknownTeam)
	}
	return bind(tx, s)
}

// reaches says whether a grant to one subject counts for another.
func (r *rules) reaches(granted, s Subject) bool {
	person := s.Kind == UserSubject || s.Kind == RobotSubject
	switch granted.Kind {
	case AnonymousSubject:
		return true
	case EveryoneSubject:
		return person || s.Kind == TeamSubject || s.Kind == EveryoneSubject
	case TeamSubject:
		return s.Kind == TeamSubject && s.Name == granted.Name || person && slices.Contains(r.document.team(granted.Name).Members, s.Name)
	case CISubject:
		return s.Kind == CISubject && granted.isCI(s.job())
	default:
		return s.Kind == granted.Kind && s.Name == granted.Name
	}
}

// job is a CI job that has the claims of a CI subject as they are written, and no others.
func (s Subject) job() provenance.Identity {
	claims := map[string]string{}
	for _, c := range s.Claims {
		claims[c.Name] = c.Value.String()
	}
	return provenance.Identity{Actor: provenance.Actor{Kind: provenance.CI}, Login: &provenance.Login{Issuer: s.Issuer, Claims: claims}}
}
