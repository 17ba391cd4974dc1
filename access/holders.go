package access

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Holders returns the accounts that have the names of some users and robots now: a name may belong to one account after
// another. It implements provenance.Holders.
func (a *Access) Holders(ctx context.Context, of []provenance.Actor) (now []provenance.Actor, err error) {
	of = named(of)
	if len(of) == 0 {
		return nil, nil
	}
	err = a.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return holderReads(of) })
		now = nil
		for _, actor := range of {
			actor.Account, err = accountOf(tx, actor)
			if errors.Is(err, ErrUnknownUser) || errors.Is(err, ErrUnknownRobot) {
				continue // nobody has the name now
			}
			if err != nil {
				return err
			}
			now = append(now, actor)
		}
		return nil
	})
	return now, err
}

// named are the users and robots among some actors, each name once.
func named(actors []provenance.Actor) (list []provenance.Actor) {
	asked := map[string]bool{}
	for _, actor := range actors {
		if actor.Account == "" || asked[actor.Name()] || actor.Kind != provenance.User && actor.Kind != provenance.Robot {
			continue
		}
		asked[actor.Name()] = true
		list = append(list, actor)
	}
	return list
}

func holderReads(of []provenance.Actor) (reads []storage.Read) {
	for _, actor := range of {
		reads = append(reads, (&pass{who: provenance.Identity{Actor: actor}}).reads()...)
	}
	return reads
}

// accountOf is the account that has the name of an actor now.
func accountOf(tx storage.Reader, actor provenance.Actor) (string, error) {
	if actor.Kind == provenance.Robot {
		r, err := readRobot(tx, actor.Handle)
		return r.Account, err
	}
	u, err := readUser(tx, actor.Handle)
	return u.Account, err
}
