package api

import (
	"context"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Names tell which names of actors more than one account had or has.
type Names interface {
	Namesakes(ctx context.Context, actors []provenance.Actor) ([]string, error)
}

// Accounts tell which account a name has now. Errors: access.ErrUnknownUser, access.ErrUnknownRobot.
type Accounts interface {
	AccountOf(ctx context.Context, user string) (account string, err error)
	RobotAccount(ctx context.Context, robot string) (account string, err error)
}

// namesakes are the names in an answer that more than one account had or has: there the account says who it was.
func (a *API) namesakes(c *call, actors []provenance.Actor) ([]string, error) {
	asked := map[string]bool{}
	for _, actor := range actors {
		if actor.Account == "" || asked[actor.Name()] {
			continue
		}
		asked[actor.Name()] = true
		var err error
		switch actor.Kind {
		case provenance.User:
			actor.Account, err = a.Accounts.AccountOf(c.Context(), actor.Handle)
		case provenance.Robot:
			actor.Account, err = a.Accounts.RobotAccount(c.Context(), actor.Handle)
		default:
			continue
		}
		if isOne(err, access.ErrUnknownUser, access.ErrUnknownRobot) {
			continue // nobody has the name now
		}
		if err != nil {
			return nil, err
		}
		actors = append(actors, actor)
	}
	return a.Names.Namesakes(c.Context(), actors)
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
	for _, list := range [][]provenance.Act{answer.Arrivals, answer.Removals} {
		for _, act := range list {
			actors = append(actors, act.Actor)
		}
	}
	for _, p := range answer.Platforms {
		if p.First != nil {
			actors = append(actors, p.First.Actor)
		}
	}
	return actors
}
