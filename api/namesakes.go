package api

import (
	"context"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
)

// Names tell which names of actors more than one account had or has.
type Names interface {
	Namesakes(ctx context.Context, actors []provenance.Actor) (provenance.Namesakes, error)
}

// Accounts tell which account a name has now.
type Accounts interface {
	// AccountOf returns the account of a user. Error: access.ErrUnknownUser.
	AccountOf(ctx context.Context, user string) (account string, err error)
	// Holders returns the accounts that have the names of some actors now.
	Holders(ctx context.Context, of []provenance.Actor) ([]provenance.Actor, error)
}

// namesakes are the names in an answer that more than one account had or has: there the account says who it was.
func (a *API) namesakes(ctx context.Context, actors []provenance.Actor) (provenance.Namesakes, error) {
	return provenance.NamesakesAmong(ctx, a.Names.Namesakes, actors, a.Accounts.Holders)
}

// actorsOf are those whom records name: who did it, and whose right it was.
func actorsOf(records []*provenance.Record) (actors []provenance.Actor) {
	for _, r := range records {
		actors = append(actors, r.Actor)
		if g := r.Grant; g != nil && g.Account != "" {
			kind, handle, _ := strings.Cut(g.Subject, ":")
			actors = append(actors, provenance.Actor{Kind: provenance.Kind(kind), Handle: handle, Account: g.Account})
		}
	}
	return actors
}

// actors are those who did something with an image.
func (answer *imageAnswer) actors() (actors []provenance.Actor) {
	for _, by := range answer.Provenance.Authenticated {
		actors = append(actors, by.Actor)
	}
	return append(actors, answer.Actors()...)
}
