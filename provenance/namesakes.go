package provenance

import (
	"context"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
)

// A name may belong to one account after another, and records show people by name. Whoever shows names asks which of them
// do not tell who it was.

// Name is an actor as people are named: the kind and the handle.
func (a Actor) Name() string { return string(a.Kind) + ":" + a.Handle }

// Namesakes returns the names of actors that more than one account had, in order: among the actors themselves, or by the
// first and the newest record of the name. It reads two records a name.
func (b *Book) Namesakes(ctx context.Context, actors []Actor) (names []string, err error) {
	had := map[string]string{} // name → an account
	shared := map[string]bool{}
	add := func(a Actor) {
		if a.Account == "" {
			return
		}
		known, isKnown := had[a.Name()]
		shared[a.Name()] = shared[a.Name()] || isKnown && known != a.Account
		had[a.Name()] = a.Account
	}
	for _, a := range actors {
		add(a)
	}
	err = b.view(ctx, func(tx storage.Reader) error {
		for _, handle := range handlesOf(actors) {
			for _, descending := range []bool{false, true} {
				q := Query{Identity: handle, Descending: descending}
				s, err := q.seeker(tx)
				if err != nil {
					return err
				}
				index, ok, err := s.next()
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				r, err := ReadRecord(tx, index)
				if err != nil {
					return err
				}
				if _, asked := had[r.Actor.Name()]; asked {
					add(r.Actor)
				}
			}
		}
		return nil
	})
	for name, is := range shared {
		if is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// handlesOf are the handles of actors with accounts, each once.
func handlesOf(actors []Actor) (handles []string) {
	for _, a := range actors {
		if a.Account != "" {
			handles = append(handles, a.Handle)
		}
	}
	slices.Sort(handles)
	return slices.Compact(handles)
}
