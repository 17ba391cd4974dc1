package access

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// The errors of teams.
var (
	ErrUnknownTeam = fault.New(fault.Missing, "there is no such team")
	ErrTeamExists  = fault.New(fault.Conflict, "there is such a team already")
	ErrNotMember   = fault.New(fault.Missing, "is not in the team")
)

// A TeamEntry is a team as it is shown.
type TeamEntry struct {
	Name    string   `json:"name"`
	Members []string `json:"members"` // by the names that they have now
}

// AddTeam makes a team without members. Errors: ErrUserName, ErrTeamExists, ErrTooMuch.
func (a *Access) AddTeam(ctx context.Context, by provenance.Identity, name string) error {
	if !validUserName(name) {
		return ErrUserName
	}
	return a.editDocument(ctx, by, func(_ storage.Tx, d *Document) error {
		if d.team(name) != nil {
			return ErrTeamExists
		}
		d.Teams = append(d.Teams, Team{Name: name, Members: []string{}})
		return nil
	})
}

// RemoveTeam removes a team with all that was granted to it. Errors: ErrUnknownTeam, ErrLastAdmin.
func (a *Access) RemoveTeam(ctx context.Context, by provenance.Identity, name string) error {
	remove := func(_ storage.Tx, d *Document) error {
		if d.team(name) == nil {
			return ErrUnknownTeam
		}
		d.Teams = slices.DeleteFunc(d.Teams, func(t Team) bool { return t.Name == name })
		d.Grants = slices.DeleteFunc(d.Grants, func(g Grant) bool { return g.Subject.Kind == TeamSubject && g.Subject.Name == name })
		return nil
	}
	return a.takeAway(ctx, by, remove, func(storage.Tx) error { return nil })
}

// JoinTeam adds users to a team: all of them, or none. Errors: ErrUnknownTeam, ErrUnknownUser, ErrTooMuch.
func (a *Access) JoinTeam(ctx context.Context, by provenance.Identity, name string, users []string) error {
	return a.editMembers(ctx, by, name, users, func(members []string, _, account string) ([]string, error) {
		return append(members, account), nil // tidied to one
	})
}

// LeaveTeam takes users out of a team: all of them, or none. Errors: ErrUnknownTeam, ErrUnknownUser,
// ErrNotMember, ErrLastAdmin.
func (a *Access) LeaveTeam(ctx context.Context, by provenance.Identity, name string, users []string) error {
	return a.editMembers(ctx, by, name, users, func(members []string, user, account string) ([]string, error) {
		i := slices.Index(members, account)
		if i < 0 {
			return nil, fmt.Errorf("%s %w %s", user, ErrNotMember, name)
		}
		return slices.Delete(members, i, i+1), nil
	})
}

// editMembers changes the members of a team, one user after the other.
func (a *Access) editMembers(ctx context.Context, by provenance.Identity, name string, users []string,
	change func(members []string, user, account string) ([]string, error),
) error {
	return a.editDocument(ctx, by, func(tx storage.Tx, d *Document) error {
		team := d.team(name)
		if team == nil {
			return ErrUnknownTeam
		}
		for _, user := range users {
			s, err := bind(tx, Subject{Kind: UserSubject, Name: user})
			if err != nil {
				return err
			}
			if team.Members, err = change(team.Members, user, s.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// editDocument edits the document in a transaction of its own.
func (a *Access) editDocument(ctx context.Context, by provenance.Identity, change func(storage.Tx, *Document) error) error {
	return a.change(ctx, func(tx storage.Tx) error {
		_, err := a.edit(tx, by, func(d *Document) error { return change(tx, d) })
		return err
	})
}

// Teams returns up to limit teams in the order of their names, from the one behind after.
func (a *Access) Teams(ctx context.Context, after string, limit int) (teams []TeamEntry, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		teams = nil
		r, err := a.rulesIn(tx)
		if err != nil {
			return err
		}
		for _, t := range r.document.Teams {
			if t.Name <= after || len(teams) == limit {
				continue
			}
			entry, err := nameTeam(tx, t)
			if err != nil {
				return err
			}
			teams = append(teams, entry)
		}
		return nil
	})
	return teams, err
}

// Team returns the team of a name. Error: ErrUnknownTeam.
func (a *Access) Team(ctx context.Context, name string) (team TeamEntry, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		r, err := a.rulesIn(tx)
		if err != nil {
			return err
		}
		t := r.document.team(name)
		if t == nil {
			return ErrUnknownTeam
		}
		team, err = nameTeam(tx, *t)
		return err
	})
	return team, err
}

// nameTeam puts names in the place of accounts.
func nameTeam(tx storage.Reader, t Team) (TeamEntry, error) {
	entry := TeamEntry{Name: t.Name, Members: []string{}}
	for _, account := range t.Members {
		text, err := readAccount(tx, account)
		if err != nil {
			return entry, err
		}
		s, err := ParseSubject(text)
		if err != nil {
			return entry, fmt.Errorf("account %s: %w: %w", account, storage.ErrCorrupt, err)
		}
		entry.Members = append(entry.Members, s.Name)
	}
	slices.Sort(entry.Members)
	return entry, nil
}
