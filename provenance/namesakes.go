package provenance

import (
	"context"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
)

// A name may belong to one account after another, and records show people by name. Anyone who shows names asks which of them
// do not tell who it was.

// Name is an actor as people are named: the kind and the handle.
func (a Actor) Name() string { return string(a.Kind) + ":" + a.Handle }

// Known is how people know an actor: a user by the handle alone, anything else with its kind.
func (a Actor) Known() string {
	if a.Kind == User {
		return a.Handle
	}
	return a.Name()
}

// Namesakes are names that more than one account had, as [Actor.Name] has them.
type Namesakes []string

// Account is the account of an actor whose name does not tell who it was, as " (account a1b2)", and else "".
func (n Namesakes) Account(a Actor) string {
	if a.Account == "" || !slices.Contains(n, a.Name()) {
		return ""
	}
	return " (account " + a.Account + ")"
}

// Holders are the accounts that have the names of some actors now, whether or not they did anything. An access.Access
// tells.
type Holders func(ctx context.Context, of []Actor) ([]Actor, error)

// NamesakesAmong is of, a Book's Namesakes, also among those who have the names now, where holders tell.
func NamesakesAmong(ctx context.Context, of func(context.Context, []Actor) (Namesakes, error), actors []Actor, holders Holders) (Namesakes, error) {
	if holders == nil {
		return of(ctx, actors)
	}
	storage.Ahead(ctx, func() []storage.Read { return append(headReads(), namesReads(actors)...) }) // with the holders
	now, err := holders(ctx, actors)
	if err != nil {
		return nil, err
	}
	return of(ctx, slices.Concat(actors, now))
}

// Namesakes returns the names of actors that more than one account had, in order: among the actors themselves, or by the
// first and the newest record of the name. It reads two records a name, or a few more where names of other kinds have the
// same handle; of a name that it does not find among these it says that it does not tell who it was.
func (b *Book) Namesakes(ctx context.Context, actors []Actor) (names Namesakes, err error) {
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
	err = b.viewWith(ctx, func() []storage.Read { return namesReads(actors) }, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return firstReads(tx, actors) })
		for _, handle := range handlesOf(actors) {
			for _, descending := range []bool{false, true} {
				q := Query{Identity: handle, Descending: descending}
				s, err := q.seeker(tx)
				if err != nil {
					return err
				}
				unseen, err := firstOfNames(tx, s, namesOf(actors, handle), add)
				if err != nil {
					return err
				}
				for _, name := range unseen {
					shared[name] = true
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

// namesReads are the first and the last row of each handle.
func namesReads(actors []Actor) (reads []storage.Read) {
	for _, handle := range handlesOf(actors) {
		terms := (&Query{Identity: handle}).terms()
		reads = append(append(reads, termReads(terms, false, 1)...), termReads(terms, true, 1)...)
	}
	return reads
}

// firstReads are the first and the last record of each handle.
func firstReads(tx storage.Reader, actors []Actor) (reads []storage.Read) {
	for _, handle := range handlesOf(actors) {
		for _, descending := range []bool{false, true} {
			q := Query{Identity: handle, Descending: descending}
			if s, err := q.seeker(tx); err == nil {
				reads = append(reads, s.reads(1)...)
			}
		}
	}
	return reads
}

// namesRead bounds the records that are read for the names of one handle.
const namesRead = 32

// firstOfNames tells found of the first record of each name that a seeker comes to. It returns the names that others were
// before, so that they were not come to.
func firstOfNames(tx storage.Reader, s *seeker, names []string, found func(Actor)) (unseen []string, err error) {
	for range namesRead {
		if len(names) == 0 {
			return nil, nil
		}
		index, ok, err := s.next()
		if err != nil || !ok {
			return nil, err
		}
		s.skip(index)
		r, err := ReadRecord(tx, index)
		if err != nil {
			return nil, err
		}
		if at := slices.Index(names, r.Actor.Name()); at >= 0 {
			found(r.Actor)
			names = slices.Delete(names, at, at+1)
		}
	}
	return names, nil
}

// namesOf are the names of actors with accounts that have a handle, each once.
func namesOf(actors []Actor, handle string) (names []string) {
	for _, a := range actors {
		if a.Account != "" && a.Handle == handle {
			names = append(names, a.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
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
