package provenance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// Questions that lead from a source to what was built from it, and from a base to what stands on it, ask for
// images and not for events: a record of each re-push would bury the answer. So there is a row for each
// image in each repository, ordered by repository: one that the caller may not see is passed over whole, and
// has no part in where a page ends.

// An ImageQuery asks for images of which records claim a source, a revision, both, or one of some bases.
type ImageQuery struct {
	Source   string // in any spelling
	Revision string
	Bases    []digest.Digest // at most MaxChildren+1; then Source and Revision do not count
	// MaterialsLeft asks for images that may stand on any base, as more materials are claimed of them than are read. Then nothing
	// else counts but the repository.
	MaterialsLeft bool
	Repository    string // only in this one

	// Visible says whether the caller may know of a repository.
	Visible func(repository string) bool
	After   []byte // Next of the page before
	Limit   int    // at most MaxPage; 0 is MaxPage
}

// A ClaimedImage is a digest in a repository with what is claimed of it.
type ClaimedImage struct {
	Repository string
	Digest     digest.Digest
	Claims     []Claim // those that answer the question, and what else that record says of it
	Record     *Record // the first that says so
}

// An ImagePage is part of an answer. It may be short, or empty, and still not be the last.
type ImagePage struct {
	Images []ClaimedImage
	// Next is where the next page begins, or nil after the last. It may name a repository that the caller may
	// not know of: never show it as it is.
	Next []byte
}

// ErrNoPage says that an After is none that a page had for its Next.
var ErrNoPage = errors.New("there is no such page")

// imageKeys are the rows under which the images are found that a record says something of.
func imageKeys(r *Record) (keys [][]byte) {
	add := func(t term, about digest.Digest) {
		keys = append(keys, imageKey(t, r.Repository, about))
	}
	if r.Arrives() || r.Repository == "" { // what is in no repository has a record and no arrival
		add(newTerm(byDigest, r.Digest.String()), r.Digest)
	}
	for _, c := range r.Claimed {
		for _, t := range claimTerms(r, c) {
			add(t, c.About)
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

func imageKey(t term, repository string, about digest.Digest) []byte {
	hash := newTerm(byAbout, about.String())
	return append(append(inRepository(t, repository), 0), hash[1:]...)
}

// inRepository is the beginning of the rows of a term in a repository, but for the zero byte behind it.
func inRepository(t term, repository string) []byte {
	return append(t[:len(t):len(t)], repository...)
}

// cutImageKey returns the repository of a row.
func cutImageKey(key []byte) (repository string, err error) {
	const around = len(term{}) + 1 + 16
	if len(key) < around {
		return "", fmt.Errorf("%w: a row of images is cut short", storage.ErrCorrupt)
	}
	return string(key[len(term{}) : len(key)-around+len(term{})]), nil
}

// putImages adds the rows that are not there yet.
func putImages(tx rows, r *Record) error {
	keys := imageKeys(r)
	found, err := tx.GetMany(imageTable, keys)
	if err != nil {
		return err
	}
	for i, row := range found {
		if row == nil {
			tx.Put(imageTable, keys[i], indexKey(r.Index))
		}
	}
	return nil
}

// Images returns the images that a query asks for, by repository. Error: ErrNoPage.
func (b *Book) Images(ctx context.Context, q ImageQuery) (page ImagePage, err error) {
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = MaxPage
	}
	err = b.view(ctx, func(tx storage.Reader) error {
		page = ImagePage{}
		s := imageSeeker{tx: tx, q: q, terms: q.terms(), looks: maxLook}
		if err := s.begin(); err != nil {
			return err
		}
		return s.fill(&page)
	})
	return page, err
}

func (q *ImageQuery) terms() (terms []term) {
	for _, base := range q.Bases {
		terms = append(terms, newTerm(byBase, base.String()))
	}
	source, revision := NormalSource(q.Source), NormalRevision(q.Revision)
	switch {
	case q.MaterialsLeft:
		return []term{newTerm(byBase, FactMaterialsLeft)}
	case len(q.Bases) > 0:
	case source != "" && revision != "":
		terms = append(terms, newTerm(bySourceRevision, source, revision))
	case source != "":
		terms = append(terms, newTerm(bySource, source))
	case revision != "":
		terms = append(terms, newTerm(byRevision, revision))
	}
	return terms
}

// answers returns the claims of a record that answer the question, of the image of a row: of a source, all
// that is said of the source and the revision.
func (q *ImageQuery) answers(r *Record, t term, key []byte) (claims []Claim) {
	asked := Query{Source: q.Source, Revision: q.Revision}
	answered := false
	for _, c := range r.Claimed {
		if !bytes.Equal(imageKey(t, r.Repository, c.About), key) {
			continue
		}
		switch c.Fact {
		case FactSource, FactRevision:
			if len(q.Bases) == 0 {
				claims = append(claims, c)
				answered = answered || q.Source != "" && asked.isSource(c.Fact, c.Value) || q.Revision != "" && asked.isRevision(c.Fact, c.Value)
			}
		case FactMaterialsLeft:
			if q.MaterialsLeft {
				claims = append(claims, c)
				answered = true
			}
		case FactBase, FactMaterial:
			if slices.Contains(q.Bases, digest.Digest(c.Value)) {
				claims = append(claims, c)
				answered = true
			}
		}
	}
	if !answered { // a collision of hashes
		return nil
	}
	return claims
}

// imageSeeker walks the rows of some terms, one term after another.
type imageSeeker struct {
	tx    storage.Reader
	q     ImageQuery
	terms []term
	term  int    // which of them it is at
	from  []byte // the next row is this one or behind it
	looks int
}

// begin goes to where the page begins: behind the rows that an After names, which are of one of the terms.
func (s *imageSeeker) begin() error {
	if s.q.After == nil {
		s.restart()
		return nil
	}
	s.term = slices.IndexFunc(s.terms, func(t term) bool { return bytes.HasPrefix(s.q.After, t[:]) })
	if s.term < 0 {
		return ErrNoPage
	}
	s.from = s.q.After
	return nil
}

// restart goes to the first row of the term.
func (s *imageSeeker) restart() {
	if s.term == len(s.terms) {
		return
	}
	s.from = inRepository(s.terms[s.term], s.q.Repository)
	if s.q.Repository != "" {
		s.from = append(s.from, 0)
	}
}

// end is behind the last row of the term.
func (s *imageSeeker) end() []byte {
	if s.q.Repository != "" {
		return append(inRepository(s.terms[s.term], s.q.Repository), 1)
	}
	return storage.PrefixEnd(s.terms[s.term][:])
}

func (s *imageSeeker) fill(page *ImagePage) error {
	for s.term < len(s.terms) {
		row, err := s.row()
		if err != nil {
			return err
		}
		if row.Key == nil {
			s.term++
			s.restart()
			continue
		}
		if len(page.Images) == s.q.Limit || s.looks == 0 {
			page.Next = bytes.Clone(s.from)
			return nil
		}
		s.looks--
		img, err := s.image(row)
		if err != nil {
			return err
		}
		if img != nil {
			page.Images = append(page.Images, *img)
		}
		s.from = append(bytes.Clone(row.Key), 0)
	}
	return nil
}

// row returns the next row that the caller may see, or none. Where it looked at too many, it returns one
// that they may not see, and no looks are left.
func (s *imageSeeker) row() (storage.Item, error) {
	for {
		item, err := firstRow(s.tx, imageTable, s.from, s.end())
		if err != nil || item.Key == nil {
			return item, err
		}
		repository, err := cutImageKey(item.Key)
		if err != nil {
			return item, err
		}
		if s.looks == 0 || s.q.Visible == nil || s.q.Visible(repository) {
			return item, nil
		}
		s.looks--
		s.from = append(inRepository(s.terms[s.term], repository), 1)
	}
}

// firstRow returns the first row from a key on and before another, or one without a key.
func firstRow(tx storage.Reader, table storage.Table, from, to []byte) (storage.Item, error) {
	for item, err := range tx.Scan(table, from, to) {
		return item, err
	}
	return storage.Item{}, nil
}

// image reads the image of a row, or nothing where one of the terms before has found it.
func (s *imageSeeker) image(row storage.Item) (*ClaimedImage, error) {
	t := s.terms[s.term]
	var before [][]byte
	for _, other := range s.terms[:s.term] {
		before = append(before, append(other[:len(t):len(t)], row.Key[len(t):]...))
	}
	rows, err := s.tx.GetMany(imageTable, before)
	if err != nil || slices.ContainsFunc(rows, func(row []byte) bool { return row != nil }) {
		return nil, err
	}
	if len(row.Value) != 8 {
		return nil, fmt.Errorf("%w: a row of images names no record", storage.ErrCorrupt)
	}
	r, err := ReadRecord(s.tx, lastIndex(row.Value))
	if err != nil {
		return nil, err
	}
	claims := s.q.answers(r, t, row.Key)
	if len(claims) == 0 {
		return nil, nil
	}
	return &ClaimedImage{r.Repository, claims[0].About, claims, r}, nil
}

// Arrivals returns the first record of a digest in each repository that the caller may see, oldest first.
// more says that there are other repositories: it looks into no more than MaxPage.
func (b *Book) Arrivals(ctx context.Context, d digest.Digest, visible func(string) bool) (found []*Record, more bool, err error) {
	err = b.view(ctx, func(tx storage.Reader) error {
		found, more, err = arrivals(tx, d, visible)
		return err
	})
	return found, more, err
}

func arrivals(tx storage.Reader, d digest.Digest, visible func(string) bool) (found []*Record, more bool, err error) {
	s := imageSeeker{tx: tx, q: ImageQuery{Visible: visible}, terms: []term{newTerm(byDigest, d.String())}, looks: maxLook}
	for s.restart(); ; {
		row, err := s.row()
		if err != nil {
			return nil, false, err
		}
		if more = row.Key != nil && (s.looks == 0 || len(found) == MaxPage); more || row.Key == nil {
			break
		}
		s.looks--
		r, err := ReadRecord(tx, lastIndex(row.Value))
		if err != nil {
			return nil, false, err
		}
		if r.Arrives() {
			found = append(found, r)
		}
		s.from = append(bytes.Clone(row.Key), 0)
	}
	slices.SortFunc(found, func(a, b *Record) int { return cmp.Compare(a.Index, b.Index) })
	return found, more, nil
}

// maxListed bounds the indexes that are named for an image.
const maxListed = 4

// Listed returns the newest indexes of a repository that list a manifest.
func (b *Book) Listed(ctx context.Context, repository string, d digest.Digest) (indexes []digest.Digest, err error) {
	page, err := b.Find(ctx, Query{Repository: repository, Child: d, Descending: true, Limit: 4 * maxListed})
	for _, r := range page.Records {
		if !slices.Contains(indexes, r.Digest) && len(indexes) < maxListed {
			indexes = append(indexes, r.Digest)
		}
	}
	return indexes, err
}

// Family returns a digest, and where it is an index that the caller may see, those of what it lists.
func (b *Book) Family(ctx context.Context, d digest.Digest, visible func(string) bool) (family []digest.Digest, err error) {
	page, err := b.Find(ctx, Query{Digest: d, Action: Push, Visible: visible, Limit: 1})
	family = []digest.Digest{d}
	for _, r := range page.Records {
		for _, c := range r.Observed.Children {
			family = append(family, c.Digest)
		}
	}
	return family, err
}
