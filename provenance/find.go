package provenance

import (
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// The bounds of one page.
const (
	MaxPage = 1000   // records
	maxLook = 10_000 // entries looked at, so that a rare combination costs many small pages, not one large one
)

// A Query says which records are wanted. The zero value of a field asks for nothing.
type Query struct {
	Repository string
	Tag        string // within Repository
	Digest     digest.Digest
	About      digest.Digest // claimed or attested about by records of other digests
	Child      digest.Digest // listed by the index that the record is about
	Identity   string        // a handle, or an account
	Kind       Kind          // of the actor
	Source     string        // in any spelling
	Run        *Run          // whose login made it; Identity is its Handle
	Revision   string
	Base       digest.Digest
	Action     Action
	Class      Class
	Since      time.Time // inclusive
	Until      time.Time // exclusive

	Descending bool    // newest first
	After      *uint64 // only records behind this index, in the order asked
	Limit      int     // at most MaxPage; 0 is MaxPage

	// Visible says whether the caller may know of a repository. Others' records are passed over. Nil is
	// all, also of grants.
	Visible func(repository string) bool
	// Administers says whether the caller may know who has which rights under a pattern of repositories;
	// the empty one is that of changes that concern them all. Nil is never.
	Administers func(pattern string) bool
}

// shows says whether the caller may see a record.
func (q *Query) shows(r *Record) bool {
	if q.Visible == nil || r.Key != nil { // the registry's keys are no secret
		return true
	}
	if r.Grant != nil {
		return q.Administers != nil && q.Administers(r.Grant.Pattern)
	}
	return q.Visible(r.Repository)
}

// A Page is part of an answer. It may be short, or empty, and still not be the last.
type Page struct {
	Records []*Record
	Next    *uint64 // the After of the next page, or nil after the last
}

// Find returns the records that match a query. Its cost follows the page, not the book: the records that
// have all the terms asked for are found by skipping along the sorted indexes of those terms.
func (b *Book) Find(ctx context.Context, q Query) (page Page, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		page, err = FindIn(tx, q)
		return err
	})
	return page, err
}

// FindIn is Book.Find in a transaction of the caller's.
func FindIn(tx storage.Reader, q Query) (page Page, err error) {
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = MaxPage
	}
	storage.Expect(tx, q.reads)
	all, err := withTail(tx)
	if err != nil {
		return page, err
	}
	err = q.find(all, &page)
	return page, err
}

func (q *Query) find(tx storage.Reader, page *Page) error {
	if seen, err := q.seesAny(tx); err != nil || !seen {
		return err
	}
	s, err := q.seeker(tx)
	if err != nil {
		return err
	}
	storage.Expect(tx, func() []storage.Read { return s.reads(q.Limit + 1) })
	for {
		index, ok, err := s.next()
		if err != nil {
			return err
		}
		if s.looks == 0 {
			page.Next = s.position()
		}
		if !ok || s.looks == 0 {
			return nil
		}
		r, err := ReadRecord(tx, index)
		if err != nil {
			return err
		}
		switch {
		case !q.matches(r): // one that the caller may not see must not be why there is a next page
		case len(page.Records) == q.Limit:
			page.Next = s.position()
			return nil
		default:
			page.Records = append(page.Records, r)
		}
		s.skip(index)
	}
}

// seesAny says whether the caller may see a repository in which the answer can be. Where they may see none,
// neither the length of a page nor its time is to tell how much is there.
func (q *Query) seesAny(tx storage.Reader) (bool, error) {
	switch {
	case q.Visible == nil:
		return true, nil
	case q.Repository != "":
		return q.Visible(q.Repository), nil
	}
	terms := (&ImageQuery{Source: q.Source, Revision: q.Revision}).terms()
	if q.Base != "" {
		terms = append(terms, newTerm(byBase, q.Base.String()))
	}
	if q.Digest != "" {
		terms = append(terms, newTerm(byDigest, q.Digest.String()))
	}
	// What is in no repository, as changes of rights, is seen or not by each record.
	visible := func(repository string) bool { return repository == "" || q.Visible(repository) }
	for _, t := range terms {
		s := imageSeeker{tx: tx, q: ImageQuery{Visible: visible}, terms: []term{t}, looks: maxLook}
		s.restart()
		row, err := s.row()
		seen, whole := row.Key != nil, true
		if err == nil && !seen { // nobody claims it; a signature may say it
			seen, whole, err = attestedWhere(tx, t, visible)
		}
		if err != nil || whole && !seen {
			return false, err
		}
	}
	return true, nil
}

// maxAttested bounds the records that are read to see whether one of them attests something.
const maxAttested = 64

// attestedWhere says whether a record attests what a term stands for, where the caller may see. Images have rows of their own for what
// is claimed of them alone. whole says that all such records were looked at, or one was found.
func attestedWhere(tx storage.Reader, t term, visible func(repository string) bool) (seen, whole bool, err error) {
	h, err := readHead(tx)
	if err != nil || visible == nil {
		return false, true, err
	}
	s := &seeker{tx: tx, terms: []term{newTerm(byClass, string(Attested)), t}, high: h.next, descending: true, looks: maxLook}
	for range maxAttested {
		index, ok, err := s.next()
		if err != nil || !ok {
			return false, s.looks > 0, err
		}
		r, err := ReadStated(tx, index)
		if err != nil {
			return false, false, err
		}
		if visible(r.Repository) {
			return true, true, nil
		}
		s.skip(index)
	}
	return false, false, nil
}

// terms are the indexes that the query can use.
func (q *Query) terms() (terms []term) {
	add := func(d dimension, values ...string) {
		for _, v := range values {
			if v == "" {
				return
			}
		}
		terms = append(terms, newTerm(d, values...))
	}
	source, revision := "", NormalRevision(q.Revision)
	if q.Source != "" {
		source = NormalSource(q.Source)
	}
	add(byDigest, q.Digest.String())
	add(byAbout, q.About.String())
	add(byChild, q.Child.String())
	add(byBase, q.Base.String())
	add(byIdentity, q.Identity)
	if q.Action != Push {
		add(byAction, string(q.Action))
	}
	if q.Class == Attested {
		add(byClass, string(q.Class))
	}
	if add(byTag, q.Repository, q.Tag); q.Tag == "" {
		add(byRepository, q.Repository)
	}
	add(bySource, source)
	add(byRevision, revision)
	return terms
}

// matches looks at the record itself. What the terms hold already is checked again, because a term is a
// hash; what they do not hold is checked here only.
func (q *Query) matches(r *Record) bool {
	return q.shows(r) &&
		(q.Repository == "" || r.Repository == q.Repository) &&
		(q.Tag == "" || movesTag(r, q.Tag)) &&
		(q.Digest == "" || r.Digest == q.Digest) &&
		(q.About == "" || saysAbout(r, q.About)) &&
		(q.Child == "" || slices.ContainsFunc(r.Observed.Children, func(c Child) bool { return c.Digest == q.Child })) &&
		(q.Identity == "" || r.Actor.Handle == q.Identity || r.Actor.Account == q.Identity) &&
		(q.Kind == "" || r.Actor.Kind == q.Kind) &&
		(q.Run == nil || q.Run.signedIn(r.Authenticated)) &&
		(q.Action == "" || r.Action == q.Action) &&
		q.matchesFacts(r)
}

// saysAbout says whether a record of another digest says something about one.
func saysAbout(r *Record, d digest.Digest) bool {
	return r.Digest != d && (slices.ContainsFunc(r.Claimed, func(c Claim) bool { return c.About == d }) ||
		slices.ContainsFunc(r.Unread, func(u UnreadDocument) bool { return u.About == d }) ||
		slices.ContainsFunc(r.Attested, func(a Attestation) bool { return a.About == d }))
}

func movesTag(r *Record, tag string) bool {
	_, ok := MoveOf(r, tag)
	return ok
}

// matchesFacts wants the facts asked for in the class asked for, a source and a revision about one digest.
func (q *Query) matchesFacts(r *Record) bool {
	switch {
	case q.Class == Authenticated && r.Authenticated == nil,
		q.Class == Claimed && len(r.Claimed) == 0,
		q.Class == Attested && len(r.Attested) == 0:
		return false
	case q.Source == "" && q.Revision == "" && q.Base == "":
		return true
	}
	facts := q.facts(r)
	return slices.ContainsFunc(facts, func(f saidAbout) bool { return q.factsAbout(facts, f.about) })
}

// facts are those of a record that are of the class asked for.
func (q *Query) facts(r *Record) (facts []saidAbout) {
	if q.Class == "" || q.Class == Claimed {
		for _, c := range r.Claimed {
			facts = append(facts, saidAbout{c.Fact, c.Value, c.About})
		}
	}
	if q.Class == "" || q.Class == Attested {
		for _, a := range r.Attested {
			facts = append(facts, saidAbout{a.Fact, a.Value, a.About})
		}
	}
	return facts
}

// saidAbout is a fact of any class.
type saidAbout struct {
	fact, value string
	about       digest.Digest
}

func (q *Query) factsAbout(facts []saidAbout, about digest.Digest) bool {
	said := func(match func(fact, value string) bool) bool {
		return slices.ContainsFunc(facts, func(f saidAbout) bool { return f.about == about && match(f.fact, f.value) })
	}
	return (q.Source == "" || said(q.isSource)) && (q.Revision == "" || said(q.isRevision)) && (q.Base == "" || said(q.isBase))
}

func (q *Query) isSource(fact, value string) bool {
	return fact == FactSource && NormalSource(value) == NormalSource(q.Source)
}

func (q *Query) isRevision(fact, value string) bool {
	return fact == FactRevision && slices.Contains(revisionsFor(value), NormalRevision(q.Revision))
}

func (q *Query) isBase(fact, value string) bool {
	return (fact == FactBase || fact == FactMaterial) && value == q.Base.String()
}

// seeker returns the candidates of the query, from where the page begins.
func (q *Query) seeker(tx storage.Reader) (*seeker, error) {
	h, err := readHead(tx)
	if err != nil {
		return nil, err
	}
	s := &seeker{tx: tx, terms: q.terms(), high: h.next, descending: q.Descending, looks: maxLook}
	if !q.Since.IsZero() {
		if s.low, err = firstAt(tx, q.Since); err != nil {
			return nil, err
		}
	}
	if !q.Until.IsZero() {
		if s.high, err = firstAt(tx, q.Until); err != nil {
			return nil, err
		}
	}
	if q.After != nil {
		s.skip(*q.After)
	}
	return s, nil
}

// seeker yields the indexes in [low, high) that have all terms, in order.
type seeker struct {
	tx         storage.Reader
	terms      []term
	low, high  uint64
	descending bool
	looks      int // how many entries may still be looked at; at 0 it stops where it is
}

// skip moves behind an index.
func (s *seeker) skip(index uint64) {
	switch {
	case s.descending:
		s.high = min(s.high, index)
	case index < s.high:
		s.low = max(s.low, index+1)
	default:
		s.low = s.high
	}
}

// position is the index behind which the range begins. The range has been moved into before.
func (s *seeker) position() *uint64 {
	at := s.high
	if !s.descending {
		at = s.low - 1
	}
	return &at
}

// next returns the first index that has all terms. Each term in turn moves the candidate on to its own
// next index, until one round moves it no more.
func (s *seeker) next() (index uint64, ok bool, err error) {
	for s.low < s.high && s.looks > 0 {
		s.looks = max(0, s.looks-1-len(s.terms))
		index = s.edge()
		for _, t := range s.terms {
			if ok, err = s.move(t); err != nil || !ok {
				return 0, false, err
			}
		}
		if s.edge() == index {
			return index, true, nil
		}
	}
	return 0, false, nil
}

// edge is the candidate: the end of the range at which the order begins.
func (s *seeker) edge() uint64 {
	if s.descending {
		return s.high - 1
	}
	return s.low
}

// move narrows the range to the next index that has the term, and says whether there is one.
func (s *seeker) move(t term) (bool, error) {
	scan := s.tx.Scan
	if s.descending {
		scan = s.tx.ScanReverse
	}
	for item, err := range scan(indexTable, t.key(s.low), t.key(s.high)) {
		if err != nil {
			return false, err
		}
		if s.descending {
			s.high = lastIndex(item.Key) + 1
		} else {
			s.low = lastIndex(item.Key)
		}
		return true, nil
	}
	return false, nil
}
