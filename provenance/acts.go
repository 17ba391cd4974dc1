package provenance

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// Who did what with an image: who pushed it first, who pushed it again, who tagged it, who deleted it. A login proves
// an act, and nothing else: that a CI job pushed some bytes, and not that it built them. So nothing here says what an
// image was built from. Everybody who shows or judges acts asks here, and says it in the words of [Acts.Says].

// An Act is something that somebody did with an image.
type Act struct {
	Action     Action `json:"action"`
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"` // that it set, of the act that did
	Record     uint64 `json:"record"`
	Time       Time   `json:"time"`
	Actor      Actor  `json:"actor"`
	Means      Means  `json:"means,omitempty"`  // how they signed in
	Issuer     string `json:"issuer,omitempty"` // who vouches for them
	Job        *Job   `json:"job,omitempty"`    // of a CI job

	login *Login
}

// A Job is where a CI job ran that did something, by its login.
type Job struct {
	Source   string `json:"source,omitempty"`
	Revision string `json:"revision,omitempty"`
	Event    string `json:"event,omitempty"` // what started it, as the issuer names it
	// Counts says that the image may be taken for one that this job was the first to push, whole. Where it does not,
	// Why says why.
	Counts bool   `json:"counts"`
	Why    string `json:"why,omitempty"`
}

// Acts are what was done with an image, as far as the one who asks may know.
type Acts struct {
	// Arrivals are pushes and imports of the digest, oldest first. ArrivalsCut says that there may be more: those of the
	// middle are left out.
	Arrivals    []Act `json:"arrivals,omitempty"`
	ArrivalsCut bool  `json:"arrivalsCut,omitempty"`
	// First is the earliest arrival in the registry; absent where it is in a repository that they may not see.
	First *Act `json:"first,omitempty"`
	// Platforms are the earliest arrivals of what an index lists, but for attestations, of which First is judged too.
	Platforms []PlatformAct `json:"platforms,omitempty"`
	// Tagged is the act that set the tag that was asked for.
	Tagged *Act `json:"tagged,omitempty"`
	// Removals are deletions of the digest, oldest first.
	Removals []Act `json:"removals,omitempty"`
	// Namesakes are names here that more than one account had or has.
	Namesakes Namesakes `json:"namesakes,omitempty"`

	tells func(string) bool
}

// A PlatformAct is the earliest arrival of a platform in the registry; without First it is not known, or not to the
// one who asks.
type PlatformAct struct {
	Digest digest.Digest `json:"digest"`
	First  *Act          `json:"first,omitempty"`

	lists bool // it is an index itself
}

// ActsOf asks for the acts about an image.
type ActsOf struct {
	Repository string
	Digest     digest.Digest
	Tag        string          // that was asked for, or ""
	Platforms  []digest.Digest // what an index lists, but for attestations
	// Visible says of which repositories the one who asks may know. Nil is all, as for rules.
	Visible func(repository string) bool
	// Tells says of which repositories words may tell more than that there are acts in them. Nil is all that is visible.
	Tells func(repository string) bool
	// Pending is the record that a push will add, or nil.
	Pending *Record
	// Holders tells who has the names now of those who did something. Nil: only what they did is known.
	Holders Holders
}

// The bounds of what is looked at.
const (
	maxActs      = 100 // arrivals, and as many removals
	maxActLooks  = 500 // records of the digest
	maxPlatforms = MaxChildren
)

// Arrives says that a manifest came with what the record is about.
func (r *Record) Arrives() bool { return r.Action == Push || r.Action == Import }

// ActOf is what a record says that somebody did.
func ActOf(r *Record) Act {
	a := Act{Action: r.Action, Repository: r.Repository, Record: r.Index, Time: r.Time, Actor: r.Actor}
	if a.login = r.Authenticated; a.login != nil {
		a.Means, a.Issuer = r.Means(), r.Authenticated.Issuer
	}
	if r.Actor.Kind == CI && r.Authenticated != nil {
		if a.Job = r.Authenticated.Job(); r.Action == Import {
			a.Job.refuse("it was imported from elsewhere")
		}
	}
	return a
}

// Acts returns what was done with an image. It finds the rows of the digest and reads a bounded number of records,
// however many there are.
func (b *Book) Acts(ctx context.Context, q ActsOf) (acts Acts, err error) {
	err = b.viewWith(ctx, q.reads, func(tx storage.Reader) error {
		acts = Acts{tells: q.Tells}
		return q.read(tx, &acts)
	})
	if err != nil {
		return acts, err
	}
	acts.Namesakes, err = NamesakesAmong(ctx, b.Namesakes, acts.Actors(), q.Holders)
	q.decidePlatforms(&acts)
	return acts, err
}

// Actors are those who did something with the image.
func (a *Acts) Actors() (actors []Actor) {
	for _, act := range slices.Concat(a.Arrivals, a.Removals) {
		actors = append(actors, act.Actor)
	}
	for _, p := range a.Platforms {
		if p.First != nil {
			actors = append(actors, p.First.Actor)
		}
	}
	for _, act := range []*Act{a.First, a.Tagged} {
		if act != nil {
			actors = append(actors, act.Actor)
		}
	}
	return actors
}

func (q *ActsOf) read(tx storage.Reader, acts *Acts) error {
	if err := q.readArrivals(tx, acts); err != nil {
		return err
	}
	came, known, err := first(tx, q.Digest)
	if err != nil {
		return err
	}
	if came == nil && known && q.Pending != nil && q.Pending.Arrives() {
		came = q.Pending
	}
	if came != nil && q.sees(came.Repository) {
		act := ActOf(came)
		acts.First = &act
	}
	if acts.Tagged, err = q.tagged(tx); err != nil {
		return err
	}
	return q.readPlatforms(tx, acts)
}

// reads are the rows by which the records are found.
func (q *ActsOf) reads() []storage.Read {
	reads := termReads([]term{newTerm(byDigest, q.Digest.String())}, false, maxActs)
	if q.Tag != "" {
		reads = append(reads, termReads((&Query{Repository: q.Repository, Tag: q.Tag}).terms(), true, 2)...)
	}
	for _, d := range q.all() {
		t := newTerm(byDigest, d.String())
		reads = append(reads, storage.Under(imageTable, t[:]))
	}
	return reads
}

// all are the image and its platforms, whose first arrivals are looked for.
func (q *ActsOf) all() []digest.Digest {
	return append([]digest.Digest{q.Digest}, q.Platforms[:min(len(q.Platforms), maxPlatforms)]...)
}

// firstReads are the first record of each of all, and the newest of the tag.
func (q *ActsOf) firstReads(tx storage.Reader) (reads []storage.Read) {
	for _, d := range q.all() {
		if found, _, err := firsts(tx, d, nil); err == nil && len(found) > 0 {
			reads = append(reads, recordReads(found[0])...)
		}
	}
	if newest := (Query{Repository: q.Repository, Tag: q.Tag, Descending: true}); q.Tag != "" {
		if s, err := newest.seeker(tx); err == nil {
			reads = append(reads, s.reads(2)...)
		}
	}
	return reads
}

func (q *ActsOf) sees(repository string) bool { return q.Visible == nil || q.Visible(repository) }

// readArrivals reads the oldest records of the digest; where there are more than it looks at, also the first of each
// repository, and the newest of this one.
func (q *ActsOf) readArrivals(tx storage.Reader, acts *Acts) error {
	h, err := readHead(tx)
	if err != nil {
		return err
	}
	s := seeker{tx: tx, terms: []term{newTerm(byDigest, q.Digest.String())}, high: h.next, looks: 2 * maxActLooks}
	storage.Expect(tx, func() []storage.Read { return append(s.reads(maxActs), q.firstReads(tx)...) })
	for {
		index, ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		r, err := ReadRecord(tx, index)
		if err != nil {
			return err
		}
		q.add(acts, r)
		s.skip(index)
	}
	if s.looks == 0 || len(acts.Arrivals) > maxActs || len(acts.Removals) > maxActs {
		if err := q.readEnds(tx, acts); err != nil {
			return err
		}
	}
	if q.Pending != nil {
		q.add(acts, q.Pending)
	}
	return nil
}

// add sorts a record in, if it says of this digest that it came or went.
func (q *ActsOf) add(acts *Acts, r *Record) {
	switch {
	case r.Digest != q.Digest || !q.sees(r.Repository):
	case r.Arrives():
		acts.Arrivals = append(acts.Arrivals, ActOf(r))
	case r.Action == Delete:
		acts.Removals = append(acts.Removals, ActOf(r))
	}
}

// readEnds keeps the ends of lists that are too long.
func (q *ActsOf) readEnds(tx storage.Reader, acts *Acts) error {
	acts.ArrivalsCut = true
	acts.Arrivals = acts.Arrivals[:min(len(acts.Arrivals), maxActs/2)]
	acts.Removals = acts.Removals[:min(len(acts.Removals), maxActs/2)]
	newest := Query{Repository: q.Repository, Digest: q.Digest, Descending: true, Limit: maxActs / 4, Visible: q.Visible}
	var page Page
	if err := newest.find(tx, &page); err != nil {
		return err
	}
	for _, r := range page.Records {
		q.add(acts, r)
	}
	each, _, err := arrivals(tx, q.Digest, q.Visible)
	if err != nil {
		return err
	}
	for _, r := range each[:min(len(each), maxActs/4)] {
		q.add(acts, r)
	}
	acts.Arrivals, acts.Removals = inOrder(acts.Arrivals), inOrder(acts.Removals)
	return nil
}

// inOrder sorts acts by their records, each once.
func inOrder(acts []Act) []Act {
	slices.SortFunc(acts, func(a, b Act) int { return cmp.Compare(a.Record, b.Record) })
	return slices.CompactFunc(acts, func(a, b Act) bool { return a.Record == b.Record })
}

// readPlatforms reads the first arrival of each platform.
func (q *ActsOf) readPlatforms(tx storage.Reader, acts *Acts) error {
	for _, d := range q.Platforms[:min(len(q.Platforms), maxPlatforms)] {
		r, _, err := first(tx, d)
		if err != nil {
			return err
		}
		p := PlatformAct{Digest: d}
		if r != nil && q.sees(r.Repository) {
			act := ActOf(r)
			p.First, p.lists = &act, len(r.Observed.Children) > 0
		}
		acts.Platforms = append(acts.Platforms, p)
	}
	return nil
}

// decidePlatforms decides whether the image counts as that of the job that pushed it first: anyone who lists images in an index
// has not pushed them.
func (q *ActsOf) decidePlatforms(acts *Acts) {
	if acts.First == nil || acts.First.Job == nil {
		return
	}
	job := acts.First.Job
	for _, p := range acts.Platforms {
		if p.lists {
			job.refuse("it lists another index, " + shortDigest(p.Digest))
		}
		q.wantSame(job, p, acts.Namesakes)
	}
	if len(q.Platforms) > maxPlatforms {
		job.refuse(fmt.Sprintf("it has more than %d platforms", maxPlatforms))
	}
}

// refuse notes why an image does not count as the job's. The first reason stays.
func (j *Job) refuse(why string) {
	if j != nil && j.Counts {
		j.Counts, j.Why = false, why
	}
}

// wantSame wants a platform to have been pushed first by a job at the same source and revision.
func (q *ActsOf) wantSame(j *Job, p PlatformAct, names Namesakes) {
	f, name := p.First, "its platform "+shortDigest(p.Digest)
	switch {
	case f == nil:
		j.refuse("who was the first to push " + name + " is not known")
	case f.Job != nil && f.Job.Counts && sameSource(f.Job.Source, j.Source) && j.RanAt(f.Job.Revision):
	case q.Tells != nil && !q.Tells(f.Repository):
		j.refuse(name + " was first pushed in another repository, and not by that job")
	case f.Job != nil && !f.Job.Counts:
		j.refuse(name + ": " + f.Job.Why)
	default:
		j.refuse(name + " was first pushed by " + f.by(names))
	}
}

// tagged returns the newest act that set the tag, if it set it to this image, or nil.
func (q *ActsOf) tagged(tx storage.Reader) (*Act, error) {
	if q.Tag == "" {
		return nil, nil
	}
	if q.Pending != nil {
		return q.setBy(q.Pending), nil
	}
	newest := Query{Repository: q.Repository, Tag: q.Tag, Descending: true, Limit: 1, Visible: q.Visible}
	var page Page
	if err := newest.find(tx, &page); err != nil || len(page.Records) == 0 {
		return nil, err
	}
	return q.setBy(page.Records[0]), nil
}

func (q *ActsOf) setBy(r *Record) *Act {
	m, ok := MoveOf(r, q.Tag)
	if !ok || m.To != q.Digest {
		return nil
	}
	act := ActOf(r)
	act.Tag = q.Tag
	return &act
}

// shortDigest is a digest as people compare it.
func shortDigest(d digest.Digest) string { return string(d[:min(len(d), 19)]) }
