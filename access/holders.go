package access

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/provenance"
)

// Holders returns the accounts that have the names of some users and robots now: a name may belong to one account after
// another. It implements provenance.Holders.
func (a *Access) Holders(ctx context.Context, of []provenance.Actor) (now []provenance.Actor, err error) {
	asked := map[string]bool{}
	for _, actor := range of {
		if actor.Account == "" || asked[actor.Name()] {
			continue
		}
		asked[actor.Name()] = true
		switch actor.Kind {
		case provenance.User:
			actor.Account, err = a.AccountOf(ctx, actor.Handle)
		case provenance.Robot:
			actor.Account, err = a.robotAccount(ctx, actor.Handle)
		default:
			continue
		}
		if errors.Is(err, ErrUnknownUser) || errors.Is(err, ErrUnknownRobot) {
			continue // nobody has the name now
		}
		if err != nil {
			return nil, err
		}
		now = append(now, actor)
	}
	return now, nil
}
