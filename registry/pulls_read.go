package registry

import (
	"context"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// A PullRef is what may be pulled: a tag or digest of a repository, or the repository where Ref is "".
type PullRef struct{ Repository, Ref string }

// Pulls are what is known of the pulls of something.
type Pulls struct {
	// Since is when counting began. Of a time before it nobody can say that there was no pull.
	Since time.Time
	// Last is the last pull that is known, which may be before Since; zero where none is.
	Last time.Time
	// Days are the last days with pulls, the newest first.
	Days []PullDay
}

// PullDay is how many pulls a day had.
type PullDay struct {
	Day   time.Time // its beginning, in UTC
	Pulls uint64
}

// NoneAfter is a time after which it certainly was not pulled, until the pulls were written last: the last pull, or when
// counting began where that is later.
func (p Pulls) NoneAfter() time.Time {
	if p.Last.After(p.Since) {
		return p.Last
	}
	return p.Since
}

// PullsOf returns what is known of the pulls of many things, all at the same moment, and whether they are there or not. Pulls of the last
// minute may be missing, and for a tag or index of a manifest that has very many of them those of the last hour: anyone who decides
// by it what goes calls FlushPulls before.
func (g *Registry) PullsOf(ctx context.Context, refs []PullRef) (list []Pulls, err error) {
	keys := make([][]byte, len(refs))
	for i, r := range refs {
		keys[i] = r.key()
	}
	err = g.view(ctx, func() []storage.Read { return pullReads(refs) }, func(tx storage.Reader) error {
		list = make([]Pulls, len(refs))
		rows, err := tx.GetMany(pullTable, keys)
		if err != nil {
			return err
		}
		states := g.pullStatesNow(tx)
		for i := range refs {
			state, row, err := states.row(keys[i], rows[i])
			if err != nil {
				return err
			}
			list[i] = row.pulls(state)
		}
		return nil
	})
	return list, err
}

// pullReads are what PullsOf reads.
func pullReads(refs []PullRef) []storage.Read {
	reads := []storage.Read{storage.Row(pullStateTable, pullStateKey)}
	for i, r := range refs {
		reads = append(reads, storage.Row(pullTable, r.key()))
		if i == 0 || refs[i-1].Repository != r.Repository {
			reads = append(reads, storage.Row(pullStateTable, repoKey(r.Repository)))
		}
	}
	return reads
}

// key is that of its row. What cannot be there has the key of nothing.
func (r PullRef) key() []byte {
	if d, ok := parseDigest(r.Ref); ok {
		return pullKey(r.Repository, digestKey(d))
	}
	return pullKey(r.Repository, []byte(r.Ref))
}

func (p pullRow) pulls(s pullState) Pulls {
	out := Pulls{Since: time.UnixMicro(int64(s.Began)).UTC()}
	if p.last == 0 {
		return out
	}
	out.Last = time.UnixMicro(int64(p.last)).UTC()
	for _, d := range p.days {
		out.Days = append(out.Days, PullDay{time.Unix(int64(d.day)*24*60*60, 0).UTC(), d.pulls()})
	}
	return out
}

// pullStates are the states of repositories, each read once in a transaction.
type pullStates struct {
	tx    storage.Reader
	all   *pullState
	each  map[string]pullState
	now   func(*pullState)
	dirty bool // all is another than the stored one
}

func newPullStates(tx storage.Reader) *pullStates {
	return &pullStates{tx: tx, each: map[string]pullState{}, now: func(*pullState) {}}
}

// pullStatesNow are the states with what this process knows better: that pulls are lost, or that nobody counts them.
func (g *Registry) pullStatesNow(tx storage.Reader) *pullStates {
	states := newPullStates(tx)
	states.now = func(s *pullState) {
		stopped := s.Began != 0 && s.Stopped == g.clock.found
		if g.pulls.isLost() || !g.pulls.counting.Load() && !stopped {
			s.Began = s.now()
		}
	}
	return states
}

// whole is the state of all repositories.
func (p *pullStates) whole() (*pullState, error) {
	if p.all == nil {
		all, err := readPullState(p.tx)
		if err != nil {
			return nil, err
		}
		p.dirty, all.unread = all.unread, false // keep writes what is read now
		p.now(&all)
		p.all = &all
	}
	return p.all, nil
}

func (p *pullStates) of(repo string) (pullState, error) {
	if s, ok := p.each[repo]; ok {
		return s, nil
	}
	all, err := p.whole()
	if err != nil {
		return pullState{}, err
	}
	s, err := all.of(p.tx, repo)
	if err == nil {
		p.each[repo] = s
	}
	return s, err
}

// row reads the row of a key, with the state of its repository. One that is absent or forgotten has no pulls. One that cannot be read
// has none either, and counting begins now as far as it goes: what it counted may have been pulled a moment ago.
func (p *pullStates) row(key, value []byte) (s pullState, row pullRow, err error) {
	repo, _ := cutRepo(key)
	if s, err = p.of(repo); err != nil || value == nil {
		return s, row, err
	}
	row, err = decodePullRow(value)
	switch {
	case err != nil:
		s.Began = s.now()
		return s, pullRow{unread: true}, nil
	case row.forgets < s.Forgotten:
		return s, pullRow{}, nil
	}
	return s, row, nil
}

// restart has counting begin anew for a repository, in a transaction that takes the place of what cannot be read of it: that nothing is
// there must not come to mean that nothing was pulled.
func (p *pullStates) restart(tx storage.Tx, repo string) error {
	s, err := p.of(repo)
	if err != nil || !validName(repo) { // nobody can ask for the pulls of what is no name
		return err
	}
	if s.unread { // and hides all rows, which are forgotten
		p.all.Forgets++
		p.dirty = true
		s.Forgets, s.Forgotten, s.unread = p.all.Forgets, p.all.Forgets, false
	}
	s.Began = s.now()
	p.each[repo] = s
	return putStateRow(tx, repoKey(repo), forgotten{s.Began, s.Forgotten})
}

// keep writes the state of all repositories where it has changed, or could not be read.
func (p *pullStates) keep(tx storage.Tx) error {
	if all, err := p.whole(); err != nil || !p.dirty {
		return err
	} else {
		return putStateRow(tx, pullStateKey, *all)
	}
}
